#!/usr/bin/env python3
"""Measures what it costs to compile presets' programs, and checks that the cost does not depend on the model's size.

    measure.py [--build DIR] [--repeat N] [--markdown FILE] [PRESET...]

Compiles the one translation unit of each preset with the command of the build tree (Ninja), one after the other on one
core; the lowest of N times counts. Exits with 1 where a program takes more than 30 s of processor time or 1.5 GB, or
where consumer_3B, 2.7 thousand million parameters in 28 layers, takes over 10 % more than tiny, 11 million in 4.

Where the build has CUDA, the first preset's gpu part is measured too: as PTX, for one architecture, and for all. As PTX,
which is what a machine without a GPU makes by default, it may take 60 s.
"""
import argparse
import datetime
import os
import pathlib
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
MOST_SECONDS, MOST_MEGABYTES, MOST_GROWTH, MOST_SECONDS_OF_PTX = 30, 1500, 1.10, 60
CODE = {"PTX of 8.0": ["-gencode=arch=compute_80,code=compute_80"],
        "9.0": ["-gencode=arch=compute_90,code=sm_90"],
        "7.5 to 12.0, PTX": [f"-gencode=arch=compute_{a},code=sm_{a}" for a in (75, 80, 86, 89, 90, 100)] +
                            ["-gencode=arch=compute_120,code=[compute_120,sm_120]"]}


def compile_command(build, target, source):
    """The command of the build tree that compiles the target's source."""
    commands = subprocess.run(["ninja", "-C", build, "-t", "commands", target], capture_output=True, text=True)
    for line in commands.stdout.splitlines():
        command = shlex.split(line)
        if "-c" in command and any(word.endswith("/" + source) for word in command):
            return command
    sys.exit(f"{build} has no command to compile {source}: configure it with cmake --preset dev first")


def measure(command):
    """Seconds of processor time, and megabytes of the largest process."""
    _, status, usage = os.wait4(os.posix_spawnp(command[0], command, os.environ), 0)
    if status != 0:
        sys.exit(f"the compiler failed: {shlex.join(command)}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--build", type=pathlib.Path, default=ROOT / "build/dev")
    arguments.add_argument("--repeat", type=int, default=2)
    arguments.add_argument("--markdown", type=pathlib.Path, help="write the page with the results here")
    arguments.add_argument("presets", nargs="*", default=["tiny_char", "tiny", "gpt2_xl", "consumer_3B"])
    a = arguments.parse_args()

    build, page = a.build.resolve(), a.markdown and a.markdown.resolve()
    sources = {"cli": "tinygpt_cli.cpp", **{preset: f"tinygpt-{preset}.cpp" for preset in a.presets}}
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.chdir(build)  # the commands are relative to it
    results = {}
    for name, source in sources.items():
        command = compile_command(build, f"tinygpt-{name}", source)
        runs = [measure(command) for _ in range(a.repeat)]
        results[name] = (min(seconds for seconds, _ in runs), max(megabytes for _, megabytes in runs))
        print(f"tinygpt-{name:<24} {results[name][0]:6.1f} s {results[name][1]:8.0f} MB", flush=True)

    parts = {}
    if list(build.glob("presets/tinygpt-*-gpu.cu")):
        preset = a.presets[0]
        gpu = compile_command(build, f"tinygpt-{preset}", f"tinygpt-{preset}-gpu.cu")
        for code, flags in CODE.items():
            parts[code] = measure([w for w in gpu if not w.startswith("--generate-code")] + flags)  # once: it takes minutes
            print(f"tinygpt-{preset}-gpu {code:<20} {parts[code][0]:6.1f} s {parts[code][1]:8.0f} MB", flush=True)

    faults = [f"{name} takes {seconds:.1f} s and {megabytes:.0f} MB; the budget is {MOST_SECONDS} s and {MOST_MEGABYTES} MB"
              for name, (seconds, megabytes) in results.items() if seconds > MOST_SECONDS or megabytes > MOST_MEGABYTES]
    if parts and parts["PTX of 8.0"][0] > MOST_SECONDS_OF_PTX:
        faults.append(f"the gpu part takes {parts['PTX of 8.0'][0]:.1f} s as PTX; the budget is {MOST_SECONDS_OF_PTX} s")
    if {"tiny", "consumer_3B"} <= results.keys():
        growth = results["consumer_3B"][0] / results["tiny"][0]
        print(f"consumer_3B / tiny: {growth:.2f}")
        if growth > MOST_GROWTH:
            faults.append(f"consumer_3B takes {growth:.2f} times as long as tiny; at most {MOST_GROWTH} is promised")

    if page:
        page.write_text(page_text(results, parts, command, a.repeat, a.presets[0]))
    print("\n".join(faults) if faults else "within the budget")
    return 1 if faults else 0


GPU_SECTION = """
## The gpu part

Where the build has CUDA, nvcc compiles a second unit for each preset, with all kernels in bf16 and in float32: widths and head
sizes are template arguments, so presets share none. `tinygpt-{preset}` for

| code for | CPU time, s | peak memory, MB |
| --- | ---: | ---: |
{rows}
A machine with a GPU compiles for that one; another as PTX, so that the default build of three presets stays short, and for all
with `-DTINYGPT_GPU_ARCHITECTURES=all`. Budget: {budget} s as PTX.
"""


def page_text(results, parts, command, repeat, preset):
    version = subprocess.run([command[0], "--version"], capture_output=True, text=True).stdout.splitlines()[0]
    flags = [f for f in command if f.startswith(("-O", "-march", "-std", "-D"))]
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    rows = "\n".join(f"| `tinygpt-{name}` | {seconds:.1f} | {megabytes:.0f} |" for name, (seconds, megabytes) in results.items())
    gpu = "".join(f"| {code} | {seconds:.1f} | {megabytes:.0f} |\n" for code, (seconds, megabytes) in parts.items())
    section = GPU_SECTION.format(preset=preset, rows=gpu, budget=MOST_SECONDS_OF_PTX) if parts else ""
    return f"""# What it costs to compile a preset

The cost does not depend on the model's size: layers are stacked on the first axis of each tensor, so that a type with 28
layers of 2560 is as much work for the compiler as one with 4 layers of 192. The commands, with the command line's and the
JSON library, know no model's type; they are compiled once per build tree, as the library `tinygpt-cli`.

| target | CPU time, s | peak memory, MB |
| --- | ---: | ---: |
{rows}

Budget: {MOST_SECONDS} s and {MOST_MEGABYTES} MB for any of them, and `consumer_3B` within 10 % of `tiny`.
{section}
Measured on {datetime.date.today()} on one core of an {model} with {version},
`{' '.join(flags)}`, the lowest of {repeat}, by

```sh
cmake --preset dev
bench/compile_time/measure.py --markdown docs/benchmarks/compile_time.md
```
"""


if __name__ == "__main__":
    sys.exit(main())
