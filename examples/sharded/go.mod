module github.com/fusedadam/adam/examples/sharded

go 1.26.0

require (
	github.com/fusedadam/adam v0.0.0
	github.com/fusedadam/adam/examples v0.0.0
	github.com/fusedadam/adam/zero v0.0.0
	github.com/fusedadam/adam/zero/mpi v0.0.0
)

require (
	golang.org/x/sys v0.49.0 // indirect
	gonum.org/v1/gonum v0.17.0 // indirect
)

replace (
	github.com/fusedadam/adam => ../..
	github.com/fusedadam/adam/adapters/gorgonia => ../../adapters/gorgonia
	github.com/fusedadam/adam/examples => ..
	github.com/fusedadam/adam/zero => ../../zero
	github.com/fusedadam/adam/zero/mpi => ../../zero/mpi
)
