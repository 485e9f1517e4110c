module github.com/fusedadam/adam/zero/mpi

go 1.23

require (
	github.com/fusedadam/adam v0.0.0
	github.com/fusedadam/adam/zero v0.0.0
)

require golang.org/x/sys v0.1.0 // indirect

replace (
	github.com/fusedadam/adam => ../..
	github.com/fusedadam/adam/zero => ..
)
