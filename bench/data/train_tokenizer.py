#!/usr/bin/env python3
"""Learns tokenizers with tinygpt and with Hugging Face tokenizers in turn, from the same text, and prints a table.

    train_tokenizer.py PROGRAM TEXT [--sizes N,N] [--threads N,N] [--rounds N]        PROGRAM is the built tinygpt

Both must learn the same merges in the same order, or it fails. A figure of tinygpt's is its whole process, from the file to
tokenizer.json; one of the other is train_from_iterator and save in a process that has the text in memory already, and the
faster of two ways to give it the text counts: as a whole, or by lines, which it can deal to threads (its words at line ends
are then others). Times are medians over the rounds, in which the runs take turns; processor time is less disturbed by what else
the machine does. Memory is the peak of the whole process.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

GPT4 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
        r"\s+(?!\S)|\s+")
SPECIAL = "<|endoftext|>"


def learn_theirs(text, size, pattern, by_lines, out):
    """In a process of its own: prints seconds."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
    with open(text, encoding="utf-8", newline="") as file:
        whole = file.read()
    texts = whole.splitlines(keepends=True) if by_lines else [whole]
    begun, used = time.perf_counter(), time.process_time()
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(GPT4), "isolated")
    tokenizer.pre_tokenizer = (pre_tokenizers.ByteLevel(add_prefix_space=False) if pattern == "gpt2" else
                               pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)]))
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=size, min_frequency=0, special_tokens=[SPECIAL], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.save(out)
    print(time.perf_counter() - begun, time.process_time() - used)


def peak_of(command, environment):
    """Seconds, seconds of processors, peak memory in MB and output of a process."""
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{command} failed")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000 * 1.024, output


def merges(path):
    """As pairs of texts, in either notation."""
    model = json.loads(path.read_text())["model"]
    return [tuple(m.split(" ") if isinstance(m, str) else m) for m in model["merges"]]


def main():
    if sys.argv[1] == "--theirs":
        text, size, pattern, by_lines, out = sys.argv[2:]
        return learn_theirs(text, int(size), pattern, by_lines == "lines", out)
    numbers = lambda text: [int(n) for n in text.split(",")]  # noqa: E731
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("text")
    parser.add_argument("--sizes", type=numbers, default=[1000, 8000, 32000])
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--pattern", default="gpt2")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    import tokenizers
    megabytes = os.path.getsize(arguments.text) / 1e6
    print(f"{arguments.text}, {megabytes:.2f} MB, {arguments.pattern}; tokenizers {tokenizers.__version__}; "
          f"{arguments.rounds} rounds, of each the runs take turns")
    print(f"{'tokens':>8} {'threads':>7} {'tinygpt':>9} {'tokenizers':>11} {'by lines':>9} {'times':>6} "
          f"{'cpu':>9} {'theirs':>9} {'times':>6} {'memory':>9} {'theirs':>9}")
    for size in arguments.sizes:
        for threads in arguments.threads:
            environment = {**os.environ, "RAYON_NUM_THREADS": str(threads),
                           "TOKENIZERS_PARALLELISM": str(threads > 1).lower()}
            runs = {"ours": [], "whole": [], "lines": []}  # seconds, of processors, peak
            for _ in range(arguments.rounds):
                with tempfile.TemporaryDirectory() as directory:
                    out = pathlib.Path(directory)
                    *figures, _ = peak_of([arguments.program, "tokenizer", "train", "--input", arguments.text, "--out",
                                           out / "ours", "--vocab-size", str(size), "--pattern", arguments.pattern,
                                           "--threads", str(threads), "--json"], environment)
                    runs["ours"].append(figures)
                    for way in ("whole", "lines"):
                        _, _, peak, said = peak_of([sys.executable, __file__, "--theirs", arguments.text, str(size),
                                                    arguments.pattern, way, str(out / way)], environment)
                        runs[way].append([*map(float, said.split()), peak])
                    if merges(out / "ours/tokenizer.json") != merges(out / "whole"):
                        sys.exit(f"the merges differ at {size} tokens")
            ours, whole, lines = ([statistics.median(figures) for figures in zip(*runs[way])]
                                  for way in ("ours", "whole", "lines"))
            best, least = min(whole[0], lines[0]), min(whole[1], lines[1])
            print(f"{size:8,} {threads:7} {ours[0]:7.3f} s {whole[0]:9.3f} s {lines[0]:7.3f} s {best / ours[0]:6.1f} "
                  f"{ours[1]:7.3f} s {least:7.3f} s {least / ours[1]:6.1f} {ours[2]:6.0f} MB "
                  f"{min(whole[2], lines[2]):6.0f} MB", flush=True)


if __name__ == "__main__":
    main()
