module github.com/fusedadam/adam/zero

go 1.23

require github.com/fusedadam/adam v0.0.0

require golang.org/x/sys v0.1.0 // indirect

replace github.com/fusedadam/adam => ..
