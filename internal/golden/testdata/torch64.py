# Records torch64.zip: trajectories of PyTorch's Adam and AdamW in float64.
#
#   /usr/bin/python3 torch64.py torch64.zip
#
# A second process makes the same steps at torch's level without FMA.
import json
import math
import os
import random
import struct
import subprocess
import sys
import zipfile

import torch

torch.set_num_threads(1)
LENGTHS = [1, 3, 4, 7, 8, 9, 15, 17, 33]


def single(x):
    """x as a float32, where many gradients must be stored in little space."""
    return struct.unpack("f", struct.pack("f", x))[0]


# Gradients by step (from 0) and a random number generator.
KINDS = {
    "noise": lambda k, r: r.gauss(0, 1),
    "decaying": lambda k, r: math.exp(-k / 3) * (1 + r.gauss(0, 1) / 8),
    "alternating": lambda k, r: (1 - 2 * (k % 2)) * (1 + r.gauss(0, 1) / 8),
    "sparse": lambda k, r: r.choice([0.0, 0.0, 0.0, -0.0, r.gauss(0, 1)]),
    "zero": lambda k, r: r.choice([0.0, -0.0]),
    "mixed": lambda k, r: r.gauss(0, 1) * 2.0 ** r.randint(-60, 40),
    "huge": lambda k, r: r.gauss(0, 1) * 2.0 ** r.randint(300, 500),
    "overflow": lambda k, r: r.gauss(0, 1) * 2.0 ** r.randint(505, 520),
    "tiny": lambda k, r: r.gauss(0, 1) * 2.0 ** r.randint(-490, -300),
    "underflow": lambda k, r: r.gauss(0, 1) * 2.0 ** r.randint(-1000, -500),
    "subnormal": lambda k, r: r.choice([-1, 1]) * r.getrandbits(52) * 2.0**-1074,
    "special": lambda k, r: r.choice([r.gauss(0, 1)] * 20 + [math.nan, math.inf, -math.inf]),
    "long noise": lambda k, r: single(r.gauss(0, 1)),
    "long decaying": lambda k, r: single(math.exp(-k / 50) * (1 + r.gauss(0, 1) / 8)),
    "long alternating": lambda k, r: single((1 - 2 * (k % 2)) * (1 + r.gauss(0, 1) / 8)),
}
LONG = [("long noise", 3), ("long decaying", 3), ("long alternating", 3)]

# Name: the tensors as (kind, length), and what differs from the default: hyper-parameters, "steps",
# "scale" of the first parameters, "lrs" by step, "missing" gradients, "begun" after so many steps.
CASES = {
    "adam_lengths": ([("noise", n) for n in LENGTHS], {}),
    "adamw_lengths": ([("noise", n) for n in LENGTHS], {"weight_decay": 0.01}),
    "adam_kinds": ([(k, 7) for k in ("noise", "decaying", "alternating", "sparse", "zero",
                                     "mixed")], {}),
    "adam_near0": ([("noise", 17), ("mixed", 9)], {"scale": 1e-3}),
    "adam_p0": ([("noise", 17)], {"scale": 0}),
    "adam_lr01": ([("noise", 17)], {"lr": 0.1}),
    "adam_lr1e-5": ([("noise", 17)], {"lr": 1e-5, "scale": 1e-5}),
    "adam_lr0": ([("noise", 9)], {"lr": 0}),
    "adam_lrs": ([("noise", 9)], {"lrs": [1e-3 * (1 + math.cos(k)) for k in range(12)]}),
    "adam_b0_0": ([("noise", 9)], {"betas": [0, 0]}),
    # not noise: with this v one small gradient makes an update beside which the others do not count
    "adam_b09_0": ([("alternating", 17), ("decaying", 9)], {"betas": [0.9, 0]}),
    "adam_b0_0999": ([("noise", 9)], {"betas": [0, 0.999]}),
    "adam_b08_095": ([("noise", 17), ("decaying", 9)], {"betas": [0.8, 0.95]}),
    "adam_b09_09999": ([("noise", 9)], {"betas": [0.9, 0.9999]}),
    "adam_eps0": ([("noise", 9), ("tiny", 9)], {"eps": 0}),
    "adam_eps0_sparse": ([("sparse", 17)], {"eps": 0}),
    "adam_eps0_underflow": ([("underflow", 17), ("subnormal", 9)], {"eps": 0}),
    "adam_eps1e-3": ([("noise", 9), ("mixed", 9)], {"eps": 1e-3}),
    "adam_eps1e-100": ([("tiny", 17)], {"eps": 1e-100}),
    "adam_wd001": ([("noise", 17)], {"weight_decay": 0.01, "l2": True}),
    "adam_wd01_b08": ([("decaying", 9), ("sparse", 9)],
                      {"weight_decay": 0.1, "l2": True, "betas": [0.8, 0.95]}),
    "adam_maximize": ([("noise", 9)], {"maximize": True}),
    "adam_wd_maximize": ([("noise", 9)], {"maximize": True, "weight_decay": 0.1, "l2": True}),
    "adam_ams": ([("decaying", 17), ("mixed", 9)], {"amsgrad": True}),
    "adam_ams_b08_wd": ([("sparse", 17)], {"amsgrad": True, "betas": [0.8, 0.95],
                                          "weight_decay": 0.01, "l2": True}),
    "adamw_kinds": ([(k, 7) for k in ("decaying", "alternating", "sparse", "zero", "mixed")],
                    {"weight_decay": 0.1, "lr": 1e-2}),
    "adamw_ams_maximize": ([("decaying", 17)], {"amsgrad": True, "maximize": True,
                                                "weight_decay": 0.1}),
    "adamw_near0_ams": ([("mixed", 17)], {"amsgrad": True, "weight_decay": 0.01, "scale": 1e-3}),
    "adam_huge": ([("huge", 17), ("overflow", 9)], {}),
    "adamw_ams_huge": ([("huge", 9), ("overflow", 9)], {"amsgrad": True, "weight_decay": 0.01}),
    "adam_tiny": ([("tiny", 17), ("underflow", 9), ("subnormal", 9)], {}),
    "adam_special": ([("special", 33)], {}),
    "adamw_special_ams": ([("special", 33)], {"amsgrad": True, "weight_decay": 0.01}),
    "adam_special_wd": ([("special", 17)], {"weight_decay": 0.01, "l2": True}),
    "adam_missing": ([("noise", 5), ("sparse", 5)], {"missing": True}),
    "adam_begun": ([("noise", 9)], {"begun": 1_000_000}),
    "adamw_ams_begun": ([("noise", 9)], {"begun": 300, "amsgrad": True, "weight_decay": 0.01}),
    "adam_long": (LONG, {"steps": 1000}),
    "adamw_long": (LONG, {"steps": 1000, "weight_decay": 0.01, "lr": 1e-2}),
    "adam_long_wd": (LONG, {"steps": 300, "weight_decay": 0.01, "l2": True}),
    "adamw_long_ams": (LONG, {"steps": 300, "weight_decay": 0.01, "amsgrad": True}),
}


def bits(values):
    return [struct.pack(">d", x).hex() for x in values]


def record(step, state, p):
    """What the archive holds of a tensor after a step."""
    r = {"step": step, "param": bits(p.tolist()), "state_step": 0.0}
    if state:
        r["state_step"] = float(state["step"])
        for key in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"):
            if key in state:
                r[key] = bits(state[key].tolist())
    return r


def run(name, tensors, o):
    r = random.Random(name)
    steps = o.get("steps", 12)
    stored = {1, 2, 3, steps // 2, steps} if steps < 100 else set(range(1, 4)) | set(
        range(steps // 5, steps + 1, steps // 5))
    l2 = o.get("l2") or not o.get("weight_decay")
    hyper = {"lr": o.get("lr", 1e-3), "betas": o.get("betas", [0.9, 0.999]),
             "eps": o.get("eps", 1e-8), "weight_decay": o.get("weight_decay", 0),
             "amsgrad": o.get("amsgrad", False), "maximize": o.get("maximize", False)}
    params = [torch.nn.Parameter(torch.tensor(
        [r.gauss(0, 1) * o.get("scale", 2.0 ** r.randint(-12, 0)) for _ in range(n)],
        dtype=torch.float64))
        for _, n in tensors]
    kind = torch.optim.Adam if l2 else torch.optim.AdamW
    optimizer = kind(params, foreach=False, **hyper)
    data = [{"group": 0, "init_param": bits(p.tolist()), "grads": [], "f64": []} for p in params]
    if "begun" in o:
        for p, d in zip(params, data):
            state = optimizer.state[p]
            state["step"] = torch.tensor(float(o["begun"]))
            for key in ("exp_avg", "exp_avg_sq") + ("max_exp_avg_sq",) * hyper["amsgrad"]:
                x = [r.gauss(0, 1) / 8 for _ in p]
                state[key] = torch.tensor([abs(y) for y in x] if "sq" in key else x,
                                          dtype=torch.float64)
            d["init_state"] = record(0, state, p)
    for k in range(steps):
        if "lrs" in o:
            optimizer.param_groups[0]["lr"] = o["lrs"][k]
        for p, d, (gradients, n) in zip(params, data, tensors):
            g = [KINDS[gradients](k, r) for _ in range(n)]
            if o.get("missing") and r.random() < 0.4:
                p.grad, g = None, None
            else:
                p.grad = torch.tensor(g, dtype=torch.float64)
            d["grads"].append(g and bits(g))
        optimizer.step()
        if k + 1 in stored:
            for p, d in zip(params, data):
                d["f64"].append(record(k + 1, optimizer.state.get(p), p.detach()))
    return {"optimizer": kind.__name__, "n_steps": steps, "lr_per_step": o.get("lrs"),
            "groups": [{"hyper": hyper}], "tensors": data}


def main():
    if len(sys.argv) < 2:
        json.dump({name: run(name, *case) for name, case in CASES.items()}, sys.stdout)
        return
    fused, plain = (json.loads(subprocess.check_output(
        [sys.executable, __file__], env={**os.environ, "ATEN_CPU_CAPABILITY": level}))
        for level in ("avx2", "default"))
    with zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, case in fused.items():
            for t, other in zip(case["tensors"], plain[name]["tensors"]):
                assert t["grads"] == other["grads"]
                t["f64_nofma"] = other["f64"]
            entry = zipfile.ZipInfo(f"torch/{name}.json", (2026, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, json.dumps(case, separators=(",", ":")))


main()
