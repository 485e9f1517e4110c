package mpi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The tests run this binary by mpirun. Each rank then has the name of a case here, and does that
// instead of the tests.
const caseOf = "ADAM_MPI_TEST_CASE"

var cases = map[string]func(w *World) error{
	"exchange": exchange, "gather": gathers, "misuse": misuse, "pins": pinned, "short": short,
	"long": long, "nobody": nobody, "huge": huge, "panic": panics, "goexit": goexits,
	"goroutine": goroutine, "error": fails, "kill": killed, "exit": exits, "abort": aborts,
	"forgotten": forgotten, "trains": trains, "no batch": noBatch, "other model": otherModel,
	"other rate": otherRate, "no pass": noPass,
}

func TestMain(m *testing.M) {
	if f, ok := cases[os.Getenv(caseOf)]; ok {
		Run(func(w *World) error {
			err := f(w)
			if err == nil {
				fmt.Printf("rank %d of %d is well\n", w.Rank(), w.Size())
			}
			return err
		})
		return
	}
	os.Exit(m.Run())
}

// mpirun runs a case with n ranks, and returns what they have written.
func mpirun(t *testing.T, n int, name string, flags ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	args := append([]string{"-n", fmt.Sprint(n)}, flags...)
	cmd := exec.CommandContext(ctx, "mpirun", append(args, os.Args[0])...)
	cmd.Env = append(os.Environ(), caseOf+"="+name, "OMPI_ALLOW_RUN_AS_ROOT=1",
		"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1", "OMPI_MCA_rmaps_base_oversubscribe=1",
		"OMPI_MCA_mpi_yield_when_idle=1", "PMIX_MCA_gds=hash")
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("%s: %d ranks hang:\n%s", name, n, out)
	}
	return string(out), err
}

func TestWell(t *testing.T) {
	for _, name := range []string{"exchange", "gather", "misuse", "pins"} {
		for n := 1; n <= 4; n++ {
			out, err := mpirun(t, n, name)
			if err != nil || strings.Count(out, "is well") != n {
				t.Errorf("%s, %d ranks: %v\n%s", name, n, err, out)
			}
		}
	}
}

// Over TCP, as between machines.
func TestTCP(t *testing.T) {
	out, err := mpirun(t, 3, "exchange", "--mca", "btl", "tcp,self")
	if err != nil || strings.Count(out, "is well") != 3 {
		t.Errorf("%v\n%s", err, out)
	}
}

// A program that mpirun has not started is the only rank.
func TestAlone(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), caseOf+"=exchange")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "rank 0 of 1 is well") {
		t.Errorf("%v\n%s", err, out)
	}
}

// Whatever happens to one rank, the job ends, although the others wait for it.
func TestFailures(t *testing.T) {
	for name, want := range map[string]string{
		"short":     "rank 1, message of 8 bytes from rank 0: 4 bytes have come",
		"long":      "rank 1, message of 8 bytes from rank 0: MPI_ERR_TRUNCATE",
		"nobody":    "message of 8 bytes to rank 99: MPI_ERR_RANK",
		"huge":      "message of 2147483648 bytes, want at most 2147483647",
		"panic":     "rank 1 of 3 aborts: panic: no bread",
		"goexit":    "rank 1 of 3 aborts: panic: <nil>",
		"goroutine": "no wine",
		"error":     "rank 1 of 3 aborts: no cheese",
		"kill":      "",
		"exit":      "",
		"abort":     "rank 1 of 3 aborts: no more",
		"forgotten": "rank 1 of 3 aborts: mpi: Stop before a Wait for 1 posts",
	} {
		began := time.Now()
		out, err := mpirun(t, 3, name)
		if took := time.Since(began); err == nil || took > 20*time.Second ||
			!strings.Contains(out, want) || strings.Contains(out, "rank 0 of 3 is well") {
			t.Errorf("%s: ended with %v in %v, want %q\n%s", name, err, took, want, out)
		}
	}
}

// fill sets b to bytes that depend on where they come from and go to.
func fill(b []byte, from, to, k int) {
	rng := rand.NewChaCha8([32]byte{byte(from), byte(to), byte(k)})
	_, _ = rng.Read(b)
}

// exchange sends messages of many lengths from each rank to each, itself too. While those of one
// round are waited for, those of the next are on their way.
func exchange(w *World) error {
	type message struct {
		from, k int
		b       []byte
	}
	lengths := []int{0, 1, 7, 4096, 65536, 1 << 20, 3<<20 + 5}
	rounds := make([][]message, 12)
	check := func(round int) error {
		if err := w.Wait(2 * w.Size()); err != nil {
			return err
		}
		for _, m := range rounds[round] {
			want := make([]byte, len(m.b))
			fill(want, m.from, w.Rank(), m.k)
			if !bytes.Equal(m.b, want) {
				return fmt.Errorf("message %d from rank %d has other bytes", m.k, m.from)
			}
		}
		return nil
	}
	for k := range rounds {
		n := lengths[k%len(lengths)]
		for r := range w.Size() {
			b := make([]byte, n)
			w.Receive(r, b)
			rounds[k] = append(rounds[k], message{r, k, b})
		}
		for r := range w.Size() {
			b := make([]byte, n)
			fill(b, w.Rank(), r, k)
			w.Send(r, b)
		}
		runtime.GC()
		if k > 0 {
			if err := check(k - 1); err != nil {
				return err
			}
		}
	}
	return errors.Join(check(len(rounds)-1), w.Wait(-1), w.Wait(0))
}

func gathers(w *World) error {
	for round := range 3 {
		counts, want := make([]int, w.Size()), []uint64{}
		for r := range counts {
			counts[r] = r * (round * 1000)
			for i := range counts[r] {
				want = append(want, uint64(r)<<40+uint64(i+round))
			}
		}
		own := make([]uint64, counts[w.Rank()])
		for i := range own {
			own[i] = uint64(w.Rank())<<40 + uint64(i+round)
		}
		all, err := w.Gather(own, counts)
		if err != nil {
			return err
		}
		if !slices.Equal(all, want) {
			return fmt.Errorf("round %d: other words", round)
		}
	}
	return nil
}

// misuse has errors that concern no other rank, after which all goes on.
func misuse(w *World) error {
	_, again := Start()
	posts := w.Wait(1)
	ranks := make([]int, w.Size()+1)
	_, tooMany := w.Gather(nil, ranks)
	_, other := w.Gather([]uint64{1}, ranks[1:])
	ranks[w.Rank()] = 1
	counts := slices.Clone(ranks[:w.Size()])
	if w.Size() > 1 {
		counts[(w.Rank()+1)%w.Size()] = 1<<31 - 1
	} else {
		counts[0] = -1
	}
	_, long := w.Gather([]uint64{1}, counts)
	for i, err := range []error{again, posts, tooMany, other, long} {
		if err == nil || !strings.HasPrefix(err.Error(), "mpi: ") {
			return fmt.Errorf("misuse %d: error %v", i, err)
		}
	}
	return exchange(w)
}

// pinned looks at what the garbage collector may free: what has been waited for, and nothing else.
func pinned(w *World) error {
	freed := make(chan int, 6)
	memory := func(name int) []byte {
		b := new([1 << 16]byte)
		runtime.SetFinalizer(b, func(*[1 << 16]byte) { freed <- name })
		return b[:]
	}
	collect := func() (names []int) {
		for range 3 {
			runtime.GC()
			time.Sleep(20 * time.Millisecond)
		}
		for len(freed) > 0 {
			names = append(names, <-freed)
		}
		slices.Sort(names)
		return names
	}
	for k := range 2 {
		w.Receive(w.Rank(), memory(2*k))
		w.Send(w.Rank(), memory(2*k+1))
	}
	posted := collect()
	err := w.Wait(2)
	// What was posted before that wait is one generation, what was posted after it the next.
	w.Receive(w.Rank(), memory(4))
	w.Send(w.Rank(), memory(5))
	half := collect()
	err = errors.Join(err, w.Wait(2))
	first := collect()
	err = errors.Join(err, w.Wait(-1))
	second := collect()
	if len(posted)+len(half) > 0 || !slices.Equal(first, []int{0, 1, 2, 3}) ||
		!slices.Equal(second, []int{4, 5}) {
		return fmt.Errorf("freed %v, %v, then %v, then %v", posted, half, first, second)
	}
	return err
}

func short(w *World) error { return unequal(w, 4) }
func long(w *World) error  { return unequal(w, 16) }

// unequal sends n bytes to a rank that receives 8.
func unequal(w *World, n int) error {
	switch w.Rank() {
	case 0:
		w.Send(1, make([]byte, n))
	case 1:
		w.Receive(0, make([]byte, 8))
	}
	err := w.Wait(-1)
	if err == nil {
		return wait(w)
	}
	w.Send(0, nil)
	if again := w.Wait(-1); !errors.Is(again, err) {
		return fmt.Errorf("after an error: %w", again)
	}
	return err
}

func nobody(w *World) error {
	if w.Rank() != 1 {
		return wait(w)
	}
	w.Send(99, make([]byte, 8))
	return w.Wait(-1)
}

func huge(w *World) error {
	return fail(w, func() error {
		w.Send(0, make([]byte, 1<<31))
		return w.Wait(-1)
	})
}

// wait is what the other ranks do while one fails: they wait for it.
func wait(w *World) error {
	counts := make([]int, w.Size())
	for r := range counts {
		counts[r] = 1
	}
	_, err := w.Gather([]uint64{1}, counts)
	return err
}

// fail does f on rank 1 when the others wait.
func fail(w *World, f func() error) error {
	if w.Rank() != 1 {
		return wait(w)
	}
	time.Sleep(100 * time.Millisecond)
	return f()
}

func panics(w *World) error  { return fail(w, func() error { panic("no bread") }) }
func goexits(w *World) error { return fail(w, func() error { runtime.Goexit(); return nil }) }
func fails(w *World) error   { return fail(w, func() error { return errors.New("no cheese") }) }

func goroutine(w *World) error {
	return fail(w, func() error {
		go panic("no wine")
		select {}
	})
}

func killed(w *World) error {
	return fail(w, func() error { return syscall.Kill(os.Getpid(), syscall.SIGKILL) })
}

func exits(w *World) error { return fail(w, func() error { os.Exit(0); return nil }) }

// aborts calls Abort while MPI's thread waits for a message that never comes.
func aborts(w *World) error {
	return fail(w, func() error {
		go func() {
			time.Sleep(200 * time.Millisecond)
			w.Abort("no more")
		}()
		w.Receive(0, make([]byte, 8))
		return w.Wait(-1)
	})
}

// forgotten has a post that nobody waits for.
func forgotten(w *World) error {
	return fail(w, func() error {
		w.Receive(0, make([]byte, 8))
		return nil
	})
}
