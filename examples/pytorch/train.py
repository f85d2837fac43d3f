"""The task of He et al. (arXiv 2406.02550) in plain PyTorch: an ensemble of decoders that learn z = a x + b y mod p from
examples in the prompt, and the predictions from which `epigrok diagnose --predictions` tells whether they generalised.

The defaults are the published setting: modulus 29, 512 of 841 tasks, balanced batches of 1024 prompts of 32 examples,
two layers of width 512. A setting that takes minutes on a CPU:

    python3 train.py --modulus 7 --train-tasks 36 --examples 8 --d-model 64 --lr 1e-3 --warmup 100 --weight-decay 0.4 \
        --batch 72 --input-fraction 1 --steps 4000 --every 100 --device cpu

PyTorch 1.13 or later, and NumPy.
"""

import argparse
import math
import os
import sys
import time
from contextlib import nullcontext

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

MEBIBYTE = 2**20


class Attention(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(d, 3 * d, bias=False)
        self.o = nn.Linear(d, d, bias=False)

    def forward(self, x, cos, sin):
        B, T, d = x.shape
        q, k, v = (t.view(B, T, self.heads, -1).transpose(1, 2) for t in self.to_qkv(x).split(d, -1))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if hasattr(F, "scaled_dot_product_attention"):
            y = F.scaled_dot_product_attention(q, k, v.to(q.dtype), is_causal=True)
        else:
            mask = torch.full((T, T), -math.inf, device=x.device).triu(1)
            y = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + mask, -1) @ v
        return self.o(y.transpose(1, 2).reshape(B, T, d))


def rotate(x, cos, sin):
    """Rotary embedding over the full head dimension, neighbouring pairs."""
    x0, x1 = x[..., 0::2], x[..., 1::2]
    return torch.stack((x0 * cos - x1 * sin, x0 * sin + x1 * cos), -1).flatten(-2).to(x.dtype)


class MLP(nn.Module):
    def __init__(self, d, width):
        super().__init__()
        self.c_fc = nn.Linear(d, width, bias=False)
        self.c_proj = nn.Linear(width, d, bias=False)

    def forward(self, x):
        return self.c_proj(F.relu(self.c_fc(x)))


class Block(nn.Module):
    def __init__(self, d, heads, width):
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(d), Attention(d, heads)
        self.ln_2, self.mlp = nn.LayerNorm(d), MLP(d, width)

    def forward(self, x, cos, sin):
        x = x + self.attn(self.ln_1(x), cos, sin)
        return x + self.mlp(self.ln_2(x))


class Decoder(nn.Module):
    """Pre-LN decoder with tied embeddings: tokens (B, T) -> logits (B, len(positions), V)."""

    def __init__(self, vocabulary, d, layers, heads, width, length, rope_base=10000.0, init_std=0.02):
        super().__init__()
        self.wte = nn.Embedding(vocabulary, d)
        self.h = nn.ModuleList(Block(d, heads, width) for _ in range(layers))
        self.ln_f = nn.LayerNorm(d)
        head = d // heads
        angle = torch.arange(length)[:, None] * rope_base ** (-torch.arange(0, head, 2) / head)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=init_std)

    def forward(self, tokens, positions):
        T = tokens.shape[1]
        x = self.wte(tokens)
        for block in self.h:
            x = block(x, self.cos[:T], self.sin[:T])
        return self.ln_f(x[:, positions]) @ self.wte.weight.T


def split_tasks(p, count, generator):
    """(trained, all others) as rows (a, b); rectangles of the task grid where four divides the count, as published."""
    for _ in range(200 if count % 4 == 0 else 0):
        trained = rectangles(p, count // 4, generator)
        if trained is not None:
            break
    else:
        if count % 4 == 0:
            print(f"no room for {count // 4} rectangles: tasks drawn uniformly", file=sys.stderr)
        trained = torch.randperm(p * p, generator=generator)[:count].tolist()
    others = sorted(set(range(p * p)) - set(trained))
    return tuple(torch.tensor([(t // p, t % p) for t in tasks]) for tasks in (sorted(trained), others))


def rectangles(p, count, generator):
    """Task numbers of `count` disjoint rectangles (a, b), (a, b'), (a', b), (a', b'); None where they find no room."""
    corners = torch.randperm(p * p, generator=generator)[:count].tolist()
    taken = set(corners)
    for corner in corners:
        a, b = divmod(corner, p)
        free = [
            (i, j)
            for i in range(p)
            for j in range(p)
            if i != a and j != b and not taken & {i * p + j, a * p + j, i * p + b}
        ]
        if not free:
            return None
        i, j = free[int(torch.randint(len(free), (1,), generator=generator))]
        taken |= {i * p + j, a * p + j, i * p + b}
    return list(taken)


class Prompts:
    """Prompts x1 y1 z1 ... xn yn zn over the inputs (x, y) seen in training."""

    def __init__(self, options, inputs, device):
        self.p, self.n = options.modulus, options.examples
        self.inputs = inputs.to(device)
        self.positions = torch.arange(1, 3 * self.n, 3, device=device)  # where a z is predicted

    def draw(self, tasks, sequences, generator):
        """Every task on each of `sequences` random sequences of inputs: tokens (S D, 3n - 1) and all their z (S D, n)."""
        rows = torch.randint(len(self.inputs), (sequences, self.n), device=self.inputs.device, generator=generator)
        return self.answer(self.inputs[rows][:, None], tasks[None, :, None])

    def probe(self, tasks, count, generator):
        """`count` prompts of their own inputs, their tasks one after another."""
        order = torch.randperm(len(tasks), device=tasks.device, generator=generator)
        tasks = tasks[order[torch.arange(count, device=tasks.device) % len(tasks)]]
        rows = torch.randint(len(self.inputs), (count, self.n), device=tasks.device, generator=generator)
        return self.answer(self.inputs[rows], tasks[:, None])

    def answer(self, inputs, tasks):
        z = (inputs * tasks).sum(-1) % self.p
        xy = inputs.expand(*z.shape, 2)
        tokens = torch.cat((xy, z[..., None]), -1).reshape(-1, 3 * self.n)
        return tokens[:, :-1], z.reshape(-1, self.n)


def ask_back(tokens, answers):
    """The last input and its answer in the place of the first example, whose input becomes the last one."""
    back = tokens.clone()
    back[:, :2], back[:, -2:] = tokens[:, -2:], tokens[:, :2]
    back[:, 2] = answers
    return back


def learning_rate(step, o):
    """Linear warm-up from 0, then a cosine to a tenth."""
    if step <= o.warmup:
        return o.lr * step / o.warmup
    progress = min(1.0, (step - o.warmup) / max(1, o.steps - o.warmup))
    return o.lr * (0.1 + 0.9 * (1 + math.cos(math.pi * progress)) / 2)


def create_optimizer(model, o, device):
    """AdamW; LayerNorm is not decayed, everything else is, the embedding too."""
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": o.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    faster = {"fused": True} if device.type == "cuda" else {}
    return torch.optim.AdamW(groups, lr=o.lr, betas=(0.9, 0.98), **faster)


class Recorder:
    """The predictions so far, as arrays (steps, members, prompts, classes) of an npz that is replaced as a whole."""

    def __init__(self, path, limit, **labels):
        self.path, self.limit, self.labels = path, limit, labels
        self.steps, self.predictions, self.cycle, self.seen = [], [], [], []

    def add(self, step, predictions, cycle, seen):
        """False where the file had grown to its limit: every second evaluation is then given up, but not this one."""
        self.steps.append(step)
        self.predictions.append(predictions)
        self.cycle.append(cycle)
        self.seen.append(seen)
        fits = len(self.steps) * (predictions.nbytes + cycle.nbytes + seen.nbytes) <= self.limit
        if not fits:
            for kept in (self.steps, self.predictions, self.cycle, self.seen):
                del kept[-2::-2]
        self.write()
        return fits

    def write(self):
        temporary = f"{self.path}.tmp"
        with open(temporary, "wb") as file:
            np.savez(
                file,
                predictions=np.stack(self.predictions),
                steps=np.array(self.steps),
                cycle=np.stack(self.cycle),
                seen=np.stack(self.seen),
                **self.labels,
            )
        os.replace(temporary, self.path)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--modulus", type=int, default=29, help="p, a prime")
    add("--train-tasks", type=int, default=512, help="tasks (a, b) trained on, of p^2")
    add("--input-fraction", type=float, default=0.6, help="share of the inputs (x, y) that prompts are made of")
    add("--examples", type=int, default=32, help="examples in a prompt")
    add("--d-model", type=int, default=512)
    add("--layers", type=int, default=2)
    add("--heads", type=int, default=4)
    add("--members", type=int, default=4)
    add("--steps", type=int, default=200_000)
    add("--batch", type=int, default=1024, help="prompts a step; a multiple of --train-tasks, or less than it")
    add("--lr", type=float, default=1.5e-4)
    add("--warmup", type=int, default=10_000)
    add("--weight-decay", type=float, default=2.0)
    add("--seconds", type=float, default=math.inf, help="end after this time, with a last evaluation")
    add("--every", type=int, default=500, help="steps between evaluations")
    add("--prompts", type=int, default=128, help="probe prompts of unseen tasks, and as many of seen ones")
    add("--device", choices=["cuda", "cpu"], default="cuda" if torch.cuda.is_available() else "cpu")
    add("--amp", action="store_true", help="bfloat16 where it is safe")
    add("--compile", action="store_true", help="torch.compile: a minute at the start, then faster")
    add("--seed", type=int, default=0)
    add("--out", default="predictions.npz")
    o = parser.parse_args()
    if not 0 < o.train_tasks < o.modulus**2:
        parser.error(f"--train-tasks: got {o.train_tasks}, must be from 1 to {o.modulus**2 - 1}")
    if o.batch > o.train_tasks and o.batch % o.train_tasks:
        parser.error(f"--batch: got {o.batch}, must be a multiple of --train-tasks, or less than it")
    if o.compile and not hasattr(torch, "compile"):
        parser.error(f"--compile: PyTorch {torch.__version__} has no torch.compile")
    return o


def main():
    started = time.monotonic()
    o = parse()
    device = torch.device(o.device)
    torch.set_float32_matmul_precision("high")
    amp = torch.autocast(o.device, torch.bfloat16) if o.amp else nullcontext()

    host = torch.Generator().manual_seed(o.seed)
    seen_tasks, unseen_tasks = (tasks.to(device) for tasks in split_tasks(o.modulus, o.train_tasks, host))
    inputs = torch.cartesian_prod(torch.arange(o.modulus), torch.arange(o.modulus))
    inputs = inputs[torch.randperm(len(inputs), generator=host)[: max(1, round(o.input_fraction * len(inputs)))]]
    prompts = Prompts(o, inputs, device)
    draws = torch.Generator(device).manual_seed(o.seed)
    unseen, unseen_z = prompts.probe(unseen_tasks, o.prompts, draws)
    seen, seen_z = prompts.probe(seen_tasks, o.prompts, draws)
    last = prompts.positions[-1:]

    torch.manual_seed(o.seed)
    length = 3 * o.examples
    models = [
        Decoder(o.modulus, o.d_model, o.layers, o.heads, 4 * o.d_model, length).to(device) for _ in range(o.members)
    ]
    optimizers = [create_optimizer(model, o, device) for model in models]
    forward = [torch.compile(model) if o.compile else model for model in models]

    labels = {"cycleLabels": unseen_z[:, 0], "seenLabels": seen_z[:, -1], "unseenLabels": unseen_z[:, -1]}
    recorder = Recorder(o.out, 14 * MEBIBYTE, **{name: z.cpu().numpy() for name, z in labels.items()})
    every, losses = o.every, torch.zeros(o.members, device=device)
    since = 0

    @torch.no_grad()
    def predict(*tokens):
        """(members, prompts, classes), of the same prompts for all members or of each one's own"""
        with amp:
            own = tokens * len(models) if len(tokens) == 1 else tokens
            logits = [model(prompts, last)[:, -1] for model, prompts in zip(models, own)]
        return torch.stack([values.float().softmax(-1) for values in logits])

    def evaluate(step):
        nonlocal every, since
        of_unseen, of_seen = predict(unseen), predict(seen)
        cycle = predict(*(ask_back(unseen, p.argmax(-1)) for p in of_unseen))
        if not recorder.add(step, *(p.half().cpu().numpy() for p in (of_unseen, cycle, of_seen))):
            every *= 2

        def accuracy(p, z):
            return (p.argmax(-1) == z[:, -1]).float().mean(-1).tolist()

        members = [f"{value:.3f}" for value in accuracy(of_unseen, unseen_z)]
        print(
            f"step {step} loss {losses.mean().item() / max(1, since):.4f}"
            f" seen {accuracy(of_seen.mean(0), seen_z):.3f} unseen {accuracy(of_unseen.mean(0), unseen_z):.3f}"
            f" members {' '.join(members)} seconds {time.monotonic() - started:.0f}",
            flush=True,
        )
        losses.zero_()
        since = 0

    evaluate(0)
    for step in range(1, o.steps + 1):
        for member, (model, optimizer) in enumerate(zip(forward, optimizers)):
            rows = seen_tasks
            if o.batch < o.train_tasks:
                rows = seen_tasks[torch.randperm(o.train_tasks, device=device, generator=draws)[: o.batch]]
            tokens, z = prompts.draw(rows, max(1, o.batch // o.train_tasks), draws)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, o)
            with amp:
                logits = model(tokens, prompts.positions)
            loss = F.cross_entropy(logits.float().flatten(0, 1), z.flatten())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses[member] += loss.detach()
        since += 1
        late = time.monotonic() - started >= o.seconds
        if late or step == o.steps or step % every == 0:
            evaluate(step)
        if late:
            break


if __name__ == "__main__":
    main()
