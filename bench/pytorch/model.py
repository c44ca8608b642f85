"""The presets' models in PyTorch, of all three families, for the measurements on the GPU and on the CPU: what a careful user
of PyTorch 2 would write, with scaled_dot_product_attention. Matrices lie as tinygpt's do, so that weights can be shared as
they are: q, k and v are one product, and so are gate and up."""
import torch
import torch.nn as nn
import torch.nn.functional as F

PRESETS = {
    # family, layers, embd, query heads, key heads, ffn, ctx, vocab
    "tiny_char": ("classic", 4, 192, 4, 4, 768, 128, 256),
    "small_char": ("classic", 6, 384, 6, 6, 1536, 256, 256),
    "small": ("classic", 6, 384, 6, 6, 1536, 256, 50304),
    "150M": ("classic", 16, 768, 12, 12, 3072, 256, 50304),
    "350M_1024": ("classic", 24, 1024, 16, 16, 4096, 1024, 50304),
    "gpt2": ("gpt2", 12, 768, 12, 12, 3072, 1024, 50257),
    "gpt2_256": ("gpt2", 12, 768, 12, 12, 3072, 256, 50257),  # for training on short windows
    "gpt2_xl": ("gpt2", 48, 1600, 25, 25, 6400, 1024, 50257),
    "modern_125M": ("modern", 12, 768, 12, 4, 2560, 2048, 32768),
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
        """Without a mask `position` is a number, and only what was written of the cache is read."""
        q, k, v = self.heads_of(x, rope)
        if mask is None:
            keys[:, :, position], values[:, :, position] = k[:, :, 0], v[:, :, 0]
            keys, values = keys[:, :, : position + 1], values[:, :, : position + 1]
        else:
            keys.index_copy_(2, position, k)
            values.index_copy_(2, position, v)
        gqa = {"enable_gqa": True} if self.kv_heads != self.heads else {}
        return self.rest(x, F.scaled_dot_product_attention(q, keys, values, attn_mask=mask, **gqa))

    def read(self, x, rope, keys, values):
        """A prompt into an empty cache."""
        q, k, v = self.heads_of(x, rope)
        T = x.shape[1]
        keys[:, :, :T], values[:, :, :T] = k, v
        gqa = {"enable_gqa": True} if self.kv_heads != self.heads else {}
        return self.rest(x, F.scaled_dot_product_attention(q, k, v, is_causal=True, **gqa))


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
            elif name.endswith("bias"):
                nn.init.zeros_(p)

    def embedded(self, tokens):
        """And the angles of their positions, which begin at 0."""
        T, x = tokens.shape[1], self.token(tokens)
        return (x, (self.cos[:T], self.sin[:T])) if self.position is None else (x + self.position.weight[:T], None)

    def forward(self, tokens, targets):
        x, rope = self.embedded(tokens)
        for block in self.blocks:
            x = block(x, rope)
        logits = F.linear(self.norm(x), self.token.weight)
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())

    def decode(self, token, position, caches, mask):
        """The likeliest token after `token`, which is at `position`."""
        x, rope = self.token(token), None
        if self.position is not None:
            x = x + self.position.weight[position]
        else:
            rope = (self.cos[position], self.sin[position])
        row = None if mask is None else mask[position][None, None]
        for block, (keys, values) in zip(self.blocks, caches):
            x = block.decode(x, rope, position, keys, values, row)
        return F.linear(self.norm(x), self.token.weight).argmax(-1)

    def read(self, tokens, caches):
        """The likeliest token after a prompt, which goes into empty caches."""
        x, rope = self.embedded(tokens)
        for block, (keys, values) in zip(self.blocks, caches):
            x = block.read(x, rope, keys, values)
        return F.linear(self.norm(x[:, -1:]), self.token.weight).argmax(-1)

    def empty_caches(self, length):
        block, like = self.blocks[0], self.token.weight
        shape = (1, block.kv_heads, length, block.dim)
        return [tuple(torch.zeros(shape, dtype=like.dtype, device=like.device) for _ in range(2)) for _ in self.blocks]


def adamw(model):
    """Matrices decay, vectors do not; one fused pass."""
    decay = [p for p in model.parameters() if p.dim() >= 2]
    rest = [p for p in model.parameters() if p.dim() < 2]
    return torch.optim.AdamW([{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}], lr=1e-3,
                             betas=(0.9, 0.95), eps=1e-8, fused=True)
