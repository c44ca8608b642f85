#!/usr/bin/env python3
"""nanoGPT's state dicts, saved with the safetensors library, against a GPT of its shape in PyTorch.

    nanogpt.py PROGRAM        PROGRAM is build/dev/tests/oracles/tinygpt-oracle; -exchange lies beside it

Exits 1 where the logits differ by more than 1e-4.
"""
import json
import subprocess
import sys
import tempfile

import numpy as np
import safetensors
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

TOLERANCE = 1e-4
program = sys.argv[1].removesuffix("-exchange") + "-exchange"


class Norm(nn.Module):
    """nanoGPT's LayerNorm has no bias where the model has none."""

    def __init__(self, width, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def forward(self, x):
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)


class Attention(nn.Module):
    def __init__(self, width, heads, bias):
        super().__init__()
        self.heads = heads
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width, bias=bias), nn.Linear(width, width, bias=bias)

    def forward(self, x):
        q, k, v = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in self.c_attn(x).chunk(3, -1))
        return self.c_proj(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self, width, bias, act):
        super().__init__()
        self.c_fc, self.c_proj, self.act = nn.Linear(width, 4 * width, bias=bias), nn.Linear(4 * width, width, bias=bias), act

    def forward(self, x):
        return self.c_proj(self.act(self.c_fc(x)))


class Block(nn.Module):
    def __init__(self, width, heads, bias, act):
        super().__init__()
        self.ln_1, self.attn = Norm(width, bias), Attention(width, heads, bias)
        self.ln_2, self.mlp = Norm(width, bias), Mlp(width, bias, act)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Gpt(nn.Module):
    def __init__(self, c, bias, act, tied):
        super().__init__()
        width = c["embd"]
        blocks = nn.ModuleList(Block(width, c["query_heads"], bias, act) for _ in range(c["layers"]))
        self.transformer = nn.ModuleDict({"wte": nn.Embedding(c["vocab"], width), "wpe": nn.Embedding(c["ctx"], width),
                                          "h": blocks, "ln_f": Norm(width, bias)})
        self.lm_head = nn.Linear(width, c["vocab"], bias=False)
        if tied:
            self.transformer.wte.weight = self.lm_head.weight

    def forward(self, ids):
        x = self.transformer.wte(ids) + self.transformer.wpe(torch.arange(ids.shape[1]))
        for block in self.transformer.h:
            x = block(x)
        return self.lm_head(self.transformer.ln_f(x))


def run(*args, stdin=b""):
    return subprocess.run([program, *map(str, args)], input=stdin, check=True, stdout=subprocess.PIPE).stdout


def main():
    print(f"torch {torch.__version__}, safetensors {safetensors.__version__}")
    worst = 0.0
    for entry in map(json.loads, run("list").decode().splitlines()[:3]):
        c = entry["config"]
        for prefix, dtype in (("", torch.float32), ("_orig_mod.", torch.bfloat16)):
            act = nn.GELU(approximate="tanh" if c["activation"] == "gelu_tanh" else "none")
            model = Gpt(c, c["bias"] == "all", act, c["head"] == "tied").eval()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.copy_((parameter + 0.3 * torch.randn_like(parameter)).to(dtype))
            state = {prefix + name: tensor.detach().to(dtype).clone() for name, tensor in model.state_dict().items()}
            args = {"n_layer": c["layers"], "n_head": c["query_heads"], "n_embd": c["embd"], "block_size": c["ctx"],
                    "bias": c["bias"] == "all", "vocab_size": c["vocab"], "dropout": 0.0}
            with tempfile.TemporaryDirectory() as folder:
                path = folder + "/ckpt.safetensors"
                save_file(state, path, metadata={"model_args": json.dumps(args)})
                for batch, time in ((1, 1), (3, 7), (2, c["ctx"])):
                    ids = torch.randint(c["vocab"], (batch, time))
                    ours = run(entry["number"], "logits", "nanogpt:" + path, batch, time,
                               stdin=ids.numpy().astype(np.int32).tobytes())
                    ours = np.frombuffer(ours, np.float32).reshape(batch, time, -1)
                    with torch.no_grad():
                        difference = np.abs(model(ids).numpy() - ours).max()
                    worst = max(worst, float(difference)) if np.isfinite(difference) else float("inf")
            print(f"{worst:.1e} so far, {prefix or 'plain'}, {dtype}", entry["type"])
    return 1 if worst > TOLERANCE else 0


if __name__ == "__main__":
    torch.manual_seed(1)
    sys.exit(main())
