// Command bench measures a sharded step of a model with the shapes of GPT-2 124M, whose gradients
// are random numbers: its parts, memory and messages, beside the step of one process and beside
// MPI_Reduce_scatter.
//
//	GOWORK=off go build -o /tmp/bench ./bench
//	mpirun -n 2 /tmp/bench
//
// In each round the sides take turns; the figures are the fastest of all rounds on rank 0, and the
// ratios are of these. While rank 0 makes the step of one process, the other ranks wait.
package main

import (
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/fusedadam/adam"
	"github.com/fusedadam/adam/examples/internal/checksum"
	"github.com/fusedadam/adam/examples/internal/command"
	"github.com/fusedadam/adam/internal/models"
	"github.com/fusedadam/adam/internal/roofline"
	"github.com/fusedadam/adam/zero"
	"github.com/fusedadam/adam/zero/mpi"
)

type options struct {
	model                   string
	rounds, leaves, workers int
}

func main() {
	var o options
	flag.StringVar(&o.model, "model", "gpt2", "mlp, resnet50 or gpt2")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds")
	flag.IntVar(&o.leaves, "leaves", 0, "leaves of a step (default: the number of ranks)")
	flag.IntVar(&o.workers, "workers", 1, "workers of a rank")
	command.Run("bench", func() error {
		mpi.Run(func(w *mpi.World) error { return run(w, o) })
		return nil
	})
}

// A bench is one rank.
type bench struct {
	w             *mpi.World
	values, grads []float32
	groups        []adam.Group
	sharded       *zero.Optimizer
	watch         *watch
	step          uint64
}

func run(w *mpi.World, o options) error {
	i := slices.IndexFunc(models.All, func(m models.Model) bool { return m.Key == o.model })
	if i < 0 {
		return fmt.Errorf("no -model %s", o.model)
	}
	b := &bench{w: w, watch: &watch{Comm: w}}
	b.build(models.All[i])
	options := adam.Options{MaxNorm: 1, SkipNonFinite: true, Workers: o.workers}
	var err error
	b.sharded, err = zero.New(b.watch, zero.Options{Options: options, Leaves: o.leaves},
		b.groups...)
	if err != nil {
		return err
	}
	defer b.sharded.Close()
	p, n := float64(len(b.values)), float64(w.Size())
	b.print("%s, %.0f parameters, %d ranks of %d workers, kernel %s\n", models.All[i].Name, p,
		w.Size(), o.workers, adam.Kernel())

	for range 2 {
		if _, err := b.shardedStep(); err != nil {
			return err
		}
	}
	if err := b.memory(8*p + 8*p/n); err != nil {
		return err
	}
	if n > 1 {
		b.print("sent        %8.1f MB a step by a rank, %.4f of 2(N-1)/N·4P\n",
			float64(b.watch.sent)/2/1e6, float64(b.watch.sent)/2/(2*(n-1)/n*4*p))
	}
	b.print("checksum    %08x after two steps\n", checksum.Of(b.values))
	return b.turns(o, options)
}

// build makes the tensors. Small ones do not decay.
func (b *bench) build(m models.Model) {
	b.values, b.grads = make([]float32, m.Parameters()), make([]float32, m.Parameters())
	decay, none := adam.DefaultW(), adam.DefaultW()
	none.WeightDecay = 0
	b.groups = []adam.Group{{Config: decay}, {Config: none}}
	at := 0
	for i, n := range m.Tensors {
		g := &b.groups[0]
		if n < 10_000 {
			g = &b.groups[1]
		}
		g.Params = append(g.Params, adam.Param{Name: fmt.Sprintf("tensor%03d", i),
			Value: b.values[at : at+n : at+n], Grad: b.grads[at : at+n : at+n]})
		at += n
	}
	fill(b.values, 0)
}

// fill sets x to random numbers of some magnitudes.
func fill(x []float32, seed uint64) {
	s := (seed + 1) * 0x9e3779b97f4a7c15
	for i := range x {
		s ^= s << 13
		s ^= s >> 7
		s ^= s << 17
		x[i] = float32(int32(s>>32)) * 0x1p-31 * math.Float32frombits(uint32(110+s&7)<<23)
	}
}

// shardedStep makes a step of random leaves. The time is that of Step alone, which all ranks begin
// together.
func (b *bench) shardedStep() (time.Duration, error) {
	b.step++
	from, to := b.sharded.Leaves()
	for leaf := from; leaf < to; leaf++ {
		fill(b.grads, b.step<<20+uint64(leaf))
		if err := b.sharded.Add(); err != nil {
			return 0, err
		}
	}
	if err := b.barrier(); err != nil {
		return 0, err
	}
	b.watch.begin()
	_, err := b.sharded.Step()
	return b.watch.end(), err
}

// memory compares the most that a rank has with what there must be.
func (b *bench) memory(want float64) error {
	got, err := anonymous()
	if err != nil {
		return err
	}
	all, err := b.w.Gather([]uint64{uint64(got)}, b.ones())
	if err != nil {
		return err
	}
	most := float64(slices.Max(all))
	b.print("memory      %8.1f MB of a rank, %.4f of 8P + 8P/N\n", most/1e6, most/want)
	return nil
}

// turns measures the sides in turns, and tells the fastest times.
func (b *bench) turns(o options, options adam.Options) error {
	n := len(b.values)
	var plain *adam.Optimizer
	var m, v []float32
	out := make([]float32, share(n, b.w.Rank(), b.w.Size()))
	if b.w.Rank() == 0 {
		m, v = make([]float32, n), make([]float32, n)
		var err error
		if plain, err = adam.New(options, b.withMoments(m, v)...); err != nil {
			return err
		}
		defer plain.Close()
	}
	best := map[string]time.Duration{}
	took := func(name string, d time.Duration) {
		if old, ok := best[name]; !ok || d < old {
			best[name] = d
		}
	}
	for range o.rounds {
		d, err := b.shardedStep()
		if err != nil {
			return err
		}
		took("whole", d)
		for i, name := range phases {
			took(name, b.watch.took[i])
		}
		fill(b.grads, b.step)
		if err := b.barrier(); err != nil {
			return err
		}
		if plain != nil {
			began := time.Now()
			if _, err := plain.Step(); err != nil {
				return err
			}
			took("plain", time.Since(began))
			for _, way := range roofline.Ways(adam.Kernels()) {
				began = time.Now()
				way.Traffic(b.values, b.grads, m, v)
				took("traffic", time.Since(began))
			}
		}
		// The sharded optimizer needs the same parameters on all ranks.
		fill(b.values, 0)
		if err := b.barrier(); err != nil {
			return err
		}
		began := time.Now()
		if err := reduceScatter(b.w, b.grads, out); err != nil {
			return err
		}
		took("MPI_Reduce_scatter", time.Since(began))
	}
	ms := func(name string) float64 { return best[name].Seconds() * 1e3 }
	b.print("step        %8.1f ms:", ms("whole"))
	for _, name := range phases {
		b.print(" %s %.1f", name, ms(name))
	}
	b.print("\nplain step  %8.1f ms, %.3f of it is the sharded step\n", ms("plain"),
		ms("whole")/ms("plain"))
	b.print("traffic     %8.1f ms of the plain step's memory traffic alone, %.3f of twice that is "+
		"the sharded step\n", ms("traffic"), ms("whole")/2/ms("traffic"))
	if b.w.Size() > 1 {
		b.print("MPI_Reduce_scatter %.1f ms, %.3f of it is reduce\n", ms("MPI_Reduce_scatter"),
			ms("reduce")/ms("MPI_Reduce_scatter"))
	}
	return nil
}

// withMoments returns the groups with moments in m and v.
func (b *bench) withMoments(m, v []float32) []adam.Group {
	groups := slices.Clone(b.groups)
	for g := range groups {
		groups[g].Params = slices.Clone(groups[g].Params)
		for i := range groups[g].Params {
			p := &groups[g].Params[i]
			n := len(p.Value)
			p.State = &adam.State{M: m[:n:n], V: v[:n:n]}
			m, v = m[n:], v[n:]
		}
	}
	return groups
}

// barrier returns when all ranks have called it.
func (b *bench) barrier() error {
	_, err := b.w.Gather([]uint64{0}, b.ones())
	return err
}

func (b *bench) ones() []int { return slices.Repeat([]int{1}, b.w.Size()) }

func (b *bench) print(format string, a ...any) {
	if b.w.Rank() == 0 {
		fmt.Printf(format, a...)
	}
}

// anonymous returns how many bytes of memory the process has that are no file's and not shared.
func anonymous() (float64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	var kib float64
	_, line, _ := strings.Cut(string(status), "RssAnon:")
	if _, err := fmt.Sscan(line, &kib); err != nil {
		return 0, fmt.Errorf("RssAnon in /proc/self/status: %w", err)
	}
	return 1024 * kib, nil
}
