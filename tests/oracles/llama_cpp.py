#!/usr/bin/env python3
"""Compares tinygpt's GGUF files with gguf-py, and llama.cpp's greedy continuations of them with tinygpt's own.

    llama_cpp.py PROGRAM [--table FILE]

PROGRAM is the built tinygpt-oracle-gguf (tests/oracles/gguf), or another program in the folder above it. llama.cpp comes as
the package xllamacpp; without it that part is left out, and said so. --table appends rows of docs/benchmarks/parity.md.
Exits 1 where something differs by more than it may.
"""
import argparse
import importlib.metadata
import json
import pathlib
import subprocess
import sys
import tempfile

import gguf
import numpy as np

TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_k")
# Relative to the norm of a tensor whose numbers are normal.
RMSE = {"F32": 0, "F16": 3e-4, "BF16": 1.8e-3, "Q8_0": 6e-3, "Q5_0": 0.045, "Q4_0": 0.09, "Q4_K": 0.075}


def program(path):
    path = pathlib.Path(path)
    return path if path.name == "tinygpt-oracle-gguf" else path.parent / "gguf" / "tinygpt-oracle-gguf"


def tensors(path):
    return {t.name: t for t in gguf.GGUFReader(path).tensors}


def numbers(tensor):
    """float32, in numpy's order of the axes."""
    return gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(tensor.shape[::-1].tolist())


def steps_of_q4_0(data):
    nibbles = data.reshape(-1, 18)[:, 2:]
    return np.concatenate([nibbles & 15, nibbles >> 4], axis=1).astype(int)


class Results:
    def __init__(self):
        self.failures, self.rows = [], []

    def check(self, good, what):
        if not good:
            self.failures.append(what)

    def row(self, model, oracle, package, difference):
        models, _, compared = model.partition(", ")
        self.rows.append(f"| {models} | {oracle} | {importlib.metadata.version(package)} | {compared} | {difference} |")


def compare_with_gguf_py(directory, names, results):
    """Every tensor of every type, dequantised by gguf-py, beside float32; and the bytes of those that gguf-py writes."""
    worst = {}
    blocks = {"Q8_0": [0, 0], "Q5_0": [0, 0], "Q4_0": [0, 0]}  # numbers, and those that differ
    for name in names:
        expected = {n: numbers(t) for n, t in tensors(directory / f"{name}.f32.gguf").items()}
        for kind in TYPES:
            found = tensors(directory / f"{name}.{kind}.gguf")
            results.check(found.keys() == expected.keys(), f"{name}.{kind}: other tensors")
            for n, tensor in found.items():
                stored, where = tensor.tensor_type.name, f"{name}.{kind}: {n}"
                actual, x = numbers(tensor), expected[n]
                results.check(actual.shape == x.shape, f"{where}: another shape")
                norm = np.linalg.norm(x)
                error = float(np.linalg.norm(actual - x) / norm) if norm else 0.0
                worst[stored] = max(worst.get(stored, 0.0), error)
                results.check(error <= RMSE[stored], f"{where}: relative RMSE {error:.3g}")
                if stored not in blocks:
                    continue
                theirs = gguf.quants.quantize(x, tensor.tensor_type)
                same = np.array_equal(theirs.reshape(-1), np.asarray(tensor.data).reshape(-1))
                blocks[stored][0] += x.size
                if stored == "Q4_0" and not same:
                    apart = np.abs(steps_of_q4_0(theirs) - steps_of_q4_0(np.asarray(tensor.data)))
                    results.check(apart.max() <= 1, f"{where}: more than a step apart")
                    blocks[stored][1] += int((apart > 0).sum())
                else:
                    results.check(same, f"{where}: other bytes than gguf-py's")
    count, apart = blocks["Q4_0"]
    results.check(apart <= 1e-4 * count, f"Q4_0: {apart} of {count} numbers are a step apart")
    for stored, error in sorted(worst.items()):
        results.row(f"{len(names)} models, {stored} after dequantisation", "gguf-py", "gguf", f"relative RMSE {error:.2g}")
    for stored, (count, apart) in blocks.items():
        results.row(f"{len(names)} models, bytes of {stored}", "gguf-py", "gguf",
                    f"{apart} of {count:,} numbers differ" if apart else f"identical ({count:,} numbers)")


def complete(server, prompt, count):
    """The ids that follow, and how many the prompt has there."""
    answer = server.handle_completions({"prompt": prompt, "max_tokens": count, "temperature": 0, "top_k": 1,
                                        "ignore_eos": True, "cache_prompt": False, "stream": False,
                                        "return_tokens": True, "verbose": True})
    if isinstance(answer, (str, bytes)):
        answer = json.loads(answer)
    return answer["__verbose"]["tokens"], answer["usage"]["prompt_tokens"]


def compare_with_llama_cpp(directory, names, results):
    """Greedy continuations of prompts as texts and as ids: for float32 they must be tinygpt's own."""
    try:
        import xllamacpp
    except ImportError:
        print("SKIPPED: there is no xllamacpp: llama.cpp's continuations were not compared")
        return
    agree = dict.fromkeys(TYPES, 0)
    total = 0
    for name in names:
        expected = json.loads((directory / f"{name}.json").read_text())
        for kind in TYPES:
            params = xllamacpp.CommonParams()
            params.model.path = str(directory / f"{name}.{kind}.gguf")
            params.n_ctx, params.n_gpu_layers, params.n_parallel, params.warmup, params.verbosity = 96, 0, 1, False, 0
            params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
            params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
            params.cpuparams.n_threads = 1
            params.endpoint_metrics = False
            server = xllamacpp.Server(params)
            for prompt in expected["prompts"]:
                want = prompt["greedy"]
                for form in ("text", "ids"):
                    got, read = complete(server, prompt[form], len(want))
                    results.check(read == len(prompt["ids"]), f"{name}: llama.cpp reads '{prompt['text'][:12]}' as {read} tokens")
                    same = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
                    agree[kind] += same
                    total += len(want) if kind == "f32" else 0
                    if kind == "f32":
                        results.check(got == want, f"{name}: llama.cpp goes on otherwise after {same} tokens of "
                                                   f"'{prompt['text'][:12]}' as {form} (least margin {prompt['margin']:.3g})")
            del server
    for kind in TYPES:
        results.row(f"{len(names)} models in {kind.upper()}, greedy continuation", "llama.cpp of xllamacpp", "xllamacpp",
                    f"{agree[kind]} of {total} tokens before the first that differs")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--table", type=pathlib.Path)
    arguments = parser.parse_args()
    results = Results()
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        subprocess.run([program(arguments.program), directory], check=True)
        names = sorted(p.stem for p in directory.glob("*.json"))
        compare_with_gguf_py(directory, names, results)
        compare_with_llama_cpp(directory, names, results)
    print("\n".join(results.rows))
    if arguments.table:
        with arguments.table.open("a") as table:
            table.writelines(row + "\n" for row in results.rows)
    for failure in results.failures:
        print("FAILED:", failure)
    print(f"{len(names)} models, {len(results.failures)} failures")
    return 1 if results.failures or not names else 0


if __name__ == "__main__":
    sys.exit(main())
