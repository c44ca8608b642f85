#!/usr/bin/env python3
"""Compiles and runs the programs that a page shows, and compares what they print with the page.

    program_in_page_test.py --compiler g++ --include DIRECTORIES --same EXAMPLE ROOT PAGE

A block ```cpp with a main() is a program, and the block ```text that follows it its output; the first program must be the
file EXAMPLE. The other blocks ```cpp are statements, which must compile with the headers and types of the first program and
a LoadedModel `loaded`.
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile


def compile_and_run(a, code, directory, run=True):
    source = directory / "program.cpp"
    source.write_text(code)
    built = subprocess.run([a.compiler, "-std=c++20", "-O1", "-march=native", "-Wall", "-Wextra", "-Werror", "-I",
                            str(a.root / "include"), *(f"-isystem{d}" for d in a.include.split(";") if d), str(source),
                            *(["-o", str(directory / "program"), "-pthread"] if run else ["-c", "-o", os.devnull])],
                           capture_output=True, text=True)
    if built.returncode != 0:
        return built.returncode, built.stdout + built.stderr
    if not run:
        return 0, ""
    ran = subprocess.run([str(directory / "program")], cwd=directory, capture_output=True, text=True)
    return ran.returncode, ran.stdout + ran.stderr


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--compiler", required=True)
    arguments.add_argument("--include", default="", help="system directories, separated by ;")
    arguments.add_argument("--same", type=pathlib.Path, required=True)
    arguments.add_argument("root", type=pathlib.Path)
    arguments.add_argument("page", type=pathlib.Path)
    a = arguments.parse_args()
    blocks = re.findall(r"^```(cpp|text)\n(.*?)^```$", a.page.read_text(), re.M | re.S)
    programs = [(body, blocks[i + 1][1]) for i, (kind, body) in enumerate(blocks) if kind == "cpp" and " main()" in body]
    statements = [body for kind, body in blocks if kind == "cpp" and " main()" not in body]
    failures = []
    if len(programs) < 2 or not statements:
        failures.append("the page has too few programs or statements: is it still the same page?")
    if not programs or programs[0][0] != a.same.read_text():
        failures.append(f"the first program of the page is not {a.same.name}")
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        for i, (code, shown) in enumerate(programs):
            status, printed = compile_and_run(a, code, directory)
            if status != 0 or printed != shown:
                failures.append(f"program {i + 1}: exit {status}\n--- shown\n{shown}--- printed\n{printed}")
        # Each is the body of a function, after the types and headers of the first program.
        before_main = programs[0][0][:programs[0][0].index("int main()")] if programs else ""
        code = before_main + "".join(f"void statement_{i}(const LoadedModel& loaded) {{\nstatic_cast<void>(loaded);\n{s}}}\n"
                                     for i, s in enumerate(statements))
        status, printed = compile_and_run(a, code, directory, run=False)
        if status != 0:
            failures.append(f"the statements do not compile:\n{printed}")
    print("\n".join(failures) if failures else f"{len(programs)} programs, {len(statements)} pieces: as shown")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
