package main

import (
	"errors"
	"fmt"
	"go/scanner"
	"go/token"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A pair is a file and a name that it uses, by their indices.
type pair struct{ file, name int32 }

// uses is who uses what: each pair is in one of train and held.
type uses struct {
	files, names []string
	train, held  []pair
}

// Names in fewer files than leastFiles and files with fewer such names than leastNames are left
// out.
const leastFiles, leastNames = 3, 20

// load reads the Go files of a folder and all below it, by default those of Go itself. It holds out
// about a tenth of the pairs.
func load(folder string, seed uint64) (*uses, error) {
	if folder == "" {
		var err error
		if folder, err = sources(); err != nil {
			return nil, err
		}
	}
	var files []string
	var names [][]string // of each file
	count := map[string]int{}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == "testdata" {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".go" {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		short, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		files, names = append(files, filepath.ToSlash(short)), append(names, identifiers(source))
		for _, name := range names[len(names)-1] {
			count[name]++
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	u := &uses{}
	index := map[string]int32{}
	rng := rand.New(rand.NewPCG(seed, 1))
	for i, all := range names {
		all = slices.DeleteFunc(all, func(name string) bool { return count[name] < leastFiles })
		if len(all) < leastNames {
			continue
		}
		for _, name := range all {
			id, known := index[name]
			if !known {
				id = int32(len(u.names))
				index[name], u.names = id, append(u.names, name)
			}
			p := pair{int32(len(u.files)), id}
			if rng.IntN(10) == 0 {
				u.held = append(u.held, p)
			} else {
				u.train = append(u.train, p)
			}
		}
		u.files = append(u.files, files[i])
	}
	if len(u.held) == 0 || len(u.train) == 0 {
		return nil, errors.New("too few Go files: name a folder with more of them with -data")
	}
	return u, nil
}

// sources returns the folder of Go's own sources.
func sources() (string, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("no Go sources by go env GOROOT: %w; name a folder with -data", err)
	}
	return filepath.Join(strings.TrimSpace(string(root)), "src"), nil
}

// identifiers returns the identifiers of a Go file, each once, in ascending order.
func identifiers(source []byte) (names []string) {
	var s scanner.Scanner
	s.Init(token.NewFileSet().AddFile("", -1, len(source)), source, nil, 0)
	seen := map[string]bool{"_": true}
	for {
		_, tok, text := s.Scan()
		if tok == token.EOF {
			slices.Sort(names)
			return names
		}
		if tok == token.IDENT && !seen[text] {
			seen[text] = true
			names = append(names, text)
		}
	}
}
