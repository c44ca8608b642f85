#!/usr/bin/env python3
"""Trains for long and looks at the process: its memory and its descriptors do not grow, its losses are numbers.

    soak_test.py PROGRAM [--steps N | --hours H]     PROGRAM is a built tinygpt-tiny_char; 300 steps are the test

A checkpoint is written each 10 steps. What the process has after a third of the steps it must have at the end.
"""
import argparse
import json
import math
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

MOST_GROWTH = 1.01  # of resident memory


def resident(pid):
    """Bytes; the pages that are the process's own, not those of files, which come and go."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("the system does not say RssAnon")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def last_step(metrics):
    """Of metrics.jsonl, whose last line may not be whole yet; and every loss in it must be a number."""
    last = 0
    for line in metrics.read_text().split("\n")[:-1] if metrics.exists() else []:
        row = json.loads(line)
        last = row["step"]
        for name, value in row.items():
            if "loss" in name and not (isinstance(value, (int, float)) and math.isfinite(value)):
                sys.exit(f"step {last}: {name} is {value}")
    return last


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("program", type=os.path.abspath)
    arguments.add_argument("--steps", type=int, default=300)
    arguments.add_argument("--hours", type=float, help="instead of --steps: train for so long")
    a = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="tinygpt-soak-") as directory:
        text, out = pathlib.Path(directory, "text.txt"), pathlib.Path(directory, "m")
        draw = random.Random(1)
        text.write_text(" ".join(draw.choice(["one", "two", "three", "four"]) for _ in range(20_000)))
        steps = 10**9 if a.hours else a.steps
        process = subprocess.Popen([a.program, "train", "--input-file", text, "--out", out, "--batch-size", "1",
                                    "--eval-iters", "1", "--eval-interval", "10", "--checkpoint-interval", "10",
                                    "--max-iters", str(steps)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
        begun, early, late, seen = time.monotonic(), [], [], -1
        try:
            while process.poll() is None:
                step, hours = last_step(out / "metrics.jsonl"), (time.monotonic() - begun) / 3600
                part = hours / a.hours if a.hours else step / steps
                if a.hours and part >= 1:
                    process.terminate()
                    process.wait()
                    break
                if step == seen or part < 1 / 3:
                    time.sleep(0.02 if not a.hours else 5)
                    continue
                seen = step
                try:
                    (early if part < 1 / 2 else late).append((resident(process.pid), descriptors(process.pid)))
                except (FileNotFoundError, ProcessLookupError, RuntimeError):
                    break  # it has ended in between
            error = process.communicate()[1].decode()
        finally:
            process.kill()
        if process.returncode not in (0, 143 if a.hours else 0):
            sys.exit(f"the program ended with {process.returncode}: {error}")
        if not early or not late:
            sys.exit("nothing was measured: train for longer")
        last_step(out / "metrics.jsonl")
        memory = [max(m for m, _ in part) for part in (early, late)]
        files = [min(f for _, f in part) for part in (early, late)]  # between saves, which open some for a moment
        print(f"{seen} steps seen; resident memory {memory[0]:,} then {memory[1]:,} bytes; "
              f"descriptors {files[0]} then {files[1]}")
        if memory[1] > MOST_GROWTH * memory[0]:
            sys.exit("its memory grows")
        if files[1] > files[0]:
            sys.exit("it leaves files open")


if __name__ == "__main__":
    main()
