#!/usr/bin/env python3
"""Encodes one text with tinygpt, tiktoken and Hugging Face tokenizers in turn, one thread each, and prints a table.

    encode.py PROGRAM TOKENIZER TEXT [--rounds N]     PROGRAM is tinygpt-bench-encode, TOKENIZER a tokenizer.json

All three must give the same ids, or it fails. The other two are timed on the whole text and on its lines, and the faster
counts; tinygpt takes the whole text, with an encoder that has seen none of it. A figure is the median over the rounds.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import tiktoken
import tokenizers

GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"


def tiktoken_encoding(description):
    """The same tokenizer for tiktoken, whose ranks are the ids."""
    vocab = description["model"]["vocab"]
    special = {t["content"]: t["id"] for t in description["added_tokens"]}
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    byte_of = {chr(b): b for b in printable}
    byte_of |= {chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in printable)}
    ranks = {bytes(byte_of[c] for c in token): i for token, i in vocab.items() if token not in special}
    pre = description["pre_tokenizer"]
    pattern = GPT2 if pre["type"] == "ByteLevel" else pre["pretokenizers"][0]["pattern"]["Regex"]
    return tiktoken.Encoding("this", pat_str=pattern, mergeable_ranks=ranks, special_tokens=special)


def seconds(work):
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("tokenizer")
    parser.add_argument("text")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with open(arguments.tokenizer, encoding="utf-8") as file:
        description = json.load(file)
    with open(arguments.text, encoding="utf-8", newline="") as file:
        text = file.read()
    lines = text.splitlines(keepends=True)
    megabytes = len(text.encode()) / 1e6
    theirs = tokenizers.Tokenizer.from_file(arguments.tokenizer)
    theirs_too = tiktoken_encoding(description)

    with tempfile.NamedTemporaryFile() as ids:
        subprocess.run([arguments.program, arguments.tokenizer, arguments.text, ids.name], check=True, capture_output=True)
        ours = memoryview(ids.read()).cast("i").tolist()
    if ours != theirs.encode(text, add_special_tokens=False).ids or ours != theirs_too.encode_ordinary(text):
        sys.exit("encode.py: the ids are not the same")

    times = {name: [] for name in ("tinygpt", "tinygpt again", "tiktoken", "tokenizers")}
    for _ in range(arguments.rounds):
        report = json.loads(subprocess.run([arguments.program, arguments.tokenizer, arguments.text], check=True,
                                           capture_output=True).stdout)
        times["tinygpt"].append(report["first"])
        times["tinygpt again"].append(report["again"])
        times["tiktoken"].append(min(seconds(lambda: theirs_too.encode_ordinary(text)),
                                     seconds(lambda: [theirs_too.encode_ordinary(line) for line in lines])))
        times["tokenizers"].append(min(seconds(lambda: theirs.encode(text)),
                                       seconds(lambda: theirs.encode_batch_fast(lines))))
    rate = {name: megabytes / statistics.median(all_of_it) for name, all_of_it in times.items()}
    print(f"{arguments.text}: {megabytes:.1f} MB, {len(ours):,} tokens of {len(description['model']['vocab']):,}, "
          f"the same ids from all three; one thread, median of {arguments.rounds} rounds in turn\n")
    print("| encoder | MB/s | tinygpt is faster by |\n| --- | --- | --- |")
    for name, label in [("tinygpt", "tinygpt, an encoder that has seen nothing"), ("tinygpt again", "tinygpt, the same encoder again"),
                        ("tiktoken", f"tiktoken {tiktoken.__version__}"), ("tokenizers", f"Hugging Face tokenizers {tokenizers.__version__}")]:
        ratio = "" if name.startswith("tinygpt") else f"{rate['tinygpt'] / rate[name]:.1f} times"
        print(f"| {label} | {rate[name]:.1f} | {ratio} |")


if __name__ == "__main__":
    main()
