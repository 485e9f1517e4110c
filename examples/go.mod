module github.com/fusedadam/adam/examples

go 1.26.0

require github.com/fusedadam/adam v0.0.0

replace github.com/fusedadam/adam => ..
