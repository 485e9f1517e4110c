// Package torchstate turns the state of PyTorch's optimizers Adam and AdamW into checkpoints of
// package adam, and back. The command "adam convert" does it with files.
//
// On torch's side the state stands in a safetensors file. Its tensors are called like the entries
// of state_dict, state.0.exp_avg, state.0.exp_avg_sq, state.0.max_exp_avg_sq and state.0.step,
// where 0 is torch's number or name of the parameter; the parameters themselves, param.0, may be
// there as well. The metadata param_groups has the groups of state_dict as JSON, and the metadata
// optimizer the name of the class. These lines of Python write and read it:
//
//	import json, torch
//	from safetensors import safe_open
//	from safetensors.torch import save_file
//
//	def save_optimizer(optimizer, path):
//	    saved = optimizer.state_dict()
//	    tensors = {f"state.{i}.{k}": torch.as_tensor(v)
//	               for i, s in saved["state"].items() for k, v in s.items()}
//	    params = (p for group in optimizer.param_groups for p in group["params"])
//	    tensors.update((f"param.{i}", p.detach()) for i, p in enumerate(params))
//	    tensors = {k: t.cpu().clone(memory_format=torch.contiguous_format)
//	               for k, t in tensors.items()}
//	    groups = json.dumps(saved["param_groups"], default=float)
//	    save_file(tensors, path, {"optimizer": type(optimizer).__name__, "param_groups": groups})
//
//	def load_optimizer(optimizer, path):
//	    with safe_open(path, "pt") as f:
//	        words, tensors = f.metadata(), {k: f.get_tensor(k) for k in f.keys()}
//	    if words["optimizer"] != type(optimizer).__name__:
//	        raise ValueError(f"{path} is for {words['optimizer']}")
//	    params = [p for group in optimizer.param_groups for p in group["params"]]
//	    state, groups = {}, json.loads(words["param_groups"])
//	    with torch.no_grad():
//	        for key, t in tensors.items():
//	            kind, i, *what = key.split(".")
//	            t = t if what == ["step"] else t.reshape(params[int(i)].shape)
//	            if kind == "param":
//	                params[int(i)].copy_(t)
//	            else:
//	                state.setdefault(int(i), {})[what[0]] = t
//	    optimizer.load_state_dict({"state": state, "param_groups": groups})
//
// Moments and parameters keep their bits in both directions. Training goes on within the bounds
// that package adam promises for torch.
package torchstate

import (
	"errors"
	"io"

	"github.com/fusedadam/adam/internal/checkpoint"
)

// ErrState is wrapped by the errors of [FromTorch] for a file that is not a state of torch's Adam,
// and by those of [ToTorch] for a checkpoint that torch cannot hold.
var ErrState = errors.New("adam: bad state of torch")

// A Report says what became of a file.
type Report struct {
	Names []string // of the parameters in the new file, in the order of the groups
	// Left is what the new file does not have: of torch's, the names of parameters without state,
	// whose size is not known; of a checkpoint, the keys of moving averages and of what split
	// masters have beside the parameters.
	Left []string
	// Options are the options of torch's groups that neither torch's Adam nor package adam knows.
	// They are kept for the way back.
	Options []string
}

// Metadata of torch's file.
const (
	keyGroups = "param_groups"
	keyClass  = "optimizer"
)

// Values of keyClass.
const (
	classAdam  = "Adam"
	classAdamW = "AdamW"
	classBoth  = "Adam and AdamW" // no class: groups of either
)

// Metadata of a checkpoint, for the way back.
const (
	keyShapes  = checkpoint.KeyShapes
	keyOptions = "torch.options" // {first NAME of the group: {option: value}}
)

// A file is one of torch's, or a checkpoint.
type file struct {
	r       io.ReaderAt
	head    *checkpoint.Head
	ours    bool // it is a checkpoint
	groups  []group
	entries map[string]*entry // by id
}
