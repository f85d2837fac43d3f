"""The same training step in PyTorch: loss and gradient for a parity check, then milliseconds per AdamW step.

Reads from standard input one line of JSON (shape, batch, seconds to measure) followed by float32 parameters; writes one
line of JSON followed by the float32 gradient. One thread. With --compile, loss and gradient are compiled. Called by
peers.mjs.
"""

import json
import math
import sys
import time

import torch
import torch.nn.functional as F

ACTIVATIONS = {"relu": F.relu, "gelu": lambda x: F.gelu(x, approximate="tanh"), "silu": F.silu}


class Model:
    def __init__(self, shape, flat):
        self.shape = shape
        self.tensors = {}
        for p in shape["parameters"]:
            values = flat[p["offset"] : p["offset"] + p["length"]]
            self.tensors[p["name"]] = values.clone().reshape(p["shape"]).requires_grad_(True)
        head = shape["dModel"] // shape["nHeads"]
        angle = torch.arange(shape["nCtx"])[:, None] * shape["ropeBase"] ** (-torch.arange(0, head, 2) / head)
        self.cos, self.sin = torch.cos(angle).float(), torch.sin(angle).float()

    def rotate(self, x):
        length = x.shape[2]
        x0, x1 = x[..., 0::2], x[..., 1::2]
        cos, sin = self.cos[:length], self.sin[:length]
        return torch.stack((x0 * cos - x1 * sin, x0 * sin + x1 * cos), -1).flatten(-2)

    def logits(self, tokens, positions):
        w, s = self.tensors, self.shape
        d, heads = s["dModel"], s["nHeads"]
        batch, length = tokens.shape
        x = F.embedding(tokens, w["transformer.wte.weight"])
        if s["roles"]:
            x = x + w["transformer.wre.weight"][torch.arange(length) % s["roles"]]
        mask = torch.full((length, length), -math.inf).triu(1)
        for i in range(s["nLayers"]):
            h = f"transformer.h.{i}."
            a = F.layer_norm(x, (d,), w[h + "ln_1.weight"], w[h + "ln_1.bias"])
            qkv = a @ w[h + "attn.to_qkv.weight"].T
            q, k, v = (t.view(batch, length, heads, -1).transpose(1, 2) for t in qkv.split(d, -1))
            q, k = self.rotate(q), self.rotate(k)
            att = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(d // heads) + mask, -1)
            y = (att @ v).transpose(1, 2).reshape(batch, length, d)
            x = x + y @ w[h + "attn.o.weight"].T
            a = F.layer_norm(x, (d,), w[h + "ln_2.weight"], w[h + "ln_2.bias"])
            a = a @ w[h + "mlp.c_fc.weight"].T
            a = ACTIVATIONS[s["actFn"]](a)
            x = x + a @ w[h + "mlp.c_proj.weight"].T
        x = F.layer_norm(x, (d,), w["transformer.ln_f.weight"], w["transformer.ln_f.bias"])[:, positions]
        return x @ w["transformer.wte.weight" if s["tiedEmbeddings"] else "lm_head.weight"].T


def main():
    request = json.loads(sys.stdin.buffer.readline())
    flat = torch.frombuffer(bytearray(sys.stdin.buffer.read()), dtype=torch.float32)
    torch.set_num_threads(1)
    batch = request["batch"]
    tokens = torch.tensor(batch["tokens"]).view(batch["batchSize"], batch["length"])
    targets = torch.tensor(batch["targets"])
    model = Model(request["shape"], flat)
    tensors = [model.tensors[p["name"]] for p in request["shape"]["parameters"]]
    optimizer = torch.optim.AdamW(tensors, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.5)

    def mean_loss():
        logits = model.logits(tokens, batch["positions"])
        return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets)

    if "--compile" in sys.argv:
        mean_loss = torch.compile(mean_loss)

    def loss_and_gradient():
        optimizer.zero_grad()
        loss = mean_loss()
        loss.backward()
        return loss.item()

    loss = loss_and_gradient()
    gradient = torch.cat([t.grad.flatten() for t in tensors]).numpy().tobytes()

    def step():
        loss_and_gradient()
        optimizer.step()

    def timed():
        started = time.perf_counter()
        step()
        return time.perf_counter() - started

    timed()
    best = timed()
    until = time.perf_counter() + request["seconds"]
    while time.perf_counter() < until:
        best = min(best, timed())
    line = json.dumps({"version": torch.__version__, "milliseconds": 1e3 * best, "loss": loss})
    sys.stdout.buffer.write(line.encode() + b"\n" + gradient)


if __name__ == "__main__":
    main()
