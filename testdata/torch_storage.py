"""Reads a checkpoint with the lines of Python that docs/CHECKPOINTS.md has.

    python3 torch_storage.py FOLDER

FOLDER has read.py, those lines, and run.safetensors, which they read. Prints JSON: the type and the
bits of each tensor, and the parameters of split masters in float32. Exits with 77 where torch or
numpy cannot be used.
"""
import json
import os
import sys

try:
    import numpy
    import torch
except Exception as e:  # missing, or broken
    print(e)
    sys.exit(77)

os.chdir(sys.argv[1])
scope = {}
with open("read.py") as f:
    exec(f.read(), scope)


def bits(t):
    whole = {torch.float32: torch.int32, torch.bfloat16: torch.int16}
    return [str(t.dtype), t.view(whole.get(t.dtype, t.dtype)).reshape(-1).tolist()]


out = {name: bits(scope["tensor"](name)) for name in scope["entries"]}
for name in scope["entries"]:
    if name.endswith(".param_rest"):
        name = name[len("state."):-len(".param_rest")]
        out["split." + name] = bits(scope["split"](name))
print(json.dumps(out))
