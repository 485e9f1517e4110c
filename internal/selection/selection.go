// Package selection chooses the kernel of package adam. It is also the back door through which the
// tests and commands of this repository see how the choice was made and run another kernel.
package selection

import "strings"

// Generic is the name of the kernel in plain Go, the last of every list.
const Generic = "generic"

// A Flag is a feature that the instructions of a kernel need, under the name that
// GODEBUG=cpu.NAME=off knows, and whether CPU and operating system offer it.
type Flag struct {
	Name string
	Have bool
}

// A Kernel is one implementation of the step and the flags it needs, all of them.
type Kernel struct {
	Name  string
	Needs []Flag
}

// Missing returns the names of the needed flags that are not there.
func (k Kernel) Missing() []string {
	var missing []string
	for _, f := range k.Needs {
		if !f.Have {
			missing = append(missing, f.Name)
		}
	}
	return missing
}

// A Choice is what package adam takes for some CPUs.
type Choice struct {
	CPUs  string // in words; "" where the architecture leaves no choice
	Kin   string // the CPUs that were measured in their place; "" if they were themselves
	Ahead int    // bytes that a step prefetches ahead
}

// Rank returns the kernels with the one at index best before the others.
func Rank(kernels []Kernel, best int) []Kernel {
	list := []Kernel{kernels[best]}
	list = append(list, kernels[:best]...)
	return append(list, kernels[best+1:]...)
}

// Choose returns the index of the kernel to use: the requested one if this machine can run it, else
// the first that it can.
func Choose(kernels []Kernel, request string) int {
	best := -1
	for i, k := range kernels {
		if len(k.Missing()) > 0 {
			continue
		}
		if strings.EqualFold(k.Name, request) {
			return i
		}
		if best < 0 {
			best = i
		}
	}
	return best
}

// Set by package adam when it is initialized.
var (
	Kernels []Kernel // all of this architecture, best first
	Request string   // ADAM_KERNEL
	Chosen  Choice   // what put the best first
	Tile    int      // elements that one call of a kernel covers at the most

	// Optional are features that no kernel needs, and that code beside the kernels uses where they
	// are: the codecs of 16 bits.
	Optional []Flag

	// Fused says in words which storages of 16 and 8 bits the kernel in use steps in one loop that
	// decodes, steps and encodes.
	Fused func() []string

	// Mode says in words which floating-point mode the thread is in: "usual", what is unusual, or
	// "unknown" without assembly.
	Mode func() string

	// Use makes the named kernel the one in use and returns the name of the one before. It panics
	// if this machine cannot run it, and must not be called while a step runs.
	Use func(name string) (before string)
)
