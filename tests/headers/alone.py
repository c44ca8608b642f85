#!/usr/bin/env python3
"""Parses each header of include/ and presets/ in a translation unit of its own: it must bring all that it needs.

System headers define macros with short names: <complex.h> has I, <termios.h> has B0. Here both are poison, so that a
header which uses one as a name does not compile. Third-party headers that do so themselves come before the poison.
"""
import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys

POISON = "#define I <poison: the system macro I>\n#define B0 <poison: the system macro B0>\n"
BEFORE_POISON = {"cli": "#include <CLI/CLI.hpp>\n", "tool": "#include <CLI/CLI.hpp>\n"}


def parse(compiler, flags, text):
    run = subprocess.run([compiler, *flags, "-fsyntax-only", "-x", "c++", "-"], input=text, capture_output=True, text=True)
    return run.returncode == 0, run.stderr


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--compiler", required=True)
    arguments.add_argument("--include", action="append", default=[], help="directories, separated by ;")
    arguments.add_argument("--flag", action="append", default=[], help="for the compiler, separated by ;")
    arguments.add_argument("root", type=pathlib.Path)
    a = arguments.parse_args()

    ours = [a.root / "include", a.root / "presets"]
    system = {d for group in a.include for d in group.split(";") if d.startswith("/") and pathlib.Path(d) not in ours}
    flags = ["-std=c++20", *(f for group in a.flag for f in group.split(";") if f),
             *(f"-I{d}" for d in ours), *(f"-idirafter{d}" for d in sorted(system))]

    for name in ("I", "B0"):
        if parse(a.compiler, flags, POISON + f"int {name} = 0;\n")[0]:
            sys.exit(f"the poison for {name} does not work, so this test shows nothing")

    headers = sorted((str(h.relative_to(top)), h.parent.name) for top in ours for h in top.rglob("*.hpp"))
    if not headers:
        sys.exit(f"no headers under {a.root}")

    def check(header):
        return parse(a.compiler, flags, BEFORE_POISON.get(header[1], "") + POISON + f"#include <{header[0]}>\n")

    failures = 0
    with concurrent.futures.ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        for (name, _), (ok, output) in zip(headers, pool.map(check, headers)):
            if not ok:
                failures += 1
                print(f"<{name}> does not compile alone, with I and B0 defined:\n{output}")
    print(f"{len(headers) - failures} of {len(headers)} headers compile alone")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
