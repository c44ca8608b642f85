"""A preset's training step, or its decoding, in PyTorch on a GPU: the other side of scripts/bench-gpu.sh.

    gpu_train_step.py train|decode --preset NAME --batch N [--mode MODE] [--attention default|cudnn] [--pad-vocab]

The model is the preset's own. Written as a careful user of PyTorch 2 would: bf16 autocast over float32 weights,
scaled_dot_product_attention, fused AdamW, gradients set to None, the gradient's norm clipped to 1, batches cut from a
tensor on the device, and nothing that waits for the device within the steps that are timed, which tinygpt does once a
step. --pad-vocab makes the vocabulary a multiple of 64, which makes products of 50,257 columns faster.

decode writes token by token from a cache of fixed size, with weights in bf16: eagerly captured into a CUDA graph (graph),
or compiled with CUDA graphs (reduce-overhead, max-autotune).

Prints one line of JSON. --device cpu --preset smoke runs all of it on a machine without a GPU, and measures nothing.
"""
import argparse
import contextlib
import json
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

PRESETS = {
    # family, layers, embd, query heads, key heads, ffn, ctx, vocab
    "small_char": ("classic", 6, 384, 6, 6, 1536, 256, 256),
    "gpt2": ("gpt2", 12, 768, 12, 12, 3072, 1024, 50257),
    "350M_1024": ("classic", 24, 1024, 16, 16, 4096, 1024, 50304),
    "gpt2_xl": ("gpt2", 48, 1600, 25, 25, 6400, 1024, 50257),
    "modern_180M": ("modern", 32, 768, 12, 4, 2048, 2048, 32768),
    "smoke": ("classic", 2, 32, 2, 2, 128, 16, 67),
    "smoke_gpt2": ("gpt2", 2, 32, 2, 2, 128, 16, 67),
    "smoke_modern": ("modern", 2, 32, 4, 2, 64, 16, 67),
}


def rotated(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1).to(x.dtype)


class RMSNorm(nn.RMSNorm):
    def forward(self, x):
        # Of one type with x, as PyTorch's fused kernel wants it.
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


class Block(nn.Module):
    def __init__(self, family, embd, heads, kv_heads, ffn):
        super().__init__()
        self.family, self.heads, self.kv_heads, self.dim = family, heads, kv_heads, embd // heads
        modern, bias = family == "modern", family == "gpt2"
        norm = (lambda n: RMSNorm(n, eps=1e-6)) if modern else nn.LayerNorm
        self.norm1, self.norm2 = norm(embd), norm(embd)
        self.q_norm, self.k_norm = (norm(self.dim), norm(self.dim)) if modern else (None, None)
        self.qkv = nn.Linear(embd, (heads + 2 * kv_heads) * self.dim, bias=bias)
        self.attn_out = nn.Linear(embd, embd, bias=bias)
        self.ffn_in = nn.Linear(embd, 2 * ffn if modern else ffn, bias=bias)
        self.ffn_out = nn.Linear(ffn, embd, bias=bias)

    def heads_of(self, x, rope):
        B, T, _ = x.shape
        sizes = [self.heads * self.dim, self.kv_heads * self.dim, self.kv_heads * self.dim]
        q, k, v = (y.view(B, T, -1, self.dim).transpose(1, 2) for y in self.qkv(self.norm1(x)).split(sizes, 2))
        if rope is not None:
            q, k = rotated(self.q_norm(q), *rope).to(v.dtype), rotated(self.k_norm(k), *rope).to(v.dtype)
        return q, k, v

    def rest(self, x, y):
        B, T, C = x.shape
        x = x + self.attn_out(y.transpose(1, 2).reshape(B, T, C))
        hidden = self.ffn_in(self.norm2(x))
        if self.family == "modern":
            gate, up = hidden.chunk(2, -1)
            return x + self.ffn_out(F.silu(gate) * up)
        return x + self.ffn_out(F.gelu(hidden, approximate="tanh" if self.family == "gpt2" else "none"))

    def forward(self, x, rope):
        q, k, v = self.heads_of(x, rope)
        gqa = {"enable_gqa": True} if self.kv_heads != self.heads else {}
        return self.rest(x, F.scaled_dot_product_attention(q, k, v, is_causal=True, **gqa))

    def decode(self, x, rope, position, keys, values, mask):
        q, k, v = self.heads_of(x, rope)
        keys.index_copy_(2, position, k)
        values.index_copy_(2, position, v)
        gqa = {"enable_gqa": True} if self.kv_heads != self.heads else {}
        return self.rest(x, F.scaled_dot_product_attention(q, keys, values, attn_mask=mask, **gqa))


class GPT(nn.Module):
    def __init__(self, family, layers, embd, heads, kv_heads, ffn, ctx, vocab):
        super().__init__()
        self.ctx = ctx
        self.token = nn.Embedding(vocab, embd)
        self.position = None if family == "modern" else nn.Embedding(ctx, embd)
        self.blocks = nn.ModuleList(Block(family, embd, heads, kv_heads, ffn) for _ in range(layers))
        self.norm = RMSNorm(embd, eps=1e-6) if family == "modern" else nn.LayerNorm(embd)
        if family == "modern":
            dim = embd // heads
            angles = torch.outer(torch.arange(ctx).float(), 10000.0 ** (-torch.arange(0, dim, 2).float() / dim))
            self.register_buffer("cos", angles.cos(), persistent=False)
            self.register_buffer("sin", angles.sin(), persistent=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                residual = name.endswith(("attn_out.weight", "ffn_out.weight"))
                nn.init.normal_(p, std=0.02 / (2 * layers) ** 0.5 if residual else 0.02)

    def forward(self, tokens, targets):
        T, rope = tokens.shape[1], None
        x = self.token(tokens)
        if self.position is not None:
            x = x + self.position.weight[:T]
        else:
            rope = (self.cos[:T], self.sin[:T])
        for block in self.blocks:
            x = block(x, rope)
        logits = F.linear(self.norm(x), self.token.weight)
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())

    def decode(self, token, position, caches, mask):
        """The likeliest token after `token`, which is at `position`."""
        x, rope = self.token(token), None
        if self.position is not None:
            x = x + self.position(position)
        else:
            rope = (self.cos[position], self.sin[position])
        row = mask[position][None, None]
        for block, (keys, values) in zip(self.blocks, caches):
            x = block.decode(x, rope, position, keys, values, row)
        return F.linear(self.norm(x), self.token.weight).argmax(-1)


def settled(device):
    if device == "cuda":
        torch.cuda.synchronize()


def compiled(function, mode):
    if mode in ("eager", "graph"):
        return function
    return torch.compile(function) if mode == "compile" else torch.compile(function, mode=mode)


def attention_of(kind):
    if kind == "default":
        return contextlib.nullcontext()
    from torch.nn.attention import SDPBackend, sdpa_kernel
    return sdpa_kernel([SDPBackend.CUDNN_ATTENTION])


def train(model, a, vocab):
    decay = [p for p in model.parameters() if p.dim() >= 2]
    rest = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}], lr=1e-3,
                                  betas=(0.9, 0.95), fused=True)
    text = torch.randint(vocab, (1 << 20,), device=a.device)
    offsets = torch.arange(model.ctx + 1, device=a.device)
    run = compiled(model, a.mode)

    def step():
        window = text[torch.randint(len(text) - model.ctx - 1, (a.batch, 1), device=a.device) + offsets]
        with torch.autocast(a.device, torch.bfloat16):
            loss = run(window[:, :-1], window[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    with attention_of(a.attention):
        first = [step() for _ in range(5)][-1].item()
        seconds = []
        for _ in range(3):
            settled(a.device)
            begin = time.perf_counter()
            for _ in range(a.steps):
                last = step()
            settled(a.device)
            seconds.append((time.perf_counter() - begin) / a.steps)
    best = sorted(seconds)[1]
    tokens = a.batch * model.ctx
    return {"seconds": best, "tokens": tokens, "tokens_per_second": tokens / best, "first_loss": first,
            "last_loss": last.item()}


@torch.no_grad()
def decode(model, a, family, layers, embd, heads, kv_heads, ffn, ctx, vocab):
    model = model.to(torch.bfloat16).eval()
    if model.position is None:  # tables of angles stay exact
        model.cos, model.sin = model.cos.float(), model.sin.float()
    caches = [tuple(torch.zeros(1, kv_heads, ctx, embd // heads, dtype=torch.bfloat16, device=a.device) for _ in range(2))
              for _ in range(layers)]
    mask = torch.ones(ctx, ctx, dtype=torch.bool, device=a.device).tril()
    token = torch.ones(1, 1, dtype=torch.long, device=a.device)
    position = torch.zeros(1, dtype=torch.long, device=a.device)
    one = compiled(lambda token, position: model.decode(token, position, caches, mask), a.mode)
    if a.mode == "graph":
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(3):
                one(token, position)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            following = one(token, position)

        def advance():
            graph.replay()
            return following
    else:
        def advance():
            return one(token, position)

    n = min(256, ctx - 8)

    def write():
        position.zero_()
        token.fill_(1)
        for _ in range(n):
            token.copy_(advance())
            position.add_(1)

    for _ in range(2):
        write()
    seconds = []
    for _ in range(3):
        settled(a.device)
        begin = time.perf_counter()
        write()
        settled(a.device)
        seconds.append(time.perf_counter() - begin)
    best = sorted(seconds)[1]
    return {"seconds": best, "tokens": n, "tokens_per_second": n / best}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=["train", "decode"])
    p.add_argument("--preset", choices=PRESETS, required=True)
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--steps", type=int, default=20)
    p.add_argument("--mode", choices=["eager", "compile", "reduce-overhead", "max-autotune", "graph"], default="eager")
    p.add_argument("--attention", choices=["default", "cudnn"], default="default")
    p.add_argument("--pad-vocab", action="store_true")
    p.add_argument("--device", default="cuda")
    a = p.parse_args()
    torch.manual_seed(1337)
    torch.set_float32_matmul_precision("high")
    shape = list(PRESETS[a.preset])
    vocab = shape[-1]
    if a.pad_vocab:
        shape[-1] = (vocab + 63) // 64 * 64
    with torch.device(a.device):
        model = GPT(*shape)
    params = sum(x.numel() for x in model.parameters())
    measured = train(model, a, vocab) if a.what == "train" else decode(model, a, *shape)
    peak = torch.cuda.max_memory_reserved() if a.device == "cuda" else 0
    way = " ".join([a.mode, *(["cudnn"] if a.attention == "cudnn" else []), *(["padded"] if a.pad_vocab else [])])
    print(json.dumps({"side": "pytorch", "what": a.what, "name": a.preset, "way": way, "batch": a.batch, **measured,
                      "peak_bytes": peak, "params": params, "torch": torch.__version__,
                      "cudnn": torch.backends.cudnn.version()}))


if __name__ == "__main__":
    main()
