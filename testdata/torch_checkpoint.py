"""Takes checkpoints of package adam on with PyTorch, and writes what it has made of them as checkpoints.

    python3 torch_checkpoint.py FOLDER

For each FOLDER/NAME.in it writes NAME.0, the same state as torch holds it, and NAME.10 and NAME.20, the
states after so many further steps on the gradients of gradient() below, which the test in Go has as well.
Exits with 77 where torch or numpy cannot be used.
"""
import json
import pathlib
import re
import struct
import sys
import zlib

try:
    import numpy as np
    import torch
except Exception as e:  # missing, or broken
    print(e)
    sys.exit(77)

SUM = re.compile(rb'("adam\.crc32":")[0-9a-f]{8}')


def read(path):
    """Returns the metadata and the tensors of a checkpoint."""
    with open(path, "rb") as f:
        (length,) = struct.unpack("<Q", f.read(8))
        header, data = f.read(length), f.read()
    entries = json.loads(header)
    metadata = entries.pop("__metadata__")
    blank = SUM.sub(rb"\g<1>00000000", header, count=1)
    if "%08x" % zlib.crc32(blank + data) != metadata["adam.crc32"]:
        sys.exit(f"{path}: checksum")
    types = {"F32": "<f4", "I64": "<i8"}
    tensors = {}
    for key, e in entries.items():
        begin, end = e["data_offsets"]
        tensors[key] = np.frombuffer(data[begin:end], types[e["dtype"]]).reshape(e["shape"])
    return metadata, tensors


def write(path, metadata, tensors):
    """Writes a checkpoint, with its checksum."""
    types = {"<f4": "F32", "<i8": "I64"}
    entries, data = {"__metadata__": {**metadata, "adam.crc32": "00000000"}}, b""
    for key, a in tensors.items():
        b = a.tobytes()
        entries[key] = {"dtype": types[a.dtype.str], "shape": list(a.shape), "data_offsets": [len(data), len(data) + len(b)]}
        data += b
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    header = SUM.sub(rb"\g<1>%08x" % zlib.crc32(header + data), header, count=1)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(header)) + header + data)


def gradient(step, name, n):
    """Returns the gradient of a step, exact in float32; None where the tensor has none."""
    seed = sum(name.encode())
    if (step + seed) % 4 == 0:
        return None
    i = np.arange(n, dtype=np.int64)
    return torch.from_numpy((((i * 7 + step * 13 + seed * 5) % 33 - 16) / 2.0 ** (2 + i % 5)).astype(np.float32))


def optimizers(groups, params, tensors):
    """Returns an Adam of the groups that are not decoupled, an AdamW of the others, both with the state loaded."""
    made = []
    for decoupled, kind in ((False, torch.optim.Adam), (True, torch.optim.AdamW)):
        mine = [g for g in groups if g["config"]["decoupled"] == decoupled and g["params"]]
        if not mine:
            continue
        # Options that differ from what is loaded: torch restores them, too.
        o = kind([{"params": [params[name] for name in g["params"]]} for g in mine], lr=7.0)
        state = o.state_dict()
        for g, saved in zip(mine, state["param_groups"]):
            for key in ("lr", "betas", "eps", "weight_decay", "amsgrad", "maximize"):
                saved[key] = g["config"][key]
            for name, index in zip(g["params"], saved["params"]):
                step = int(tensors[f"state.{name}.step"])
                if step == 0:
                    continue  # torch makes the state in the first step
                state["state"][index] = {"step": torch.tensor(float(step))}
                for key in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"):
                    if f"state.{name}.{key}" in tensors:
                        state["state"][index][key] = torch.from_numpy(tensors[f"state.{name}.{key}"].copy())
        o.load_state_dict(state)
        made.append(o)
    return made


def checkpoint(groups, params, made, old):
    """Returns the tensors of a checkpoint of torch's state."""
    state = {p: s for o in made for p, s in o.state.items()}
    tensors = {}
    for g in groups:
        for name in g["params"]:
            p = params[name]
            zeros = torch.zeros_like(p)
            s = state.get(p, {"step": torch.tensor(0.0), "exp_avg": zeros, "exp_avg_sq": zeros, "max_exp_avg_sq": zeros})
            tensors[f"param.{name}"] = p.detach().numpy().astype("<f4")
            tensors[f"state.{name}.step"] = np.array(int(s["step"]), "<i8")
            for key in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"):
                if f"state.{name}.{key}" in old:
                    tensors[f"state.{name}.{key}"] = s[key].numpy().astype("<f4")
    return tensors


def main(folder):
    for path in sorted(pathlib.Path(folder).glob("*.in")):
        metadata, tensors = read(path)
        groups = json.loads(metadata["adam.groups"])
        names = [name for g in groups for name in g["params"]]
        params = {name: torch.nn.Parameter(torch.from_numpy(tensors[f"param.{name}"].copy())) for name in names}
        made = optimizers(groups, params, tensors)
        begin = int(metadata["adam.step"])
        for k in range(21):
            if k in (0, 10, 20):
                metadata["adam.step"] = str(begin + k)
                write(path.with_suffix(f".{k}"), metadata, checkpoint(groups, params, made, tensors))
            for name, p in params.items():
                p.grad = gradient(begin + k, name, p.numel())
            for o in made:
                o.step()
    print("torch", torch.__version__)


main(sys.argv[1])
