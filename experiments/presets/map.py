"""A map of settings with two variables, on one GPU: many single members of one shape are trained side by side, stacked
along a first axis, so that a hundred of them take minutes.

    python3 map.py map.json --out map.tsv [--seconds 60]

Each group of map.json has a shape (modulus, variables, examples, scored, dModel, dMlp, batch, ...) and axes (pool,
weightDecay, learningRate, trainTasks, seed) whose product are its members. Task, model and AdamW are epigrok's, at a
constant rate after 100 steps of warm-up; the random numbers are not, and matrix products are bfloat16. `scored` is how
many of a prompt's last positions are in the loss. A group ends after `seconds` of training, or `steps`. One line a
member: its settings, the steps trained, and for the pool, for fresh prompts of seen tasks and for unseen tasks the first
of three evaluations in a row at 0.9 of the way from chance to 1 ("-": none), and the accuracy at the last position at
about 12 evaluations. Needs NumPy and PyTorch 2.
"""

import argparse
import contextlib
import itertools
import json
import math
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

SHAPE = dict(
    modulus=7, variables=2, examples=16, scored=1, dModel=64, dMlp=256, heads=4, layers=2, batch=512, every=250,
    probes=256, ropeBase=1000.0, initStd=0.125, fanIn=True, tied=True, roles=True, decayEmbeddings=True, steps=10**9,
    inputFraction=1.0, beta2=0.98,
)
AXES = dict(pool=[4000], weightDecay=[1.0], learningRate=[1.5e-3], trainTasks=[40], seed=[0])


def tasks_of(p, v, trained, seed):
    """(trained on, held out) of all tasks but zero."""
    rng = np.random.default_rng([seed, 1])
    every = np.array([t for t in itertools.product(range(p), repeat=v) if any(t)])
    order = rng.permutation(len(every))
    return every[order[:trained]], every[order[trained:]]


def prompts(rng, tasks, inputs, count, n, p):
    """Tokens (count, n (v + 1) - 1) and targets (count, n)."""
    a = tasks[rng.integers(len(tasks), size=count)]
    x = inputs[rng.integers(len(inputs), size=(count, n))]
    z = (a[:, None, :] * x).sum(-1) % p
    full = np.concatenate([x, z[..., None]], -1).reshape(count, -1)
    return full[:, :-1].astype(np.uint8), z.astype(np.uint8)


class Stack:
    """M decoders, one parameter tensor (M, ...) a name."""

    def __init__(self, s, seeds, device):
        self.s, self.M = s, len(seeds)
        d, m, V, L = s["dModel"], s["dMlp"], s["modulus"], s["layers"]
        self.V = V
        shapes = {"wte": (V, d), **({"wre": (s["variables"] + 1, d)} if s["roles"] else {})}
        for i in range(L):
            shapes |= {f"{i}.qkv": (3 * d, d), f"{i}.o": (d, d), f"{i}.fc": (m, d), f"{i}.proj": (d, m)}
            shapes |= {f"{i}.ln1w": (d,), f"{i}.ln1b": (d,), f"{i}.ln2w": (d,), f"{i}.ln2b": (d,)}
        shapes |= {"lnfw": (d,), "lnfb": (d,), **({} if s["tied"] else {"head": (V, d)})}
        self.p = {}
        for j, (name, shape) in enumerate(shapes.items()):
            if len(shape) == 1:
                value = np.full((self.M, *shape), 1.0 if name.endswith("w") else 0.0)
            else:
                value = np.stack([np.random.default_rng([seed, 2, j]).standard_normal(shape) for seed in seeds])
                std = s["initStd"]
                if s["fanIn"] and name not in ("wte", "wre"):
                    std = shape[1] ** -0.5 / (math.sqrt(2 * L) if name.endswith((".o", ".proj")) else 1)
                value = value * std
            self.p[name] = torch.tensor(value, dtype=torch.float32, device=device, requires_grad=True)
        T = s["examples"] * (s["variables"] + 1) - 1
        self.roles = torch.arange(T, device=device) % (s["variables"] + 1)
        self.residues = torch.arange(V, device=device)
        h = d // s["heads"]
        angle = torch.arange(T)[:, None] * s["ropeBase"] ** (-torch.arange(0, h, 2) / h)
        self.cos, self.sin = angle.cos().to(device), angle.sin().to(device)

    def rope(self, q):  # (..., T, h), pairs interleaved
        a, b = q[..., ::2], q[..., 1::2]
        return torch.stack((a * self.cos - b * self.sin, a * self.sin + b * self.cos), -1).flatten(-2)

    def norm(self, x, w, b):
        return F.layer_norm(x, x.shape[-1:], None, None, 1e-5) * self.p[w][:, None] + self.p[b][:, None]

    def logits(self, tokens, positions):
        """tokens (M, B, T) -> (M, B, positions, V)"""
        s, p, M = self.s, self.p, self.M
        B, T = tokens.shape[1:]
        d, H = s["dModel"], s["heads"]
        one_hot = (tokens[..., None] == self.residues).to(p["wte"].dtype).view(M, B * T, self.V)
        x = torch.bmm(one_hot, p["wte"])
        if s["roles"]:
            x = (x.view(M, B, T, d) + p["wre"][:, self.roles][:, None]).view(M, B * T, d)
        for i in range(s["layers"]):
            last = i == s["layers"] - 1
            h = self.norm(x, f"{i}.ln1w", f"{i}.ln1b")
            qkv = torch.bmm(h, p[f"{i}.qkv"].transpose(1, 2)).view(M * B, T, 3, H, d // H).permute(2, 0, 3, 1, 4)
            q, k, v = self.rope(qkv[0]), self.rope(qkv[1]), qkv[2]
            if hasattr(F, "scaled_dot_product_attention"):
                a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            else:
                scores = q @ k.transpose(-1, -2) / math.sqrt(d // H)
                mask = torch.ones(T, T, device=x.device).triu(1).bool()
                a = scores.masked_fill(mask, -math.inf).softmax(-1) @ v
            a = a.transpose(1, 2).reshape(M, B, T, d)
            if last:
                a = a[:, :, positions]
                x = x.view(M, B, T, d)[:, :, positions].reshape(M, -1, d)
            x = x + torch.bmm(a.reshape(M, -1, d), p[f"{i}.o"].transpose(1, 2))
            h = self.norm(x, f"{i}.ln2w", f"{i}.ln2b")
            h = torch.bmm(h, p[f"{i}.fc"].transpose(1, 2)).relu()
            x = x + torch.bmm(h, p[f"{i}.proj"].transpose(1, 2))
        x = self.norm(x, "lnfw", "lnfb")
        head = p["wte"] if s["tied"] else p["head"]
        return torch.bmm(x, head.transpose(1, 2)).view(M, B, -1, self.V)


def first_sustained(curve, column, mark):
    for i in range(len(curve) - 2):
        if all(curve[j][column] >= mark for j in range(i, i + 3)):
            return curve[i][0]
    return None


COLUMNS = "modulus variables examples inputFraction scored dMlp batch trainTasks pool weightDecay learningRate seed".split()
EVENTS = "memorised generalised grokked".split()
CURVES = ["pool curve", "seen curve", "unseen curve"]


def row(name, settings, curve, mark):
    events = [first_sustained(curve, c, mark) or "-" for c in (1, 2, 3)]
    every = max(1, round(len(curve) / 12))
    shown = curve[every - 1 :: every]
    curves = [" ".join(f"{point[c]:.2f}" for point in shown) for c in (1, 2, 3)]
    return [name, *(settings[c] for c in COLUMNS), curve[-1][0], *events, *curves]


def train_group(group, seconds, device, out):
    s = SHAPE | {k: v for k, v in group.items() if k in SHAPE}
    axes = AXES | {k: v for k, v in group.items() if k in AXES}
    runs = [dict(zip(axes, values)) for values in itertools.product(*axes.values())]
    p, v, n = s["modulus"], s["variables"], s["examples"]
    M, B = len(runs), s["batch"]
    pools, sets = [], []
    for r in runs:
        seen, unseen = tasks_of(p, v, r["trainTasks"], r["seed"])
        rng = np.random.default_rng([r["seed"], 3])
        inputs = np.array(list(itertools.product(range(p), repeat=v)))
        inputs = inputs[rng.permutation(len(inputs))[: round(s["inputFraction"] * len(inputs))]]
        pool = prompts(rng, seen, inputs, r["pool"], n, p)
        pools.append(pool)
        k = s["probes"]
        index = np.arange(k) % r["pool"]
        sets.append([(pool[0][index], pool[1][index]), prompts(rng, seen, inputs, k, n, p), prompts(rng, unseen, inputs, k, n, p)])
    T = pools[0][0].shape[1]
    size = max(r["pool"] for r in runs)
    tokens = torch.zeros(M, size, T, dtype=torch.uint8)
    targets = torch.zeros(M, size, n, dtype=torch.uint8)
    for m, (x, z) in enumerate(pools):
        tokens[m, : len(x)], targets[m, : len(x)] = torch.tensor(x), torch.tensor(z)
    tokens, targets = tokens.to(device), targets.to(device)
    probes = [tuple(torch.tensor(np.stack([q[i][j] for q in sets])).to(device) for j in (0, 1)) for i in range(3)]
    positions = torch.arange(n - s["scored"], n, device=device) * (v + 1) + v - 1
    model = Stack(s, [r["seed"] for r in runs], device)
    lr = torch.tensor([r["learningRate"] for r in runs], device=device)
    wd = torch.tensor([r["weightDecay"] for r in runs], device=device)
    moments = {k: (torch.zeros_like(x), torch.zeros_like(x)) for k, x in model.p.items()}
    rows = torch.zeros(M, B, dtype=torch.long, device=device)
    scale = torch.zeros(3, device=device)  # rate factor, bias corrections
    which = torch.arange(M, device=device)[:, None]

    def step():
        for x in model.p.values():
            x.grad = None
        y = targets[which, rows][..., n - s["scored"] :].long()
        with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda", cache_enabled=False):
            logits = model.logits(tokens[which, rows], positions)
        loss = F.cross_entropy(logits.float().flatten(0, 2), y.flatten(), reduction="sum") / (B * s["scored"])
        loss.backward()
        with torch.no_grad():
            for name, x in model.p.items():
                m1, m2 = moments[name]
                shape = (-1,) + (1,) * (x.dim() - 1)
                m1.lerp_(x.grad, 0.1)
                m2.mul_(s["beta2"]).addcmul_(x.grad, x.grad, value=1 - s["beta2"])
                rate = (lr * scale[0]).view(shape)
                if s["decayEmbeddings"] or (x.dim() == 3 and name not in ("wte", "wre")):
                    x.mul_(1 - rate * wd.view(shape))
                x.sub_(rate * (m1 * scale[1]) / ((m2 * scale[2]).sqrt() + 1e-8))
        return loss

    def scale_at(t):
        return [min(1.0, t / 100), 1 / (1 - 0.9**t), 1 / (1 - s["beta2"] ** t)]

    def evaluate():
        found = []
        with torch.no_grad(), torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda", cache_enabled=False):
            for x, z in probes:
                hits = model.logits(x, positions[-1:])[:, :, 0].argmax(-1) == z[..., -1].long()
                found.append(hits.float().mean(1).tolist())
        return list(zip(*found))

    rngs = [np.random.default_rng([r["seed"], 4]) for r in runs]
    stock = [np.empty(0, dtype=np.int64) for _ in runs]

    def chunk(steps):
        for m, r in enumerate(runs):
            while len(stock[m]) < steps * B:
                stock[m] = np.concatenate([stock[m]] + [rngs[m].permutation(r["pool"]) for _ in range(1 + steps * B // r["pool"])])
        taken = np.stack([q[: steps * B].reshape(steps, B) for q in stock], 1)
        for m in range(M):
            stock[m] = stock[m][steps * B :]
        return torch.tensor(taken).to(device)

    graph = None
    curves = [[] for _ in runs]
    t, began = 0, time.time()
    while t < s["steps"] and time.time() - began < seconds:
        order = chunk(s["every"])
        scales = torch.tensor([scale_at(t + i + 1) for i in range(s["every"])]).to(device)
        for i in range(s["every"]):
            t += 1
            scale.copy_(scales[i])
            rows.copy_(order[i])
            if device == "cuda" and t > 11:
                if graph is None:
                    torch.cuda.synchronize()
                    graph = torch.cuda.CUDAGraph()
                    keep = {k: x.detach().clone() for k, x in model.p.items()}
                    kept = {k: (a.clone(), b.clone()) for k, (a, b) in moments.items()}
                    with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
                        step()
                    with torch.no_grad():
                        for k, x in model.p.items():
                            x.copy_(keep[k])
                            moments[k][0].copy_(kept[k][0]), moments[k][1].copy_(kept[k][1])
                graph.replay()
            else:
                step()
        for m, accuracies in enumerate(evaluate()):
            curves[m].append([t, *(round(a, 3) for a in accuracies)])
    took = time.time() - began
    mark = 0.9 * (1 - 1 / p) + 1 / p
    with open(out, "a") as file:
        for r, curve in zip(runs, curves):
            file.write("\t".join(map(str, row(group["name"], s | r, curve, mark))) + "\n")
    print(f"{group.get('name')}: {M} members, {t} steps, {took:.0f} s, {1000 * took / t:.1f} ms a step", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("groups")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--out", default="map.tsv")
    options = parser.parse_args()
    if not os.path.exists(options.out):
        with open(options.out, "w") as file:
            file.write("\t".join(["group", *COLUMNS, "steps", *EVENTS, *CURVES]) + "\n")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = True
    for group in json.load(open(options.groups)):
        try:
            with torch.cuda.stream(torch.cuda.Stream()) if device == "cuda" else contextlib.nullcontext():
                train_group(group, group.get("seconds", options.seconds), device, options.out)
        except Exception as error:  # one group that fails must not end the others
            print(group.get("name"), "failed:", repr(error)[:500], flush=True)


if __name__ == "__main__":
    main()
