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

from model import GPT, PRESETS, adamw

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
    optimizer = adamw(model)
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
    caches = model.empty_caches(ctx)
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
