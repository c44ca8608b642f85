#!/usr/bin/env python3
"""Writes docs/reference/kernel_resources.md: the registers, stack and shared memory of each kernel on each GPU.

    scripts/kernel-resources.py             compiles tests/gpu_compile/kernels.cu and writes the table
    scripts/kernel-resources.py --check     fails where a figure is not that of the table, a kernel of include/ is not in
                                            kernels.cu, or a kernel spills or has a stack

It needs nvcc and no GPU: ptxas says all of it. The figures are those of one version of nvcc, which the table names; with
another one, --check looks for spills and stack only, and says so.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = pathlib.Path("docs/reference/kernel_resources.md")
UNIT = pathlib.Path("tests/gpu_compile/kernels.cu")
ARCHITECTURES = ("80", "86", "89", "90")
FLAGS = ["-std=c++20", "--expt-relaxed-constexpr", "-O3", "-DNDEBUG"]  # as a Release build compiles them
HEAD = ("kernel", "sm", "registers", "spill bytes", "stack", "smem")
SKIPPED = 77

ENTRY = re.compile(r"Compiling entry function '(\w+)' for 'sm_(\w+)'")
PROPERTIES = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")


class Mistake(Exception):
    """A sentence for the person who runs this."""


def version_of(nvcc):
    text = subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout
    found = re.search(r"\bV([\d.]+)", text)
    if not found:
        raise Mistake(f"{nvcc} does not say its version: name an nvcc with --nvcc")
    return found[1]


def parsed(text):
    """{(mangled kernel, sm): (registers, spill bytes, stack, static shared memory)} of what `ptxas -v` says."""
    kernels = {}
    for block in re.split(r"(?=ptxas info\s+: Compiling entry function )", text):
        entry = ENTRY.search(block)
        if not entry:
            continue
        # The function's own lines come first; those of functions that it calls and that are not inlined may follow.
        frame, used = PROPERTIES.search(block), USED.search(block)
        if not frame or not used:
            raise Mistake(f"ptxas says nothing about the registers of {entry[1]}: has the form of its words changed?")
        line = block[used.start():].split("\n", 1)[0]
        cumulative = re.search(r"(\d+) bytes cumulative stack size", line)
        shared = re.search(r"(\d+) bytes smem", line)
        spills = sum(int(p[2]) + int(p[3]) for p in PROPERTIES.finditer(block))
        stack = max(int(frame[1]), int(cumulative[1]) if cumulative else 0)
        kernels[entry[1], entry[2]] = (int(used[1]), spills, stack, int(shared[1]) if shared else 0)
    return kernels


def readable(names):
    """{mangled: as it is written in C++, without what is the same for all}; two kernels never share a name."""
    tool = shutil.which("c++filt") or shutil.which("cu++filt")
    if not tool:
        raise Mistake("there is no c++filt, which makes names readable: apt-get install binutils")
    names = sorted(names)
    lines = subprocess.run([tool], input="\n".join(names), capture_output=True, text=True).stdout.splitlines()
    full = {name: re.sub(r"\(int\)|\btinygpt::gpu::|\btinygpt::|^void ", "", line) for name, line in zip(names, lines)}
    short = {name: without_parameters(line) for name, line in full.items()}
    shared = [s for s in short.values() if list(short.values()).count(s) > 1]
    return {name: full[name] if short[name] in shared else short[name] for name in names}


def without_parameters(text):
    """`scale<float, (Causal)1>(float*, long)` without the list in its last parentheses."""
    depth = 0
    for place in range(len(text) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(text[place], 0)
        if depth == 0 and text[place] == "(":
            return text[:place]
    return text


def measured(nvcc, flags, root):
    """Rows of the table, sorted: (kernel, sm, registers, spill bytes, stack, smem)."""
    def compiled(architecture):
        with tempfile.TemporaryDirectory() as directory:
            command = [nvcc, *FLAGS, *flags, f"-I{root / 'include'}", f"-arch=sm_{architecture}", "-Xptxas", "-v", "-cubin",
                       "-o", f"{directory}/unit.cubin", str(root / UNIT)]
            run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode:
            raise Mistake(f"{UNIT} does not compile for sm_{architecture}:\n{run.stdout}{run.stderr}")
        return parsed(run.stdout + run.stderr)

    kernels = {}
    with concurrent.futures.ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        for found in pool.map(compiled, ARCHITECTURES):
            kernels.update(found)
    names = readable({name for name, _ in kernels})
    return sorted((names[name], architecture, *figures) for (name, architecture), figures in kernels.items())


def kernels_in_headers(root):
    """{name of a __global__ function: the header that defines it}"""
    found = {}
    for path in sorted((root / "include").rglob("*.cuh")):
        code = re.sub(r"//[^\n]*|/\*.*?\*/", "", path.read_text(), flags=re.S)
        for after in code.split("__global__")[1:]:
            after = re.sub(r"__launch_bounds__\s*\((?:[^()]|\([^()]*\))*\)", "", after)
            name = re.match(r"(?:\s|void\b|static\b|inline\b)*(\w+)\s*\(", after)
            if not name:
                raise Mistake(f"{path.relative_to(root)}: the name after __global__ cannot be read: write __global__ void name(")
            found[name[1]] = path.relative_to(root)
    return found


def aligned(rows):
    """A Markdown table whose columns line up; numbers to the right."""
    cells = [tuple(f"`{c}`" if i == 0 else str(c) for i, c in enumerate(row)) for row in rows]
    widths = [max(len(row[i]) for row in (HEAD, *cells)) for i in range(len(HEAD))]
    line = lambda row: "| " + " | ".join(c.ljust(w) if i == 0 else c.rjust(w)
                                         for i, (c, w) in enumerate(zip(row, widths))) + " |"
    rule = "| " + " | ".join("-" * w if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)) + " |"
    return [line(HEAD), rule, *(line(row) for row in cells)]


def page_of(version, rows):
    return "\n".join([
        "# What each kernel takes of a GPU",
        "",
        "<!-- Made by scripts/kernel-resources.py; do not edit. -->",
        "",
        f"By the ptxas of nvcc {version}. Registers are a thread's; spills and stack, which must be 0, are bytes a thread; `smem`",
        "is the shared memory that a block has statically, to which a launch may add. No GPU is needed to make this table.",
        "",
        *aligned(rows)]) + "\n"


def rows_of(page):
    """({(kernel, sm): figures}, version) of the page as it is checked in."""
    version = re.search(r"^By the ptxas of nvcc ([\d.]+)\.", page, re.M)
    rows = re.findall(r"^\| `([^`]+)` *\| *(\w+) \| *(\d+) \| *(\d+) \| *(\d+) \| *(\d+) \|$", page, re.M)
    return {(row[0], row[1]): tuple(map(int, row[2:])) for row in rows}, version[1] if version else "no version"


def complaints_about(rows, version, root):
    """(what is wrong, what was not compared or None)"""
    wrong = [f"{kernel} for sm_{sm} spills {spill} bytes and has a stack of {stack}: it must have neither"
             for kernel, sm, _, spill, stack, _ in rows if spill or stack]
    named = {re.split(r"[<(]", kernel)[0].split("::")[-1] for kernel, *_ in rows}
    wrong += [f"the kernel {kernel} of {path} is not in {UNIT}: add it there"
              for kernel, path in kernels_in_headers(root).items() if kernel not in named]
    page = root / PAGE
    table, written_by = rows_of(page.read_text()) if page.exists() else ({}, version)
    if written_by != version:
        return wrong, (f"the table is by nvcc {written_by}, and this is {version}, so registers and shared memory were not "
                       "compared; only that nothing spills or has a stack")
    now = {(kernel, sm): tuple(figures) for kernel, sm, *figures in rows}
    words = lambda figures: ", ".join(f"{name} {figure}" for name, figure in zip(HEAD[2:], figures))
    for key in sorted(now.keys() | table.keys()):
        kernel, sm = key
        if key not in table:
            wrong.append(f"{kernel} for sm_{sm} is not in the table: {words(now[key])}")
        elif key not in now:
            wrong.append(f"{kernel} for sm_{sm} is in the table and not in {UNIT}")
        elif now[key] != table[key]:
            wrong.append(f"{kernel} for sm_{sm} has {words(now[key])}; the table says {words(table[key])}")
    return wrong, None


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--check", action="store_true")
    arguments.add_argument("--nvcc", default=shutil.which("nvcc") or "", help="default: that on the PATH")
    arguments.add_argument("--flag", action="append", default=[], help="for nvcc, separated by ;")
    a = arguments.parse_args()
    flags = [f for group in a.flag for f in group.split(";") if f]
    if not a.nvcc:
        print("NOT TESTED: there is no nvcc, so no kernel was compiled: see docs/how-to/build-with-cuda.md")
        return SKIPPED if a.check else 1
    try:
        version, rows = version_of(a.nvcc), measured(a.nvcc, flags, ROOT)
        if not rows and not kernels_in_headers(ROOT) and not (ROOT / PAGE).exists():
            print(f"NOT TESTED: include/ has no kernel yet, and {UNIT} names none, so there is nothing to measure")
            return SKIPPED if a.check else 1
        if a.check:
            wrong, not_compared = complaints_about(rows, version, ROOT)
            if wrong:
                print("\n".join(wrong + ["where that is meant, write the table anew with scripts/kernel-resources.py"]))
                return 1
            print(f"{len(rows)} rows, no spill, no stack; {not_compared or 'all as in the table'}")
            return 0
        (ROOT / PAGE).write_text(page_of(version, rows))
        print(f"{PAGE}: {len(rows)} rows, by nvcc {version}")
        return 0
    except Mistake as mistake:
        print(f"kernel-resources.py: {mistake}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
