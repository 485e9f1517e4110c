package main

/*
#cgo pkg-config: mpi-c
#include <mpi.h>

static int scatter(const float *in, float *out, const int *counts) {
	return MPI_Reduce_scatter(in, out, counts, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
}
*/
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/fusedadam/adam/zero/mpi"
)

// reduceScatter sets out to this rank's share of the sums of all ranks' in, in MPI's order.
func reduceScatter(w *mpi.World, in, out []float32) error {
	counts := make([]C.int, w.Size())
	for r := range counts {
		counts[r] = C.int(share(len(in), r, w.Size()))
	}
	return w.Do(func() error {
		code := C.scatter((*C.float)(unsafe.SliceData(in)), (*C.float)(unsafe.SliceData(out)),
			unsafe.SliceData(counts))
		if code != C.MPI_SUCCESS {
			return fmt.Errorf("MPI_Reduce_scatter: error %d", code)
		}
		return nil
	})
}

// share returns how many of n elements rank r of so many has.
func share(n, r, ranks int) int { return n*(r+1)/ranks - n*r/ranks }
