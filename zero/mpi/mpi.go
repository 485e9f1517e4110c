// Package mpi connects the ranks of an MPI job, as package zero needs it: a [World] is a zero.Comm.
//
// It needs cgo and an MPI library with its headers, such as Debian's libopenmpi-dev; programs run
// under openmpi-bin's mpirun. The compiler's flags come from pkg-config's mpi-c, which is Debian's
// name for the MPI that was chosen. Elsewhere they come from the environment:
//
//	PKG_CONFIG=true CGO_CFLAGS="$(mpicc --showme:compile)" \
//		CGO_LDFLAGS="$(mpicc --showme:link)" go build
//
// All calls of MPI come from one thread of the system, which is MPI's main thread
// (MPI_THREAD_FUNNELED). A World is used by one goroutine at a time; Abort may be called by any.
//
// A rank that waits keeps its core busy. Where ranks outnumber cores, run with --oversubscribe or
// --mca mpi_yield_when_idle 1, by which it lets others run.
package mpi

/*
#cgo pkg-config: mpi-c
#include <mpi.h>
#include <stdint.h>
#include <stdlib.h>

// Messages of others in the process, over MPI_COMM_WORLD, do not meet ours.
static MPI_Comm comm;

static int start(int *rank, int *size) {
	int is, rc, level;
	if ((rc = MPI_Initialized(&is)) != MPI_SUCCESS) return rc;
	if (is) return MPI_ERR_OTHER;
	if ((rc = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level)) != MPI_SUCCESS) return rc;
	if (level < MPI_THREAD_FUNNELED) return MPI_ERR_OTHER;
	if ((rc = MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN)) != MPI_SUCCESS) return rc;
	if ((rc = MPI_Comm_dup(MPI_COMM_WORLD, &comm)) != MPI_SUCCESS) return rc;
	if ((rc = MPI_Comm_rank(comm, rank)) != MPI_SUCCESS) return rc;
	return MPI_Comm_size(comm, size);
}

// The posted messages that have not been waited for, in their order.
static struct message { int peer, bytes, received; } *messages;
static MPI_Request *requests;
static MPI_Status *statuses;
static int posted, room;

static int post(void *b, int bytes, int peer, int receive) {
	if (posted == room) {
		int more = 2*room + 64;
		void *m = realloc(messages, more * sizeof *messages);
		if (m) messages = m;
		void *r = realloc(requests, more * sizeof *requests);
		if (r) requests = r;
		void *s = realloc(statuses, more * sizeof *statuses);
		if (s) statuses = s;
		if (!m || !r || !s) return MPI_ERR_NO_MEM;
		room = more;
	}
	int rc = receive ? MPI_Irecv(b, bytes, MPI_BYTE, peer, 0, comm, &requests[posted])
		: MPI_Isend(b, bytes, MPI_BYTE, peer, 0, comm, &requests[posted]);
	if (rc == MPI_SUCCESS) messages[posted++] = (struct message){peer, bytes, receive};
	return rc;
}

// finish waits for the first n messages and forgets them. An error or a message of another length
// than its post's is in *at, with the length that came.
static int finish(int n, struct message *at, int *came) {
	// MPI_Waitall of Open MPI 4.1 may wait for ever for a message that is too long.
	int rc, done = 0;
	do rc = MPI_Testall(n, requests, &done, statuses);
	while (rc == MPI_SUCCESS && !done);
	for (int i = 0; i < n; i++) {
		*at = messages[i];
		*came = messages[i].bytes;
		int e = rc == MPI_ERR_IN_STATUS ? statuses[i].MPI_ERROR : rc;
		if (e != MPI_SUCCESS && e != MPI_ERR_PENDING) return e;
		if (e == MPI_SUCCESS && messages[i].received) {
			if ((e = MPI_Get_count(&statuses[i], MPI_BYTE, came)) != MPI_SUCCESS) return e;
			if (*came != messages[i].bytes) return MPI_SUCCESS;
		}
	}
	posted -= n;
	for (int i = 0; i < posted; i++) {
		messages[i] = messages[n+i];
		requests[i] = requests[n+i];
	}
	return rc;
}

static int gather(const void *own, int n, void *all, const int *counts, const int *at) {
	return MPI_Allgatherv(own, n, MPI_UINT64_T, all, counts, at, MPI_UINT64_T, comm);
}

static int stop(void) {
	int rc = MPI_Comm_free(&comm);
	return rc == MPI_SUCCESS ? MPI_Finalize() : rc;
}

static void quit(void) { MPI_Abort(MPI_COMM_WORLD, 1); }
*/
import "C"

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"
	"unsafe"
)

// A World is the ranks of the job. After an error it is of no use any more: other ranks may wait
// for this one, so what is left is Abort.
type World struct {
	rank, size int

	jobs    chan job
	results chan error // of the jobs that are waited for

	posts  int // that have not been waited for
	pins   [2]pins
	failed error // what each call returns from now on

	all        []uint64 // of Gather
	counts, at []C.int
}

// A job is a call of MPI's thread.
type job struct {
	do  action
	b   []byte   // of a message
	n   int      // the other rank of a message, or how many posts to wait for
	own []uint64 // of Gather
	f   func() error
}

type action int

const (
	send action = iota
	receive
	finish
	collect
	run
	stop
	abort
)

// pins keeps the memory of posts where it is, as C has pointers to it.
type pins struct {
	runtime.Pinner
	posts int // that have not been waited for
}

// grace is how long Abort waits for MPI's thread, which may be in a call.
const grace = time.Second

var started atomic.Bool

// Start begins the job on this rank: all ranks must call it, once. A program that mpirun has not
// started is the only rank.
func Start() (*World, error) {
	if started.Swap(true) {
		return nil, errors.New("mpi: Start must be called once")
	}
	w := &World{jobs: make(chan job, 256), results: make(chan error)}
	go w.serve()
	if err := <-w.results; err != nil {
		return nil, err
	}
	return w, nil
}

// Run is the main function of a rank: it calls Start, f, and then Stop. If f returns an error or
// panics, or Stop fails, it does not return but ends the whole job by Abort, so that no rank waits
// for this one. If another goroutine panics, the process ends, and mpirun ends the others.
func Run(f func(w *World) error) {
	w, err := Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	returned := false
	defer func() {
		if !returned { // f has panicked, or called runtime.Goexit
			w.Abort(fmt.Sprintf("panic: %v\n\n%s", recover(), debug.Stack()))
		}
	}()
	if err = f(w); err == nil {
		err = w.Stop()
	}
	returned = true
	if err != nil {
		w.Abort(err.Error())
	}
}

// Rank returns the number of this rank, from 0.
func (w *World) Rank() int { return w.rank }

// Size returns the number of ranks.
func (w *World) Size() int { return w.size }

// Send posts a message of less than 2 GiB to a rank, which may be this one. The memory must stay as
// it is until a Wait for the post, which returns its errors.
func (w *World) Send(to int, b []byte) { w.post(send, to, b) }

// Receive posts the memory for the next message from a rank, which must be as long. The messages
// from a rank arrive in the order in which it has posted them.
func (w *World) Receive(from int, b []byte) { w.post(receive, from, b) }

func (w *World) post(do action, peer int, b []byte) {
	if w.failed != nil {
		return
	}
	if len(b) > math.MaxInt32 {
		w.failed = fmt.Errorf("mpi: message of %d bytes, want at most %d", len(b), math.MaxInt32)
		return
	}
	if len(b) > 0 {
		w.pins[1].Pin(unsafe.SliceData(b))
	}
	w.pins[1].posts++
	w.posts++
	w.jobs <- job{do: do, n: peer, b: b}
}

// Wait waits for the first n posts that have not been waited for, for all with n < 0. Its error
// may be that of a later post.
func (w *World) Wait(n int) error {
	if w.failed != nil {
		return w.failed
	}
	if n > w.posts {
		return fmt.Errorf("mpi: Wait for %d posts, of which there are %d", n, w.posts)
	}
	if n < 0 {
		n = w.posts
	}
	if err := w.call(job{do: finish, n: n}); err != nil {
		return err // the memory stays pinned, as MPI may still write to it
	}
	w.posts -= n
	for n > 0 {
		k := min(n, w.pins[0].posts)
		n -= k
		if w.pins[0].posts -= k; w.pins[0].posts == 0 {
			w.pins[0].Unpin()
			w.pins[0], w.pins[1] = w.pins[1], w.pins[0]
		}
	}
	return nil
}

// Gather returns the words of all ranks, in the order of the ranks. All ranks must call it with the
// same counts; rank r gives counts[r] words, and all together give less than 2³¹. The result is
// valid until the next call.
func (w *World) Gather(own []uint64, counts []int) ([]uint64, error) {
	if w.failed != nil {
		return nil, w.failed
	}
	if len(counts) != w.size || counts[w.rank] != len(own) {
		return nil, fmt.Errorf("mpi: rank %d of %d gives %d words to a Gather of counts %v", w.rank,
			w.size, len(own), counts)
	}
	w.counts, w.at = w.counts[:0], w.at[:0]
	sum := 0
	for _, n := range counts {
		if n < 0 || n > math.MaxInt32-sum {
			return nil, fmt.Errorf("mpi: Gather of counts %v, want at most %d words", counts,
				math.MaxInt32)
		}
		w.counts, w.at = append(w.counts, C.int(n)), append(w.at, C.int(sum))
		sum += n
	}
	w.all = slices.Grow(w.all[:0], sum)[:sum]
	if err := w.call(job{do: collect, own: own}); err != nil {
		return nil, err
	}
	return w.all, nil
}

// Do runs f on MPI's thread, for calls of MPI that a World does not have, and returns its error.
// They may use MPI_COMM_WORLD, whose errors are returned.
func (w *World) Do(f func() error) error {
	if w.failed != nil {
		return w.failed
	}
	return w.call(job{do: run, f: f})
}

// Stop ends the job on this rank; all ranks must call it. There must be no post that has not been
// waited for.
func (w *World) Stop() error {
	if w.failed != nil {
		return w.failed
	}
	if w.posts > 0 {
		return fmt.Errorf("mpi: Stop before a Wait for %d posts", w.posts)
	}
	err := w.call(job{do: stop})
	w.failed = errors.New("mpi: the World has been stopped")
	return err
}

// Abort writes the message to standard error and ends all ranks, within seconds. It does not
// return. Any goroutine may call it, also while another waits.
func (w *World) Abort(message string) {
	fmt.Fprintf(os.Stderr, "mpi: rank %d of %d aborts: %s\n", w.rank, w.size, message)
	late := time.After(grace)
	select {
	case w.jobs <- job{do: abort}:
		<-late // MPI_Abort ends the process
	case <-late:
	}
	os.Exit(1) // upon which mpirun ends the others
}

// call has MPI's thread do a job, after those posted before, and returns its error.
func (w *World) call(j job) error {
	w.jobs <- j
	w.failed = <-w.results
	return w.failed
}

// serve is MPI's thread. It ends with the goroutine, which does not unlock it.
func (w *World) serve() {
	runtime.LockOSThread()
	var rank, size C.int
	failed := called("MPI_Init_thread", C.start(&rank, &size))
	w.rank, w.size = int(rank), int(size)
	w.results <- failed
	for j := range w.jobs {
		// After an error MPI is called no more, but to end the job.
		switch j.do {
		case send, receive:
			if failed == nil {
				p := unsafe.Pointer(unsafe.SliceData(j.b))
				failed = check(C.post(p, C.int(len(j.b)), C.int(j.n), C.int(j.do)))
				if failed != nil {
					failed = w.of(int(j.do), len(j.b), j.n, failed)
				}
			}
		case finish:
			if failed == nil {
				failed = w.finish(j.n)
			}
			w.results <- failed
		case collect:
			if failed == nil {
				failed = called("MPI_Allgatherv", C.gather(words(j.own), C.int(len(j.own)),
					words(w.all), unsafe.SliceData(w.counts), unsafe.SliceData(w.at)))
			}
			w.results <- failed
		case run:
			if failed == nil {
				failed = j.f()
			}
			w.results <- failed
		case stop:
			w.results <- called("MPI_Finalize", C.stop())
			return
		case abort:
			C.quit()
		}
	}
}

// finish waits for the first n requests.
func (w *World) finish(n int) error {
	var at C.struct_message
	var came C.int
	err := check(C.finish(C.int(n), &at, &came))
	if err == nil && came != at.bytes {
		err = fmt.Errorf("%d bytes have come", came)
	}
	if err != nil {
		return w.of(int(at.received), int(at.bytes), int(at.peer), err)
	}
	return nil
}

// of says which message an error is of.
func (w *World) of(received, bytes, peer int, err error) error {
	direction := [...]string{"to", "from"}[received]
	return fmt.Errorf("mpi: rank %d, message of %d bytes %s rank %d: %w", w.rank, bytes, direction,
		peer, err)
}

func words(b []uint64) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

// check returns the error that MPI's code stands for.
func check(code C.int) error {
	if code == C.MPI_SUCCESS {
		return nil
	}
	var text [C.MPI_MAX_ERROR_STRING]C.char
	var n C.int
	C.MPI_Error_string(code, &text[0], &n)
	return errors.New(C.GoStringN(&text[0], n))
}

// called is check for a call that is not of a message.
func called(name string, code C.int) error {
	err := check(code)
	if err != nil {
		err = fmt.Errorf("mpi: %s: %w", name, err)
	}
	return err
}
