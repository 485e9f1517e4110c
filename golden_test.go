package adam

import (
	"testing"

	"github.com/fusedadam/adam/internal/golden"
)

// Every trajectory of real PyTorch, on every kernel: parameters within golden.Bound, the moments of
// torch without FMA to the bit.
func TestPyTorchTrajectories(t *testing.T) {
	cases, err := golden.Cases()
	if err != nil {
		t.Fatal(err)
	}
	eachKernel(t, func(t *testing.T) {
		var total golden.Result
		for _, c := range cases {
			r, err := c.Check(makeStep)
			if err != nil {
				t.Error(err)
			}
			total.Values += r.Values
			total.Exact += r.Exact
			total.MaxError = max(total.MaxError, r.MaxError)
		}
		if len(cases) != 123 || total.Values != 42265 || total.Exact != 18070 { // what the archive holds
			t.Errorf("%d cases, %d parameters and %d exact moments compared", len(cases), total.Values, total.Exact)
		}
		t.Logf("%d trajectories, %d parameters within %.2g of max(|p|, LR), %d moments to the bit", len(cases), total.Values, total.MaxError, total.Exact)
	})
}
