"""A preset in PyTorch on the CPU: the other side of scripts/bench-cpu.sh.

    cpu.py train  --preset NAME --way WAY --exchange DIR --batch N [--warmup N] [--steps N]
    cpu.py decode --preset NAME --way WAY [--steps N]
    cpu.py prompt --preset NAME --way WAY [--steps N]
    cpu.py start-train --text FILE     a whole process: reads a text, takes one step of tiny_char, says its loss
    cpu.py start-generate --weights FILE

WAY is a precision and a mode: float32 or bf16 (bf16 autocast for training, bf16 weights otherwise), then eager, compile, or,
where nothing is trained, freeze, which is compile with weights as constants in oneDNN's packed layouts. Written as a careful
user of PyTorch 2 would on a CPU: scaled_dot_product_attention, fused AdamW, gradients set to None, a cache as long as the text
that is written, a process whose memory is kept from step to step and lies in huge pages (the environment that
scripts/bench-cpu.sh sets).

train takes its first weights and its windows from DIR, where tinygpt wrote them. Prints one line of JSON.
"""
import argparse
import json
import time

import torch

from model import GPT, PRESETS, adamw


def timed(function):
    begin = time.perf_counter()
    result = function()
    return time.perf_counter() - begin, result


def summary(seconds, tokens):
    from statistics import median
    middle = median(seconds)
    return {"seconds": middle, "fastest": min(seconds), "tokens": tokens, "tokens_per_second": tokens / middle}


def load(model, path):
    """Weights in the order of tinygpt's parameter table: matrices, then vectors, each kind for all layers."""
    names = ["token.weight", "position.weight", "qkv.weight", "attn_out.weight", "ffn_in.weight", "ffn_out.weight",
             "norm1.weight", "norm1.bias", "q_norm.weight", "k_norm.weight", "qkv.bias", "attn_out.bias", "norm2.weight", "norm2.bias",
             "ffn_in.bias", "ffn_out.bias", "norm.weight", "norm.bias"]
    own = dict(model.named_parameters())
    total = sum(p.numel() for p in own.values())
    stored = torch.from_file(str(path), size=total, dtype=torch.float32)
    first = 0
    with torch.no_grad():
        for name in names:
            for key in [name] if name in own else [f"blocks.{l}.{name}" for l in range(len(model.blocks))]:
                if key in own:
                    p = own.pop(key)
                    p.copy_(stored[first : first + p.numel()].view_as(p))
                    first += p.numel()
    if own or first != total:
        raise SystemExit(f"cpu.py: {path} does not hold this model: {sorted(own)} were not read")


def compiled(function, mode):
    if mode == "eager":
        return function
    if mode == "freeze":
        import torch._inductor.config as inductor
        inductor.freezing = True
    return torch.compile(function)


def stepper(model, mode, bf16, windows):
    """Takes step number i, counted from 0, on windows (batch, ctx + 1); its loss."""
    optimizer, run = adamw(model), compiled(model, mode)

    def step(i):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min(1, (i + 1) / 10)
        window = windows(i)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = run(window[:, :-1], window[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return step


def train(model, precision, mode, a):
    load(model, f"{a.exchange}/weights")
    steps = a.warmup + a.steps
    count = steps * a.batch * (model.ctx + 1)
    text = torch.from_file(f"{a.exchange}/windows", size=count, dtype=torch.int32).view(steps, a.batch, model.ctx + 1).long()
    step = stepper(model, mode, precision == "bf16", lambda i: text[i])
    seconds, losses = zip(*(timed(lambda: step(i)) for i in range(steps)))
    return {**summary(seconds[a.warmup:], a.batch * model.ctx), "losses": losses, "first_step": seconds[0]}


def inference(model, precision):
    model = model.to(torch.bfloat16) if precision == "bf16" else model
    if model.position is None:  # tables of angles stay exact
        model.cos, model.sin = model.cos.float(), model.sin.float()
    return model.eval()


@torch.no_grad()
def decode(model, precision, mode, a):
    model = inference(model, precision)
    length = min(128, model.ctx)
    caches = model.empty_caches(length)
    mask = torch.ones(length, length, dtype=torch.bool).tril()
    run = compiled(lambda token, position: model.decode(token, position, caches, mask), mode)
    positions = list(torch.arange(length).split(1))

    def write():
        token = torch.ones(1, 1, dtype=torch.long)
        for i in range(length):
            token = model.decode(token, i, caches, None) if mode == "eager" else run(token, positions[i])
        return token

    write()
    return summary([timed(write)[0] for _ in range(a.steps)], length)


@torch.no_grad()
def prompt(model, precision, mode, a):
    model = inference(model, precision)
    length = min(1024, model.ctx)
    caches = model.empty_caches(length)
    tokens = (torch.arange(length) * 7919 % model.token.weight.shape[0])[None]
    run = compiled(lambda tokens: model.read(tokens, caches), mode)
    for _ in range(2):
        run(tokens)
    return summary([timed(lambda: run(tokens))[0] for _ in range(a.steps)], length)


def start_train(a):
    model = GPT(*PRESETS["tiny_char"])
    data = torch.frombuffer(bytearray(open(a.text, "rb").read()), dtype=torch.uint8)
    offsets = torch.arange(model.ctx + 1)
    step = stepper(model, "eager", False, lambda _: data[torch.randint(len(data) - model.ctx - 1, (16, 1)) + offsets].long())
    print("step 0", flush=True)
    print(f"step 1/1 | loss {step(0):.4f}", flush=True)


@torch.no_grad()
def start_generate(a):
    model = GPT(*PRESETS["tiny_char"]).eval()
    model.load_state_dict(torch.load(a.weights, weights_only=True, mmap=True))
    prompt = torch.tensor([list(b"In the beginning")])
    print(repr(chr(model.read(prompt, model.empty_caches(model.ctx)).item())), flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=["train", "decode", "prompt", "start-train", "start-generate", "save"])
    p.add_argument("--preset", choices=PRESETS, default="tiny_char")
    p.add_argument("--way", default="float32-eager")
    p.add_argument("--exchange", default="")
    p.add_argument("--batch", type=int, default=4)
    p.add_argument("--warmup", type=int, default=2)
    p.add_argument("--steps", type=int, default=5)
    p.add_argument("--text", default="")
    p.add_argument("--weights", default="")
    a = p.parse_args()
    if a.what == "start-train":
        return start_train(a)
    if a.what == "start-generate":
        return start_generate(a)
    if a.what == "save":  # for start-generate
        return torch.save(GPT(*PRESETS[a.preset]).state_dict(), a.weights)
    precision, mode = a.way.split("-")
    torch.manual_seed(1337)
    torch.set_flush_denormal(True)
    model = GPT(*PRESETS[a.preset])
    result = {"train": train, "decode": decode, "prompt": prompt}[a.what](model, precision, mode, a)
    print(json.dumps({**result, "params": sum(x.numel() for x in model.parameters()), "torch": torch.__version__,
                      "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
