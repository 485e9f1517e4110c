// Package source finds the source of a function.
package source

import (
	"path/filepath"
	"reflect"
	"runtime"
)

// Dir returns the folder of the file that declares function, where the compiler found it. So the
// data of a module are found from every working directory and without the go command, but not by a
// program that is built with -trimpath.
func Dir(function any) string {
	pc := reflect.ValueOf(function).Pointer()
	file, _ := runtime.FuncForPC(pc).FileLine(pc)
	return filepath.Dir(file)
}
