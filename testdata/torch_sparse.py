# Steps of real PyTorch's SparseAdam over rows of tables, for rows_torch_test.go:
#
#   torch_sparse.py < input > output, both JSON; exit 77 without torch
import json
import sys

try:
    import torch
except ImportError as e:
    print(e)
    sys.exit(77)

torch.set_num_threads(1)
results = []
for case in json.load(sys.stdin):
    table = torch.nn.Parameter(torch.tensor(case["table"], dtype=torch.float32).view(case["size"]))
    optimizer = torch.optim.SparseAdam([table], lr=case["lr"], betas=case["betas"],
                                       eps=case["eps"], maximize=case["maximize"])
    for rows, grad in case["steps"]:
        values = torch.tensor(grad, dtype=torch.float32).view(len(rows), -1)
        table.grad = torch.sparse_coo_tensor([rows], values, case["size"])
        optimizer.step()
    state = optimizer.state[table]
    results.append({"table": table.flatten().tolist(), "step": int(state["step"]),
                    "m": state["exp_avg"].flatten().tolist(),
                    "v": state["exp_avg_sq"].flatten().tolist()})
json.dump(results, sys.stdout)
