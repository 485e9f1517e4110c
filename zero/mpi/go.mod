module github.com/fusedadam/adam/zero/mpi

go 1.23
