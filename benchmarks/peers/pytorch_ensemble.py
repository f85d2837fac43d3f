"""The same ensemble in PyTorch: training, evaluations on the probe sets and the ensemble's uncertainty, in processes of
one thread each that share the members, as a user of PyTorch would write it.

Reads from standard input one line of JSON (shape, training settings, steps of evaluation, pool and probe sets) followed
by the float32 initial parameters of all members; writes one line of JSON: per evaluation the step, and per probe set the
accuracy of the mean prediction and the mutual information in nats, at the last position. Called by whole-run.mjs.
"""

import json
import math
import sys

import torch
import torch.multiprocessing as multiprocessing
import torch.nn.functional as F
from pytorch_step import Model


def rate(step, t):
    """Warm-up from 0, held, then a fall in a line over the last part."""
    fall = t["decayFraction"] * t["steps"]
    left = min(1.0, (t["steps"] - step) / fall)
    warm = min(1.0, step / t["warmupSteps"]) if t["warmupSteps"] else 1.0
    return t["learningRate"] * warm * (t["finalLearningRate"] + (1 - t["finalLearningRate"]) * left)


def train(work):
    """Probabilities of one member: a list over evaluations of lists over probe sets of (B, P, V)."""
    request, flat, member = work
    torch.set_num_threads(1)
    torch.manual_seed(member)
    t, shape = request["training"], request["shape"]
    model = Model(shape, flat)
    tensors = [model.tensors[p["name"]] for p in shape["parameters"]]
    optimizer = torch.optim.AdamW(
        tensors, lr=0.0, betas=(t["beta1"], t["beta2"]), eps=t["epsilon"], weight_decay=t["weightDecay"]
    )
    pool = torch.tensor(request["pool"]["tokens"]).view(-1, request["pool"]["length"])
    targets = torch.tensor(request["pool"]["targets"]).view(len(pool), -1)
    positions = request["positions"]
    probes = [torch.tensor(p["tokens"]).view(-1, p["length"]) for p in request["probes"]]
    evaluations = set(request["evaluations"])
    kept = []

    def evaluate():
        with torch.no_grad():
            kept.append([model.logits(x, request["allPositions"]).softmax(-1) for x in probes])

    order, at = torch.randperm(len(pool)), 0
    if 0 in evaluations:
        evaluate()
    for step in range(1, t["steps"] + 1):
        while at + t["batchSize"] > len(order):
            order, at = torch.cat((order[at:], torch.randperm(len(pool)))), 0
        rows = order[at : at + t["batchSize"]]
        at += t["batchSize"]
        for group in optimizer.param_groups:
            group["lr"] = rate(step, t)
        optimizer.zero_grad()
        logits = model.logits(pool[rows], positions)
        F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets[rows].reshape(-1)).backward()
        optimizer.step()
        if step in evaluations:
            evaluate()
    return kept


def entropy(p):
    return -torch.xlogy(p, p).sum(-1)


def main():
    request = json.loads(sys.stdin.buffer.readline())
    flat = torch.frombuffer(bytearray(sys.stdin.buffer.read()), dtype=torch.float32).view(request["members"], -1)
    work = [(request, flat[m], m) for m in range(request["members"])]
    with multiprocessing.Pool(request["workers"]) as processes:
        members = processes.map(train, work, chunksize=1)
    records = []
    for e, step in enumerate(request["evaluations"]):
        sets = {}
        for s, probe in enumerate(request["probes"]):
            p = torch.stack([member[e][s] for member in members])
            mean = p.mean(0)
            information = entropy(mean) - entropy(p).mean(0)
            target = torch.tensor(probe["targets"]).view(mean.shape[:2])
            sets[probe["name"]] = {
                "accuracy": (mean.argmax(-1) == target)[:, -1].float().mean().item(),
                "mutualInformation": information[:, -1].mean().item(),
            }
        records.append({"step": step, "sets": sets})
    print(json.dumps({"version": torch.__version__, "records": records}))


if __name__ == "__main__":
    main()
