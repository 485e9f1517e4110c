// Package measure times the kernels of package adam, the plain loop and the ceilings of the
// machine.
package measure

import (
	"runtime/debug"
	"strconv"
	"time"

	"github.com/fusedadam/adam/cmd/adam/internal/result"
	"github.com/fusedadam/adam/internal/models"
	"github.com/fusedadam/adam/internal/roofline"
	"github.com/fusedadam/adam/internal/stats"
)

// A Plan says what to measure.
type Plan struct {
	Kernels []string
	Sizes   []int
	Sizes64 []int // of float64
	Firsts  []int // for the first step after scalar code
	Models  []models.Model

	Storages []int // of each storage of 16 and 8 bits

	Time   time.Duration // about, for all together
	Memory int64         // available, 0 if unknown
}

// An item is one size or one model.
type item struct {
	kind    result.Kind
	name    string
	tensors []int
}

func (it item) elements() int {
	n := 0
	for _, t := range it.tensors {
		n += t
	}
	return n
}

// memory is what the item needs: four slices, or those of all storages.
func (it item) memory() int64 {
	n := int64(it.elements())
	switch it.kind {
	case result.Size64:
		return 32 * n
	case result.Storages:
		return storedBytes * n
	}
	return 16 * n
}

// weight is the item's share of the time: a round of a large one takes far longer.
func (it item) weight() int {
	switch bytes := it.memory(); {
	case bytes > 512<<20:
		return 8
	case bytes > 32<<20:
		return 3
	}
	return 1
}

// title is the item's name where sizes of both types may be meant.
func (it item) title() string {
	switch it.kind {
	case result.Size64:
		return it.name + " of float64"
	case result.First:
		return it.name + " after scalar code"
	case result.Storages:
		return it.name + " of each storage"
	}
	return it.name
}

// subjects are what is to be timed on tensors of the item.
func (it item) subjects(kernels []string) []subject {
	list, small := it.on(it.tensors, kernels), it.on([]int{warmElements}, kernels)
	for i, s := range small {
		list[i].warm = func() {
			for start := time.Now(); time.Since(start) < warmUp; {
				s.run(1)
			}
		}
	}
	return list
}

// warmElements is the size of the tensors on which subjects are warmed up.
const warmElements = 4 << 10

// on returns the subjects on tensors of the given sizes.
func (it item) on(sizes []int, kernels []string) []subject {
	switch it.kind {
	case result.First:
		return firsts(kernels, makeTensors(sizes, single))
	case result.Storages:
		return storages(kernels, sizes[0])
	case result.Size64:
		return subjects(kernels, makeTensors(sizes, double), roofline.Arithmetic64, doubleLoops())
	}
	return subjects(kernels, makeTensors(sizes, single), roofline.Arithmetic, singleLoops())
}

func (p *Plan) items() (fit []item, tooLarge []string) {
	var all []item
	for _, n := range p.Sizes {
		all = append(all, item{result.Size, SizeName(n), []int{n}})
	}
	for _, m := range p.Models {
		all = append(all, item{result.Model, m.Name, m.Tensors})
	}
	for _, n := range p.Firsts {
		all = append(all, item{result.First, SizeName(n), []int{n}})
	}
	for _, n := range p.Sizes64 {
		all = append(all, item{result.Size64, SizeName(n), []int{n}})
	}
	for _, n := range p.Storages {
		all = append(all, item{result.Storages, SizeName(n), []int{n}})
	}
	for _, it := range all {
		if p.Memory > 0 && it.memory() > p.Memory/10*9 {
			tooLarge = append(tooLarge, it.title())
			continue
		}
		fit = append(fit, it)
	}
	return fit, tooLarge
}

// Run measures and returns a row for each item and series, and the names of the items left out
// because they do not fit into the memory. progress is told the part done and what comes next.
func (p *Plan) Run(progress func(done float64, next string)) (rows []result.Row,
	tooLarge []string) {
	items, tooLarge := p.items()
	total, done := 0, 0
	for _, it := range items {
		total += it.weight()
	}
	start := time.Now()
	now := func() time.Duration { return time.Since(start) }
	for _, it := range items {
		w := it.weight()
		given := p.Time * time.Duration(w) / time.Duration(total)
		report := func(part float64) {
			progress((float64(done)+part*float64(w))/float64(total), it.title())
		}
		report(0)
		begin := now()
		list := it.subjects(p.Kernels)
		given = max(given-(now()-begin), time.Millisecond)
		for i, samples := range rounds(list, given, now, report) {
			rows = append(rows, it.row(list[i], samples))
		}
		done += w
		debug.FreeOSMemory() // before the next large one
	}
	return rows, tooLarge
}

func (it item) row(s subject, samples []float64) result.Row {
	q := stats.Quantiles(samples, 0.25, 0.5, 0.75)
	perElement := func(ns float64) float64 { // to four digits: there is no more in a measurement
		x, _ := strconv.ParseFloat(strconv.FormatFloat(ns/float64(it.elements()), 'g', 4, 64), 64)
		return x
	}
	return result.Row{
		Kind: it.kind, Name: it.name, Elements: it.elements(), Tensors: len(it.tensors),
		Series:  s.series,
		Samples: len(samples), Q1: perElement(q[0]), Median: perElement(q[1]), Q3: perElement(q[2]),
		Storage: s.storage, Fused: s.fused,
	}
}
