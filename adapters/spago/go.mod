module github.com/fusedadam/adam/adapters/spago

go 1.23

require (
	github.com/fusedadam/adam v0.0.0
	github.com/nlpodyssey/spago v1.1.0
)

require (
	github.com/google/flatbuffers v23.5.26+incompatible // indirect
	golang.org/x/sys v0.1.0 // indirect
)

replace github.com/fusedadam/adam => ../..
