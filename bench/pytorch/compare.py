"""Runs tinygpt's step benchmark and PyTorch's in turn, and prints medians and ratios. See scripts/bench-pytorch.sh."""
import argparse
import json
import pathlib
import platform
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).parent


def ours(program, preset):
    out = subprocess.run([program, f"--benchmark_filter=^{preset}/.*/0/", "--benchmark_format=json",
                          "--benchmark_min_time=3"], capture_output=True, text=True, check=True).stdout
    row = json.loads(out)["benchmarks"][0]
    return row["real_time"] / 1e3, row["tokens/s"], row["of_gemm"], row["FLOP/s"]


def torch(preset, mode, text, steps):
    out = subprocess.run([sys.executable, str(HERE / "train_step.py"), "--preset", preset, "--mode", mode, "--text", text,
                          "--steps", str(steps)], capture_output=True, text=True, check=True).stdout
    return json.loads(out.splitlines()[-1])


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--text", required=True)
    p.add_argument("--ours", required=True)
    a = p.parse_args()
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    print(f"{cpu}, {a.rounds} rounds in turn, medians, float32")
    print(f"{'preset':<12}{'side':<18}{'ms/step':>10}{'tokens/s':>12}{'ratio':>8}")
    for preset, steps in (("tiny_char", 20), ("small_char", 4)):
        mine, shares, sides = [], [], {"eager": [], "compile": []}
        for _ in range(a.rounds):
            mode_results = {}
            for mode in sides:
                seconds, _, share, _ = ours(a.ours, preset)
                mine.append(seconds)
                shares.append(share)
                mode_results[mode] = torch(preset, mode, a.text, steps)
                sides[mode].append(mode_results[mode]["seconds"])
        tokens = mode_results["eager"]["tokens"]
        me = statistics.median(mine)
        print(f"{preset:<12}{'tinygpt':<18}{me * 1e3:>10.1f}{tokens / me:>12,.0f}{'1.00':>8}"
              f"   {100 * statistics.median(shares):.0f} % of its matrix product's rate")
        for mode, seconds in sides.items():
            s = statistics.median(seconds)
            label = f"torch {mode}"
            print(f"{'':<12}{label:<18}{s * 1e3:>10.1f}{tokens / s:>12,.0f}{s / me:>8.2f}")
        print(f"{'':<12}PyTorch {mode_results['eager']['torch']}, {mode_results['eager']['threads']} threads; "
              f"parameters {mode_results['eager']['params']:,}; best of PyTorch / tinygpt = "
              f"{min(statistics.median(v) for v in sides.values()) / me:.2f}")


if __name__ == "__main__":
    main()
