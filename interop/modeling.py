"""epigrok's decoder in PyTorch: its checkpoints load with load_state_dict, and those of a model like this one become a
run with `epigrok import`.

    from modeling import load
    model = load("runs/my-run/checkpoints/step-00004000/member-00.safetensors")
    logits = model(tokens)  # (B, T) -> (B, T, V)

PyTorch 1.13 or later; nothing else.
"""

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

ACTIVATIONS = {"relu": F.relu, "gelu": lambda x: F.gelu(x, approximate="tanh"), "silu": F.silu}


class Attention(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(d, 3 * d, bias=False)
        self.o = nn.Linear(d, d, bias=False)

    def forward(self, x, rotate):
        B, T, d = x.shape
        q, k, v = (t.view(B, T, self.heads, -1).transpose(1, 2) for t in self.to_qkv(x).split(d, -1))
        mask = torch.full((T, T), -math.inf, device=x.device).triu(1)
        weights = torch.softmax(rotate(q) @ rotate(k).transpose(-1, -2) / math.sqrt(d // self.heads) + mask, -1)
        return self.o((weights @ v).transpose(1, 2).reshape(B, T, d))


class MLP(nn.Module):
    def __init__(self, d, width, activation):
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.c_fc = nn.Linear(d, width, bias=False)
        self.c_proj = nn.Linear(width, d, bias=False)

    def forward(self, x):
        return self.c_proj(self.activation(self.c_fc(x)))


class Block(nn.Module):
    def __init__(self, shape):
        super().__init__()
        d = shape["dModel"]
        self.ln_1, self.attn = nn.LayerNorm(d), Attention(d, shape["nHeads"])
        self.ln_2, self.mlp = nn.LayerNorm(d), MLP(d, shape["dMlp"], shape["actFn"])
        self.dropout = nn.Dropout(shape.get("dropout", 0))

    def forward(self, x, rotate):
        x = x + self.dropout(self.attn(self.ln_1(x), rotate))
        return x + self.dropout(self.mlp(self.ln_2(x)))


class Transformer(nn.Module):
    """`shape`: dVocab, dModel, nHeads, nLayers, dMlp, nCtx, actFn, tiedEmbeddings, ropeBase, and optionally roles and
    dropout, as in the config.json beside a checkpoint."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        V, d = shape["dVocab"], shape["dModel"]
        parts = {"wte": nn.Embedding(V, d)}
        if shape.get("roles", 0):
            parts["wre"] = nn.Embedding(shape["roles"], d)
        parts["h"] = nn.ModuleList(Block(shape) for _ in range(shape["nLayers"]))
        parts["ln_f"] = nn.LayerNorm(d)
        self.transformer = nn.ModuleDict(parts)
        if not shape["tiedEmbeddings"]:
            self.lm_head = nn.Linear(d, V, bias=False)

    def forward(self, tokens):
        """(B, T) -> logits (B, T, V)"""
        parts, T = self.transformer, tokens.shape[1]
        x = parts["wte"](tokens)
        if "wre" in parts:
            x = x + parts["wre"](torch.arange(T, device=tokens.device) % self.shape["roles"])
        rotate = rotation(T, self.shape["dModel"] // self.shape["nHeads"], self.shape["ropeBase"], x)
        for block in parts["h"]:
            x = block(x, rotate)
        x = parts["ln_f"](x)
        return x @ parts["wte"].weight.T if self.shape["tiedEmbeddings"] else self.lm_head(x)


def rotation(length, head, base, like):
    """Rotary positions over the whole head dimension, neighbouring pairs."""
    angle = torch.arange(length)[:, None] * base ** (-torch.arange(0, head, 2) / head)
    cos, sin = angle.cos().to(like), angle.sin().to(like)

    def rotate(x):
        x0, x1 = x[..., 0::2], x[..., 1::2]
        return torch.stack((x0 * cos - x1 * sin, x0 * sin + x1 * cos), -1).flatten(-2)

    return rotate


def load(path):
    """The model of a checkpoint, in evaluation mode."""
    path = Path(path)
    model = Transformer(json.loads((path.parent / "config.json").read_text()))
    model.load_state_dict(read_safetensors(path))
    return model.eval()


DTYPES = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
    **{"I64": torch.int64, "I32": torch.int32},
}


def read_safetensors(path):
    """Tensors by name, as safetensors.torch.load_file gives them."""
    data = bytearray(Path(path).read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = (start + offset for offset in entry["data_offsets"])
        flat = torch.frombuffer(data[begin:end], dtype=DTYPES[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"])
    return tensors


def write_safetensors(tensors, path, step, member):
    """A state_dict as a file for `epigrok import`, as safetensors.torch.save_file writes it."""
    names = {dtype: name for name, dtype in DTYPES.items()}
    header, parts, at = {"__metadata__": {"format": "pt", "step": str(step), "member": str(member)}}, [], 0
    for name, tensor in sorted(tensors.items(), key=lambda item: -item[1].element_size()):
        values = tensor.detach().cpu().contiguous()
        content = bytes(values.view(-1).view(torch.uint8).numpy())
        header[name] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [at, at + len(content)],
        }
        parts.append(content)
        at += len(content)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))
