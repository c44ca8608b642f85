#!/usr/bin/env python3
"""Checkpoints of llm.c's, as llm.c's train_gpt2.py lays them out, against transformers' GPT-2.

    llmc.py PROGRAM        PROGRAM is build/dev/tests/oracles/tinygpt-oracle; -exchange lies beside it

Ours, read here: logits of transformers' model against this project's. Theirs, written here: the same from the other side.
Exits 1 where one differs by more than 1e-4.
"""
import json
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers

TOLERANCE = 1e-4
program = sys.argv[1].removesuffix("-exchange") + "-exchange"


def run(*args, stdin=b""):
    return subprocess.run([program, *map(str, args)], input=stdin, check=True, stdout=subprocess.PIPE).stdout


def empty_model(T, V, L, H, C):
    config = transformers.GPT2Config(vocab_size=V, n_positions=T, n_embd=C, n_layer=L, n_head=H,
                                     activation_function="gelu_new", bos_token_id=None, eos_token_id=None)
    return transformers.GPT2LMHeadModel(config).eval().float()


def tensors_in_order(model):
    """The parameters in llm.c's order, as Linear has them; GPT-2's Conv1D has the transposes."""
    blocks = model.transformer.h
    kinds = [lambda h: h.ln_1.weight, lambda h: h.ln_1.bias, lambda h: h.attn.c_attn.weight.T, lambda h: h.attn.c_attn.bias,
             lambda h: h.attn.c_proj.weight.T, lambda h: h.attn.c_proj.bias, lambda h: h.ln_2.weight, lambda h: h.ln_2.bias,
             lambda h: h.mlp.c_fc.weight.T, lambda h: h.mlp.c_fc.bias, lambda h: h.mlp.c_proj.weight.T,
             lambda h: h.mlp.c_proj.bias]
    ends = [model.transformer.ln_f.weight, model.transformer.ln_f.bias]
    return [model.transformer.wpe.weight] + [kind(h) for kind in kinds for h in blocks] + ends


def read(path):
    data = open(path, "rb").read()
    magic, version, T, V, L, H, C, Vp = np.frombuffer(data[:32], np.int32).tolist()
    assert magic == 20240326 and version in (3, 5) and Vp % 128 == 0 and not any(data[32:1024])
    numbers = torch.frombuffer(bytearray(data[1024:]), dtype=torch.float32 if version == 3 else torch.bfloat16).float()
    model = empty_model(T, V, L, H, C)
    with torch.no_grad():
        table, at = numbers[:Vp * C].view(Vp, C), Vp * C
        assert (table[V:] == 0).all()
        model.transformer.wte.weight.copy_(table[:V])
        for tensor in tensors_in_order(model):
            tensor.copy_(numbers[at:at + tensor.numel()].view(tensor.shape))
            at += tensor.numel()
    assert at == numbers.numel()
    return model


def write(path, model, dtype):
    c = model.config
    padded = (c.vocab_size + 127) // 128 * 128
    header = np.zeros(256, np.int32)
    header[:8] = [20240326, 3 if dtype == torch.float32 else 5, c.n_positions, c.vocab_size, c.n_layer, c.n_head, c.n_embd, padded]
    table = torch.nn.functional.pad(model.transformer.wte.weight, (0, 0, 0, padded - c.vocab_size))
    with open(path, "wb") as file:
        file.write(header.tobytes())
        for tensor in [table, *tensors_in_order(model)]:
            file.write(tensor.detach().to(dtype).contiguous().view(-1).view(torch.uint8).numpy().tobytes())


def worst_difference(entry, weights, model):
    worst, vocab = 0.0, entry["config"]["vocab"]
    random = np.random.default_rng(entry["number"])
    for batch, time in ((1, 1), (3, 7), (2, entry["config"]["ctx"])):
        ids = random.integers(0, vocab, (batch, time))
        ours = run(entry["number"], "logits", weights, batch, time, stdin=ids.astype(np.int32).tobytes())
        ours = np.frombuffer(ours, np.float32).reshape(batch, time, vocab)
        with torch.no_grad():
            theirs = model(torch.from_numpy(ids)).logits.numpy()
        worst = max(worst, float(np.abs(theirs - ours).max()))
    return worst


def main():
    print(f"torch {torch.__version__}, transformers {transformers.__version__}")
    worst = []
    for entry in map(json.loads, run("list").decode().splitlines()[:2]):  # the two of GPT-2's own architecture
        c = entry["config"]
        for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
            with tempfile.TemporaryDirectory() as folder:
                ours, theirs = folder + "/ours.bin", folder + "/theirs.bin"
                run(entry["number"], "llmc", "seed:7", ours, name)
                worst.append(worst_difference(entry, "llmc:" + ours, read(ours)))
                print(f"{worst[-1]:.1e} ours read there, {name}", entry["type"])
                model = empty_model(c["ctx"], c["vocab"], c["layers"], c["query_heads"], c["embd"])
                with torch.no_grad():
                    for parameter in model.parameters():
                        parameter.copy_((parameter + 0.3 * torch.randn_like(parameter)).to(dtype))
                write(theirs, model, dtype)
                worst.append(worst_difference(entry, "llmc:" + theirs, model))
                print(f"{worst[-1]:.1e} theirs read here, {name}", entry["type"])
    return 1 if max(worst) > TOLERANCE or not all(np.isfinite(worst)) else 0


if __name__ == "__main__":
    torch.manual_seed(1)
    sys.exit(main())
