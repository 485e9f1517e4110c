//go:build ignore

// Mutate changes the module one instruction, operand or line at a time, as mutations.go lists them,
// and expects the tests to notice:
//
//	.ci/mutate                      # all
//	.ci/mutate pool "FMIN4S(2"      # those whose file or text contains one of these,
//	                                # which must not end in .go
//	.ci/mutate -random 12           # so many, drawn; none begins after two minutes
//	.ci/mutate -check               # only that each pattern stands in its file once
//
// It works in copies of the repository, prints which test caught each mutation and exits with 1 if
// one was not. The mutations of arm64 and riscv64 need qemu-aarch64 and qemu-riscv64.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A job is a mutation and the tests that may catch it, the quickest first.
type job struct {
	mutation
	file   string
	suites []suite
}

// A suite is the tests of a package.
type suite struct{ module, pkg, arch string }

func suitesOf(file string) []suite {
	dir, arch := filepath.Dir(file), runtime.GOARCH
	for _, a := range []string{"amd64", "arm64", "riscv64"} {
		if name, _, _ := strings.Cut(filepath.Base(file), "."); strings.HasSuffix(name, "_"+a) {
			arch = a
		}
	}
	module := dir
	for ; module != "."; module = filepath.Dir(module) {
		if _, err := os.Stat(filepath.Join(module, "go.mod")); err == nil {
			break
		}
	}
	pkg, err := filepath.Rel(module, dir)
	check(err)
	list := []suite{{module, "./" + pkg, arch}}
	if root, _ := filepath.Glob(filepath.Join(module, "*.go")); len(root) > 0 {
		list = append(list, suite{module, "./.", arch})
	}
	return slices.Compact(list)
}

// run runs the suite in a copy of the repository.
func (s suite) run(dir string, timeout time.Duration) (out string, err error) {
	args := []string{"test", "-count=1", "-short", "-failfast", "-timeout=" + timeout.String()}
	require := ""
	switch {
	case s.arch == runtime.GOARCH:
	case s.arch == "arm64":
		args = append(args, "-exec=qemu-aarch64")
	case s.arch == "riscv64": // with a gate that is closed the generic kernel would pass
		args = append(args, "-exec=qemu-riscv64 -cpu rv64,v=true,vext_spec=v1.0",
			"-run=Gates|LetterV|Kernel|Guard|SameBits|Mode")
		require = "rvv"
	}
	c := exec.Command("go", append(args, s.pkg)...)
	c.Dir = filepath.Join(dir, s.module)
	c.Env = append(os.Environ(), "GOWORK=off", "GOARCH="+s.arch, "ADAM_TEST_REQUIRE="+require)
	b, err := c.CombinedOutput()
	return string(b), err
}

var failure = regexp.MustCompile(
	`(?m)^--- FAIL: (\w+)|^(?:SIG\w+|fatal error|panic|FAIL): .*|^unexpected fault address`)

// run returns the tests that caught the mutation, or how they died; "" if none did. The tests may
// take some times as long as without it.
func (j job) run(dir string, took map[suite]time.Duration) string {
	path := filepath.Join(dir, j.file)
	text, err := os.ReadFile(path)
	check(err)
	check(os.WriteFile(path, []byte(strings.Replace(string(text), j.old, j.new, 1)), 0o644))
	defer func() { check(os.WriteFile(path, text, 0o644)) }()
	for _, s := range j.suites {
		out, err := s.run(dir, 30*time.Second+4*took[s])
		if err == nil {
			continue
		}
		var names []string
		for _, m := range failure.FindAllStringSubmatch(out, -1) {
			names = append(names, cmp.Or(m[1], "("+m[0]+")"))
		}
		if len(names) == 0 {
			fmt.Print(out) // it was not built
		}
		return strings.Join(names, ", ")
	}
	return ""
}

func main() {
	only := flag.Bool("check", false, "look for the patterns and change nothing")
	count := flag.Int("random", 0, "draw so many")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()%1e6), "of -random")
	flag.Parse()
	jobs, faults := list(flag.Args())
	if len(faults) > 0 {
		fmt.Println(strings.Join(faults, "\n"))
		os.Exit(1)
	}
	limit := time.Duration(math.MaxInt64)
	if *count > 0 {
		fmt.Printf("drawn with -seed %d\n", *seed)
		r := rand.New(rand.NewPCG(*seed, 0))
		r.Shuffle(len(jobs), func(i, j int) { jobs[i], jobs[j] = jobs[j], jobs[i] })
		jobs, limit = jobs[:min(*count, len(jobs))], 2*time.Minute
	}
	if *only {
		fmt.Printf("%d mutations, each pattern found once\n", len(jobs))
	} else if !tryAll(jobs, limit) {
		os.Exit(1)
	}
}

// tryAll reports whether all jobs are caught that begin within limit, once all is ready.
func tryAll(jobs []job, limit time.Duration) bool {
	began := time.Now()
	var copies []string
	for range min(runtime.NumCPU(), len(jobs)) {
		dir, err := os.MkdirTemp("", "mutate")
		check(err)
		defer os.RemoveAll(dir)
		check(os.CopyFS(dir, os.DirFS(".")))
		check(os.RemoveAll(filepath.Join(dir, ".git")))
		copies = append(copies, dir)
	}
	var suites []suite
	for _, j := range jobs {
		suites = append(suites, j.suites...)
	}
	slices.SortFunc(suites, func(a, b suite) int { // emulators take longest
		return cmp.Or(-cmp.Compare(a.arch, b.arch), cmp.Compare(a.module+a.pkg, b.module+b.pkg))
	})
	var done, caught atomic.Int64
	took := map[suite]time.Duration{} // without a mutation, which must pass
	var lock sync.Mutex
	suites = slices.Compact(suites)
	share(copies, suites, func(dir string, s suite) {
		begin := time.Now()
		out, err := s.run(dir, 10*time.Minute)
		if err != nil {
			fmt.Printf("%v fails without a mutation:\n%s", s, out)
			return
		}
		lock.Lock()
		defer lock.Unlock()
		took[s] = time.Since(begin).Round(time.Second)
	})
	if len(took) < len(suites) {
		return false
	}
	fmt.Printf("%d packages pass without a mutation, %.0f s\n", len(took),
		time.Since(began).Seconds())
	ready := time.Now()
	share(copies, jobs, func(dir string, j job) {
		if time.Since(ready) > limit {
			return
		}
		verdict := j.run(dir, took)
		if verdict != "" {
			caught.Add(1)
		}
		fmt.Printf("%3d %s: %s → %s: %s\n", done.Add(1), j.file, j.old, j.new,
			cmp.Or(verdict, "NOT CAUGHT"))
	})
	fmt.Printf("%d mutations, %d caught, %.0f s\n", done.Load(), caught.Load(),
		time.Since(began).Seconds())
	return caught.Load() == done.Load()
}

// list returns the mutations whose file or text contains one of only, all if there is none, and
// what is wrong with any.
func list(only []string) (jobs []job, faults []string) {
	for _, m := range mutations {
		text, err := os.ReadFile(m.file)
		if err != nil {
			faults = append(faults, err.Error())
			continue
		}
		suites := suitesOf(m.file)
		for _, x := range m.list {
			if n := strings.Count(string(text), x.old); n != 1 {
				faults = append(faults,
					fmt.Sprintf("%s: found %d times, want once: %q", m.file, n, x.old))
			}
			chosen := func(s string) bool { return strings.Contains(m.file+" "+x.old, s) }
			if len(only) == 0 || slices.ContainsFunc(only, chosen) {
				jobs = append(jobs, job{x, m.file, suites})
			}
		}
	}
	return jobs, faults
}

// share calls do for all of list, at one time for one of them in each of dirs.
func share[T any](dirs []string, list []T, do func(dir string, x T)) {
	next := make(chan T)
	var workers sync.WaitGroup
	for _, dir := range dirs {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for x := range next {
				do(dir, x)
			}
		}()
	}
	for _, x := range list {
		next <- x
	}
	close(next)
	workers.Wait()
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}
