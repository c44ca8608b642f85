"""One training step of a classic tinygpt preset in PyTorch on the CPU: the other side of scripts/bench-pytorch.sh.

The model is the preset's own: pre-normalised blocks, LayerNorm with bias, learned positions, erf GELU, no linear
biases, tied head. Attention is scaled_dot_product_attention, the update fused AdamW with clipping to a global norm of 1:
what a careful user of PyTorch 2 would write. Prints one JSON line: median seconds per step and the losses.
"""
import argparse
import json
import statistics
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

SHAPES = {
    # layers, embd, heads, ctx, vocab, batch
    "tiny_char": (4, 192, 4, 128, 256, 16),
    "small_char": (6, 384, 6, 256, 256, 32),
}


class Block(nn.Module):
    def __init__(self, embd, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(embd), nn.LayerNorm(embd)
        self.qkv = nn.Linear(embd, 3 * embd, bias=False)
        self.attn_out = nn.Linear(embd, embd, bias=False)
        self.ffn_in = nn.Linear(embd, 4 * embd, bias=False)
        self.ffn_out = nn.Linear(4 * embd, embd, bias=False)

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = (y.view(B, T, self.heads, C // self.heads).transpose(1, 2) for y in self.qkv(self.norm1(x)).split(C, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attn_out(y.transpose(1, 2).reshape(B, T, C))
        return x + self.ffn_out(F.gelu(self.ffn_in(self.norm2(x))))


class GPT(nn.Module):
    def __init__(self, layers, embd, heads, ctx, vocab):
        super().__init__()
        self.token, self.position = nn.Embedding(vocab, embd), nn.Embedding(ctx, embd)
        self.blocks = nn.ModuleList(Block(embd, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(embd)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                residual = name.endswith(("attn_out.weight", "ffn_out.weight"))
                nn.init.normal_(p, std=0.02 / (2 * layers) ** 0.5 if residual else 0.02)

    def forward(self, tokens, targets):
        x = self.token(tokens) + self.position.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.norm(x), self.token.weight)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--preset", choices=SHAPES, required=True)
    p.add_argument("--text", required=True)
    p.add_argument("--mode", choices=["eager", "compile"], default="eager")
    p.add_argument("--steps", type=int, default=20)
    p.add_argument("--threads", type=int, default=0)
    a = p.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)
    torch.manual_seed(1337)
    layers, embd, heads, ctx, vocab, batch = SHAPES[a.preset]
    data = torch.frombuffer(bytearray(open(a.text, "rb").read()), dtype=torch.uint8).long()
    model = GPT(layers, embd, heads, ctx, vocab)
    params = sum(x.numel() for x in model.parameters())
    decay = [x for x in model.parameters() if x.dim() >= 2]
    rest = [x for x in model.parameters() if x.dim() < 2]
    groups = [{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), fused=True)
    run = torch.compile(model) if a.mode == "compile" else model

    def step():
        start = torch.randint(len(data) - ctx, (batch,))
        window = torch.stack([data[i : i + ctx + 1] for i in start])
        loss = run(window[:, :-1], window[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    losses, seconds = [], []
    for i in range(a.steps + 3):
        begin = time.perf_counter()
        losses.append(step())
        if i >= 3:
            seconds.append(time.perf_counter() - begin)
    print(json.dumps({"params": params, "seconds": statistics.median(seconds), "fastest": min(seconds),
                      "tokens": batch * ctx, "first_loss": losses[0], "last_loss": losses[-1],
                      "torch": torch.__version__, "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
