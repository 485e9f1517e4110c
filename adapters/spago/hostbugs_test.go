//go:build hostbugs

package adamspago_test

import (
	"sync"
	"testing"
	"time"

	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/nn"
	"github.com/nlpodyssey/spago/optimizers"
)

// Why there is a method Optimize: that of spago returns while its goroutines are still at work. If
// this fails, spago has been mended, and README.md is to be.
func TestHostbugsDoesNotWait(t *testing.T) {
	var atWork sync.WaitGroup
	atWork.Add(1)
	release, returned := make(chan bool), make(chan error, 1)
	params := []*nn.Param{withGrad[float32](mat.Scalar[float32](1), 1)}
	strategy := strategyFunc(func(*nn.Param) error {
		defer atWork.Done()
		<-release
		return nil
	})
	go func() { returned <- optimizers.New(nn.StreamParams(params), strategy).Optimize() }()
	select {
	case err := <-returned:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("spago's Optimizer waits for its goroutines")
	}
	close(release)
	atWork.Wait()
}
