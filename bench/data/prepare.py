#!/usr/bin/env python3
"""tinygpt prepare beside encoding alone: how much of the rate is left from files to shards.

    prepare.py TINYGPT BENCH_ENCODE TOKENIZER TEXT [--megabytes 200] [--rounds 3]

Both read the same text, TEXT as often as makes so many megabytes, in turn. Encoding alone is one thread with the whole text in
memory; prepare reads it, checks and cuts it, encodes, writes and reads its logs, and writes shards that are on the disk when it
ends. Prints a table in Markdown, of medians.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("tinygpt", "encode", "tokenizer", "text"):
        parser.add_argument(name, type=pathlib.Path)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    a = parser.parse_args()
    tinygpt, encode, tokenizer = (str(path.resolve()) for path in (a.tinygpt, a.encode, a.tokenizer))
    with tempfile.TemporaryDirectory(prefix="tinygpt-prepare-") as scratch:
        once = a.text.read_bytes()
        text = pathlib.Path(scratch, "text.txt")
        with text.open("wb") as file:
            for _ in range(max(1, a.megabytes * 10**6 // len(once))):
                file.write(once)
        size = text.stat().st_size / 1e6
        seconds = {"encoding alone": [], "prepare, 1 thread": [], "prepare, 2 threads": []}
        for turn in range(a.rounds):
            report = json.loads(subprocess.run([encode, tokenizer, str(text)], check=True, capture_output=True).stdout)
            seconds["encoding alone"].append(report["first"])
            for threads in (1, 2):
                out = pathlib.Path(scratch, f"out-{turn}-{threads}")
                begun = time.monotonic()
                subprocess.run([tinygpt, "prepare", "--source", f"text:{text}", "--tokenizer", tokenizer, "--out", str(out),
                                "--threads", str(threads)], check=True, capture_output=True)
                seconds[f"prepare, {threads} thread{'s' * (threads > 1)}"].append(time.monotonic() - begun)
                subprocess.run(["rm", "-r", str(out)], check=True)
        print(f"{size:.0f} MB of {a.text.name}, medians of {a.rounds} rounds\n")
        print("| | MB/s | of encoding alone, one thread |\n| --- | --- | --- |")
        alone = statistics.median(seconds["encoding alone"])
        for what, times in seconds.items():
            middle = statistics.median(times)
            print(f"| {what} | {size / middle:.1f} | {100 * alone / middle:.0f} % |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
