"""Trains with PyTorch what package adam trains, and hands the state over in both directions.

    python3 torch_train.py begin|resume|halves FOLDER

FOLDER has save_load.py, the lines of Python in the documentation, and cases.json. "begin" makes the
steps 0 to 4 and writes NAME.5, ten more and NAME.15. "resume" loads NAME.in, which has made 25
steps, writes NAME.25, makes ten more and writes NAME.35. The test in Go has the same gradients.
"halves" loads halves.in, which has a parameter of bfloat16 and one of float32, makes a step and
prints JSON: the types and bits of what there was before.
Exits with 77 where torch or numpy cannot be used.
"""
import json
import pathlib
import struct
import sys
import types

try:
    import numpy as np
    import torch
except Exception as e:  # missing, or broken
    print(e)
    sys.exit(77)

TYPES = {"F32": "<f4", "F64": "<f8", "I64": "<i8", "BF16": "<i2"}  # The bits of BF16.


def save_file(tensors, path, metadata):
    """Is what it is in safetensors.torch, for where that is not installed."""
    entries, data = {"__metadata__": metadata}, b""
    for key, t in tensors.items():
        a = t.numpy()
        dtype = {v[1:]: k for k, v in TYPES.items()}[a.dtype.str[1:]]
        offsets = [len(data), len(data) + a.nbytes]
        entries[key] = {"dtype": dtype, "shape": list(a.shape), "data_offsets": offsets}
        data += a.tobytes()
    header = json.dumps(entries).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(header)) + header + data)


class safe_open:
    """Is what it is in safetensors."""

    def __init__(self, path, framework):
        with open(path, "rb") as f:
            self.entries = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
            self.data = f.read()
        self.words = self.entries.pop("__metadata__")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def metadata(self):
        return self.words

    def keys(self):
        return self.entries.keys()

    def get_tensor(self, key):
        e = self.entries[key]
        a = np.frombuffer(self.data[slice(*e["data_offsets"])], TYPES[e["dtype"]])
        t = torch.from_numpy(a.reshape(e["shape"]).copy())
        return t.view(torch.bfloat16) if e["dtype"] == "BF16" else t


try:
    import safetensors.torch
except ImportError:
    sys.modules["safetensors"] = types.SimpleNamespace(safe_open=safe_open)
    sys.modules["safetensors.torch"] = types.SimpleNamespace(save_file=save_file)


def gradient(step, name, shape, dtype):
    """Returns the gradient of a step, exact in float32; None where the tensor has none."""
    seed = sum(name.encode())
    if (step + seed) % 4 == 0 or name == "frozen":
        return None
    i = np.arange(int(np.prod(shape)), dtype=np.int64)
    g = ((i * 7 + step * 13 + seed * 5) % 33 - 16) / 2.0 ** (2 + i % 5)
    return torch.from_numpy(g.astype(dtype).reshape(shape))


def value(name, shape, dtype):
    """Returns the parameters before the first step."""
    i = np.arange(int(np.prod(shape)), dtype=np.int64)
    v = ((i * 11 + sum(name.encode())) % 41 - 20) / 16.0
    return torch.nn.Parameter(torch.from_numpy(v.astype(dtype).reshape(shape)))


def halves(folder, load_optimizer):
    def bits(t):
        whole = {torch.float32: torch.int32, torch.bfloat16: torch.int16}[t.dtype]
        return [str(t.dtype), t.detach().clone().view(whole).tolist()]

    params = [torch.nn.Parameter(torch.zeros(65, dtype=d))
              for d in (torch.bfloat16, torch.float32)]
    optimizer = torch.optim.AdamW(params)
    load_optimizer(optimizer, folder / "halves.in")
    out = {}
    for i, p in enumerate(params):
        out[f"param.{i}"] = bits(p)
        for what, t in optimizer.state[p].items():
            if what != "step":
                out[f"state.{i}.{what}"] = bits(t)
        p.grad = torch.ones_like(p)
    optimizer.step()
    print(json.dumps(out))


def main(what, folder):
    folder = pathlib.Path(folder)
    sys.path.insert(0, str(folder))
    from save_load import load_optimizer, save_optimizer

    if what == "halves":
        halves(folder, load_optimizer)
        return
    for case in json.loads((folder / "cases.json").read_text()):
        kind = getattr(torch.optim, case["class"])
        params, groups = {}, []
        dtype = np.float64 if case["double"] else np.float32
        for g in case["groups"]:
            mine = {name: value(name, shape, dtype) for name, shape in g["tensors"]}
            params.update(mine)
            options = g["options"] if what == "begin" else {}  # The file has them.
            groups.append({"params": list(mine.values()), **options})
        # Not named_parameters, which torch has from 2.6 on: the names come from Go.
        optimizer = kind(groups, lr=7.0)
        path = folder / case["name"]
        begin, ends = (0, (5, 15)) if what == "begin" else (25, (25, 35))
        if what == "resume":
            with torch.no_grad():
                for p in params.values():
                    p.zero_()
            load_optimizer(optimizer, path.with_suffix(".in"))
        for step in range(begin, ends[-1] + 1):
            if step in ends:
                save_optimizer(optimizer, path.with_suffix(f".{step}"))
            for name, p in params.items():
                p.grad = gradient(step, name, p.shape, dtype)
            optimizer.step()
    print("torch", torch.__version__)


main(*sys.argv[1:])
