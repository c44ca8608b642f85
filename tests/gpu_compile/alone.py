#!/usr/bin/env python3
"""Compiles each *.cuh of include/ alone with nvcc, host and device code, for every GPU that is named; needs no GPU.

    alone.py --nvcc NVCC [--arch ARCH]... [--flag=FLAGS] ROOT
    alone.py --nvcc NVCC [--flag=FLAGS] --self-test      shows that a good header passes and each kind of bad one fails

As in tests/headers, `I` and `B0` are poison, because system headers define macros of these names. All warnings are
errors, those of nvcc, ptxas and the host compiler. Exits with 77, which CTest counts as skipped, where there is nothing
to compile or nothing to compile it with.
"""
import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile

SKIPPED = 77
POISON = "#define I <poison: the system macro I>\n#define B0 <poison: the system macro B0>\n"
FLAGS = ["-std=c++20", "--expt-relaxed-constexpr"]
STRICT = ["-Werror=all-warnings", "-Xcompiler=-Wall,-Wextra,-Werror,-Wno-parentheses"]


def compile_text(nvcc, flags, architectures, text):
    """(does it compile?, what nvcc says)"""
    code = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in architectures]
    with tempfile.TemporaryDirectory() as directory:
        unit = pathlib.Path(directory, "unit.cu")
        unit.write_text(text)
        run = subprocess.run([nvcc, *FLAGS, *flags, *code, "-c", "-o", f"{directory}/unit.o", str(unit)],
                             capture_output=True, text=True)
    return run.returncode == 0, run.stdout + run.stderr


def failures_under(nvcc, flags, architectures, root):
    """([(header, what nvcc says)], number of headers)"""
    include = root / "include"
    headers = sorted(str(h.relative_to(include)) for h in include.rglob("*.cuh"))
    flags = [*flags, f"-I{include}"]
    with concurrent.futures.ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        results = pool.map(lambda h: compile_text(nvcc, flags, architectures, f"{POISON}#include <{h}>\n"), headers)
        return [(h, said) for h, (ok, said) in zip(headers, results) if not ok], len(headers)


KERNEL = "template <int N> __global__ void zero(float* y) { for (int i = threadIdx.x; i < N; i += 32) y[i] = 0; }\n"
USED = "inline void launch(float* y) { zero<64><<<1, 32>>>(y); }\n"
TOYS = {  # file: (text, a word of what nvcc must say, or None where it must compile)
    "good.cuh": ("#pragma once\n" + KERNEL + USED, None),
    "lacks_an_include.cuh": ("#pragma once\ninline std::vector<int> v;\n", "vector"),
    "takes_a_macro_as_name.cuh": ("#pragma once\ntemplate <int I> __global__ void one(int* y) { *y = I; }\n", "poison"),
    "warns_on_the_host.cuh": ("#pragma once\ninline int f(int unused) { return 1; }\n", "unused"),
    "warns_on_the_device.cuh": ("#pragma once\n__global__ void one(int* y) { int unused; *y = 1; }\n", "unused"),
    # Hopper has this instruction, Ampere has not, and nobody but ptxas knows.
    "wrong_for_one_gpu.cuh": ("#pragma once\n__global__ void one(int* y) {\n"
                              '  asm volatile("wgmma.fence.sync.aligned;");\n  *y = 1;\n}\n', "wgmma"),
}


def self_test(nvcc, flags):
    with tempfile.TemporaryDirectory() as directory:
        folder = pathlib.Path(directory, "include/tinygpt/gpu")
        folder.mkdir(parents=True)
        for name, (text, _) in TOYS.items():
            (folder / name).write_text(text)
        failed, count = failures_under(nvcc, flags, ["80", "90"], pathlib.Path(directory))
    said = {pathlib.Path(name).name: words for name, words in failed}
    wrong = [] if count == len(TOYS) else [f"{count} of {len(TOYS)} toy headers were compiled"]
    for name, (_, word) in TOYS.items():
        if word is None and name in said:
            wrong.append(f"{name} does not compile, and should:\n{said[name]}")
        elif word is not None and word not in said.get(name, ""):
            wrong.append(f"{name}: nvcc should say '{word}', and says:\n{said.get(name, 'nothing: it compiles')}")
    return wrong


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--nvcc", required=True, help="empty where there is none")
    arguments.add_argument("--arch", action="append", default=[], help="compute capability; default: 90")
    arguments.add_argument("--flag", action="append", default=[], help="for nvcc, separated by ;; default: all warnings are errors")
    arguments.add_argument("--self-test", action="store_true")
    arguments.add_argument("root", nargs="?", type=pathlib.Path)
    a = arguments.parse_args()
    if not a.nvcc:
        print("NOT TESTED: this build has no nvcc, so no CUDA header was compiled: see docs/how-to/build-with-cuda.md")
        return SKIPPED
    flags = [f for group in a.flag for f in group.split(";") if f] or STRICT
    if a.self_test:
        wrong = self_test(a.nvcc, flags)
        print("\n".join(wrong) if wrong else "the good toy compiles, the bad ones do not")
        return 1 if wrong else 0
    architectures = a.arch or ["90"]
    failed, count = failures_under(a.nvcc, flags, architectures, a.root)
    if count == 0:
        print(f"NOT TESTED: there is no *.cuh under {a.root / 'include'} yet, so nothing was compiled")
        return SKIPPED
    for header, said in failed:
        print(f"<{header}> does not compile alone, with I and B0 defined:\n{said}")
    print(f"{count - len(failed)} of {count} CUDA headers compile alone for sm_{', sm_'.join(architectures)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
