# Steps of real PyTorch with clipping, loss scaling and a moving average, or a long run whose
# parameters are stored now and then, for torch_options_test.go and step64_exact_test.go:
#
#   torch_options.py < input > output, both JSON; exit 77 without torch
import json
import sys

try:
    import torch
except ImportError as e:
    print(e)
    sys.exit(77)

torch.set_num_threads(1)
case = json.load(sys.stdin)
dtype = torch.float64 if case.get("float64") else torch.float32
params = [torch.nn.Parameter(torch.tensor(p, dtype=dtype)) for p in case["params"]]
kind = torch.optim.Adam if case.get("l2") else torch.optim.AdamW
optimizer = kind(params, lr=case["lr"], weight_decay=case["decay"],
                 amsgrad=case.get("amsgrad", False))
average, norms, stored = [p.detach().clone() for p in params], [], []
for step, grads in enumerate(case["grads"]):
    for p, g in zip(params, grads):
        p.grad = torch.tensor(g, dtype=dtype) / case["scale"]
    if case.get("max_norm"):
        norms.append(float(torch.nn.utils.clip_grad_norm_(params, case["max_norm"])))
    if case.get("max_value"):
        torch.nn.utils.clip_grad_value_(params, case["max_value"])
    optimizer.step()
    if "every" in case:
        if (step + 1) % case["every"] == 0:
            stored.append([p.tolist() for p in params])
        continue
    for a, p in zip(average, params):
        if step == 0:
            a.copy_(p.detach())
        else:
            a.lerp_(p.detach(), 1 - case["ema"])
json.dump({"params": [p.tolist() for p in params], "average": [a.tolist() for a in average],
           "norms": norms, "stored": stored}, sys.stdout)
