#!/usr/bin/env python3
"""Compares tinygpt's models with Hugging Face transformers', safetensors' and tokenizers', in both directions.

    hf.py ORACLE

ORACLE is the built tinygpt-oracle. Prints the worst differences as rows of docs/benchmarks/parity.md; exits 1 where one
is larger than it may be.
"""
import argparse
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import safetensors
import safetensors.numpy
import safetensors.torch
import tokenizers
import torch
import transformers

torch.manual_seed(1)
torch.set_num_threads(1)
transformers.utils.logging.disable_progress_bar()

# Roundings of float32 in sums of some hundred terms and logits of size 1 to 10; the last are of losses near 5.
LOGITS, GRADIENT, LOSS = 1e-4, 1e-5, 1e-5

TORCH = f"transformers {transformers.__version__}, torch {torch.__version__}"
# By a part of what is compared.
ORACLES = (("ids by", "transformers' AutoTokenizer", f"transformers {transformers.__version__}"),
           ("ids of", "tokenizers", tokenizers.__version__),
           ("safetensors", "safetensors", safetensors.__version__),
           ("gradient", "PyTorch's autograd through transformers' model", TORCH),
           ("loss", "PyTorch's AdamW on transformers' model", TORCH),
           ("", "transformers", TORCH))

PROMPT, NEW, BATCH, TIME, STEPS = 8, 64, 2, 80, 20


class Comparison:
    """The worst difference of each kind, and whether it may be."""

    def __init__(self):
        self.worst, self.failures = {}, []

    def add(self, what, where, difference, most):
        before = self.worst.get(what, (0.0, most, set()))
        self.worst[what] = (max(before[0], float(difference)), most, before[2] | {where})
        if not difference <= most:
            self.failures.append(f"{what}: {where}: {difference:.3g} is more than {most:g}")

    def rows(self):
        for what, (worst, most, where) in self.worst.items():
            yield what, where, worst, most


class Oracle:
    def __init__(self, program, directory):
        self.program, self.directory = program, directory

    def __call__(self, *arguments):
        run = subprocess.run([self.program, *map(str, arguments)], capture_output=True, text=True)
        if run.returncode != 0:
            raise SystemExit(f"tinygpt-oracle {' '.join(map(str, arguments))}: {run.stderr}")
        return run.stdout

    def ids(self, ids):
        path = self.directory / "ids"
        path.write_bytes(np.asarray(ids, np.int32).tobytes())
        return path

    def logits(self, name, model, ids):
        out = self.directory / "logits"
        self("logits", name, model, self.ids(ids), out)
        return np.fromfile(out, np.float32).reshape(len(ids), -1)

    def greedy(self, name, model, prompt, count):
        return [int(line) for line in self("greedy", name, model, self.ids(prompt), count).split()]

    def train(self, name, model, tokens, targets):
        out = self.directory / "gradients"
        ids = np.concatenate([tokens.numpy().ravel(), targets.numpy().ravel()])
        losses = self("train", name, model, self.ids(ids), BATCH, STEPS, out)
        return [float(line) for line in losses.split()], safetensors.torch.load_file(out)


def load(directory):
    model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager")
    return model.eval()


def their_greedy(model, prompt):
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(NEW):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt):]


def compare_numbers(comparison, oracle, name, directory, how):
    """The same directory read by both."""
    model = load(directory)
    rng = random.Random(name)
    ids = [rng.randrange(model.config.vocab_size) for _ in range(TIME)]
    with torch.no_grad():
        theirs = model(torch.tensor([ids])).logits[0].numpy()
    ours = oracle.logits(name, directory, ids)
    comparison.add(f"logits, {how}", name, np.abs(ours - theirs).max(), LOGITS)
    same = oracle.greedy(name, directory, ids[:PROMPT], NEW) == their_greedy(model, ids[:PROMPT])
    comparison.add(f"greedy {NEW} tokens, {how} (differing models)", name, 0 if same else 1, 0)


def adamw_steps(model, tokens, targets):
    """Losses before each step, and the first gradient, as tinygpt's trainer has them."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [{"params": [p for p in parameters if p.dim() >= 2], "weight_decay": 0.1},
              {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), eps=1e-8)
    losses, first = [], {}
    for step in range(STEPS):
        optimizer.zero_grad()
        logits = model(tokens).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            first = {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(p.grad) for p in parameters]))
        if norm > 1:
            for p in parameters:
                p.grad /= norm
        optimizer.step()
    return losses, first


def compare_training(comparison, oracle, name, directory):
    model = load(directory)
    generator = torch.Generator().manual_seed(len(name))
    tokens, targets = torch.randint(model.config.vocab_size, (2, BATCH, TIME), generator=generator)
    our_losses, ours = oracle.train(name, directory, tokens, targets)
    biases = model.config.to_dict().get("tinygpt", {}).get("architecture", {}).get("bias", "all")
    for parameter, tensor in model.named_parameters():  # GPT-2 has no choice of biases; a type without them trains none
        kind = ("attn_in" if "c_attn.bias" in parameter else "attn_out" if "attn.c_proj.bias" in parameter
                else "ffn" if "mlp.c_" in parameter and parameter.endswith("bias") else None)
        if model.config.model_type == "gpt2" and kind and biases != "all" and kind not in biases:
            tensor.requires_grad_(False)
    losses, gradients = adamw_steps(model, tokens, targets)
    for parameter, theirs in gradients.items():
        difference = torch.linalg.vector_norm(ours[parameter] - theirs) / torch.linalg.vector_norm(theirs)
        comparison.add("gradient of each tensor, relative to its norm", f"{name} {parameter}", difference, GRADIENT)
    for step, (a, b) in enumerate(zip(our_losses, losses, strict=True)):
        comparison.add(f"loss of each of {STEPS} steps of AdamW", f"{name} {step}", abs(a - b), LOSS)


def compare_files(comparison, oracle, name, directory, scratch):
    """safetensors reads ours and writes the same bytes; ours reads its and writes the same bytes."""
    ours = directory / "model.safetensors"
    with safetensors.safe_open(ours, "pt") as file:
        metadata, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}
    again = scratch / "again.safetensors"
    safetensors.torch.save_file(tensors, again, metadata)
    comparison.add("bytes of safetensors files, ours and theirs (differing files)", name,
                   0 if again.read_bytes() == ours.read_bytes() else 1, 0)
    copy = scratch / "copy"
    oracle("copy", directory, copy)
    comparison.add("bytes of safetensors files, read and written again (differing files)", name,
                   0 if (copy / "model.safetensors").read_bytes() == ours.read_bytes() else 1, 0)
    shutil.rmtree(copy)


def randomise(model):
    """No tensor as it begins, so that one in the wrong place shows."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() < 2:
                parameter += 0.1 * torch.randn_like(parameter)
            else:
                parameter.normal_(0, 0.5 / parameter.shape[-1] ** 0.5)


def save_theirs(name, ours, directory, index):
    """A model of transformers' own, in one of the ways in which people save them; and the name of that way."""
    config = load(ours).config
    delattr(config, "tinygpt")
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    randomise(model)
    biases = json.loads((ours / "config.json").read_text())["tinygpt"]["architecture"]["bias"]
    if config.model_type == "gpt2" and biases != "all":
        with torch.no_grad():
            for parameter, tensor in model.named_parameters():
                kind = ("attn_in" if "c_attn.bias" in parameter else "attn_out" if "attn.c_proj.bias" in parameter
                        else "ffn" if "mlp.c_" in parameter and parameter.endswith("bias") else None)
                if kind and kind not in biases:
                    tensor.zero_()
    way = ("one file", "shards", "bfloat16", "float16")[index % 4]
    if way == "shards":
        model.save_pretrained(directory, max_shard_size="20KB")
        if not list(directory.glob("*.index.json")):
            raise SystemExit(f"{name}: transformers wrote no shards")
    else:
        model.to({"bfloat16": torch.bfloat16, "float16": torch.float16}.get(way, torch.float32)).save_pretrained(directory)
    return way


def compare_tokenizers(comparison, oracle, scratch):
    """The ids of 10,000 strings of many scripts, by a tokenizer that each of the two wrote."""
    rng = random.Random(5)
    ranges = [(0x20, 0x7F)] * 6 + [(0xA0, 0x250), (0x370, 0x400), (0x400, 0x530), (0x590, 0x600), (0x600, 0x700),
                                   (0x900, 0x980), (0xE00, 0xE80), (0x1100, 0x1200), (0x3040, 0x3100), (0x4E00, 0x9FFF),
                                   (0xAC00, 0xD7A4), (0x1F300, 0x1F650), (0x9, 0xE), (0x2000, 0x2070)]
    words = "the of and to a in that is was he for it with as his on be at by I'll we're don't 2024 3.14 ...".split()

    def string():
        parts = []
        for _ in range(rng.randrange(1, 12)):
            low, high = rng.choice(ranges)
            parts.append(rng.choice(words) if rng.random() < 0.4 else
                         "".join(chr(rng.randrange(low, high)) for _ in range(rng.randrange(1, 6))))
        return rng.choice(["", " ", "  ", "\n"]).join(parts)

    strings = [string() for _ in range(10_000)]
    (scratch / "strings.json").write_text(json.dumps({"strings": strings}))
    for pattern in ("gpt2", "gpt4"):
        theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
        level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern == "gpt2")
        if pattern == "gpt4":
            regex = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
                     r"\s*[\r\n]+|\s+(?!\S)|\s+")
            level = tokenizers.pre_tokenizers.Sequence(
                [tokenizers.pre_tokenizers.Split(tokenizers.Regex(regex), "isolated"), level])
        theirs.pre_tokenizer, theirs.decoder = level, tokenizers.decoders.ByteLevel()
        trainer = tokenizers.trainers.BpeTrainer(vocab_size=1500, show_progress=False, special_tokens=["<|endoftext|>"],
                                                 initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet())
        theirs.train_from_iterator(strings[:5000], trainer)
        model = scratch / f"tokenizer-{pattern}"
        model.mkdir()
        theirs.save(str(model / "tokenizer.json"))
        out = scratch / "ids.json"
        oracle("tokenize", model / "tokenizer.json", scratch / "strings.json", out)
        ours = json.loads(out.read_text())["ids"]
        expected = [e.ids for e in theirs.encode_batch(strings)]
        wrong = sum(a != b for a, b in zip(ours, expected, strict=True))
        comparison.add("ids of 10,000 strings by a tokenizer.json of theirs (differing strings)", pattern, wrong, 0)
        rewritten = scratch / "rewritten.json"
        oracle("rewrite-tokenizer", model / "tokenizer.json", rewritten)
        again = tokenizers.Tokenizer.from_file(str(rewritten))
        wrong = sum(a != e.ids for a, e in zip(ours, again.encode_batch(strings), strict=True))
        comparison.add("ids of 10,000 strings by a tokenizer.json of ours (differing strings)", pattern, wrong, 0)


def compare_auto_tokenizer(comparison, directory, name):
    """AutoTokenizer reads the files that tinygpt writes beside a model."""
    if not (directory / "tokenizer.json").exists():
        return
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    text = "one of “these” 日本\n"
    comparison.add("ids by transformers' AutoTokenizer (differing models)", name,
                   0 if tokenizer(text)["input_ids"] == list(text.encode()) else 1, 0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("oracle")
    parser.add_argument("--table", type=pathlib.Path)
    arguments = parser.parse_args()
    comparison = Comparison()
    with tempfile.TemporaryDirectory(prefix="tinygpt-oracles-") as name:
        scratch = pathlib.Path(name)
        oracle = Oracle(os.path.abspath(arguments.oracle), scratch)
        models = [line.split(" ", 1) for line in oracle("list").splitlines()]
        for index, (name, type_text) in enumerate(models):
            ours = scratch / "ours" / name
            ours.parent.mkdir(exist_ok=True)
            oracle("new", name, ours, index, "float32")
            compare_numbers(comparison, oracle, name, ours, "of ours read by both")
            compare_training(comparison, oracle, name, ours)
            compare_files(comparison, oracle, name, ours, scratch)
            compare_auto_tokenizer(comparison, ours, name)
            for stored in ("bf16", "float16"):
                short = scratch / f"{name}-{stored}"
                oracle("new", name, short, index, stored)
                compare_numbers(comparison, oracle, name, short, f"of ours stored as {stored}, read by both")
            theirs = scratch / "theirs" / name
            way = save_theirs(name, ours, theirs, index)
            compare_numbers(comparison, oracle, name, theirs, f"of theirs saved as {way}, read by both")
            said = oracle("config", theirs).strip()
            expected = type_text if "gpt2" not in name else with_all_biases(type_text)
            if said != expected:
                comparison.failures.append(f"config.json of {name} says {said} and not {expected}")
            print(f"{name}: done", flush=True)
        compare_tokenizers(comparison, oracle, scratch)
    for what, cases, worst, most in comparison.rows():
        oracle, version = next((o, v) for key, o, v in ORACLES if key in what)
        models = len({where.split()[0] for where in cases})
        print(f"| {models} | {oracle} | {version} | {what} | {worst:.2g} (at most {most:g}) |")
    print("\n".join(comparison.failures[:40]), file=sys.stderr)
    return 1 if comparison.failures else 0


def with_all_biases(text):
    """GPT-2's config.json never says that there are no biases."""
    text = re.sub(r", Bias<[^>]*>", "", text)
    return re.sub(r"(, Head<untied>)?>$", r", Bias<all>\1>", text)


if __name__ == "__main__":
    sys.exit(main())
