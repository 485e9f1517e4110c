//go:build hostbugs

package adamgomlx

import (
	"strings"
	"testing"

	"github.com/fusedadam/adam"
	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/ml/context"
	"github.com/gomlx/gomlx/pkg/ml/layers"
	"github.com/gomlx/gomlx/pkg/ml/layers/batchnorm"
	"github.com/gomlx/gomlx/pkg/ml/layers/lstm"
	"github.com/gomlx/gomlx/pkg/ml/train/optimizers"
)

// What README.md says of the limits of GoMLX v0.26.0. If a test fails, GoMLX has been mended, and
// README.md is to be.

// FromContext sets what the context does not say to defaults, so "adamw" has no weight decay.
func TestHostbugsFromContext(t *testing.T) {
	for _, c := range []hostCase{
		{name: "adamw by name", host: func(ctx *context.Context) optimizers.Interface {
			return optimizers.ByName(ctx, "adamw")
		}, config: host()},
		{name: "FromContext after Betas", host: func(ctx *context.Context) optimizers.Interface {
			return optimizers.Adam().Betas(0.5, 0.5).WeightDecay(0.1).FromContext(ctx).Done()
		}, config: host()},
	} {
		t.Run(c.name, c.run)
	}
}

// The pure-Go backend lacks operations for the gradients of these layers.
func TestHostbugsLayers(t *testing.T) {
	for _, c := range []struct {
		name  string
		lacks string // the operation
		layer layer
	}{
		{"convolution", "Reverse", func(ctx *context.Context, image *graph.Node) *graph.Node {
			return layers.Convolution(ctx, image).Channels(2).KernelSize(3).PadSame().Done()
		}},
		{"maximum pooling", "SelectAndScatterMax",
			func(ctx *context.Context, image *graph.Node) *graph.Node {
				return graph.MaxPool(layers.Dense(ctx, image, true, 2)).Window(2).Done()
			}},
		{"mean pooling", "Pad", func(ctx *context.Context, image *graph.Node) *graph.Node {
			return graph.MeanPool(layers.Dense(ctx, image, true, 2)).Window(2).Done()
		}},
		{"slice", "Pad", func(ctx *context.Context, image *graph.Node) *graph.Node {
			return graph.Slice(layers.Dense(ctx, image, true, 2), graph.AxisRange(0, 1))
		}},
		{"LSTM", "Pad", func(ctx *context.Context, image *graph.Node) *graph.Node {
			all, _, _ := lstm.New(ctx, graph.Reshape(image, 2, 16, 3), 4).Done()
			return all
		}},
		{"batch normalization", "BatchNormForTraining",
			func(ctx *context.Context, image *graph.Node) *graph.Node {
				return batchnorm.New(ctx, image, -1).Done()
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, opt := newContext(t), New(adam.Default(), adam.Options{})
			defer opt.Close()
			err := c.layer.execute(ctx, opt)
			if err == nil || !strings.Contains(err.Error(), `op "`+c.lacks+`" not implemented`) {
				t.Errorf("error %v, want one about the operation %s", err, c.lacks)
			}
		})
	}
}
