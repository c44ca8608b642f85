#!/usr/bin/env python3
"""Compiles the twins of this folder: the good one must compile; the bad one, with -DBAD, must give exactly one error of
at most 25 lines, which says what the head of the file promises:

    // rule: NAME          the rule of config/rules.hpp that the bad twin breaks
    // sentence: REGEX     what every compiler says; where a rule is named, its static_assert must say it, too
    // names: TEXT ; TEXT  the offenders, which must stand beside the sentence
    // g++: REGEX          what this compiler says
    // clang++: REGEX

A rule without a twin fails, as does a promise that is not in rules.hpp. Exits with 77 where the compiler is absent.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys

LINES = 25
SKIP = 77


def promises(path):
    head = re.match(r"(//[^\n]*\n)*", path.read_text()).group(0)
    return dict(re.findall(r"^// (rule|sentence|names|g\+\+|clang\+\+): (.*)$", head, re.M))


def rules(root):
    """Name -> sentence of each static_assert in rules.hpp."""
    text = (root / "include/tinygpt/config/rules.hpp").read_text()
    found = {}
    for name, body in re.findall(r"^(?:template <[^\n]*> )?struct (\w+) \{(.*?)^\};", text, re.M | re.S):
        if "static_assert" in body:
            found[name] = "".join(re.findall(r'"([^"]*)"', body))
    if text.count("static_assert(") != len(found):
        sys.exit("rules.hpp: expected one static_assert in each rule")
    return found


def compile_twin(a, path, *flags):
    run = subprocess.run([a.compiler, "-std=c++20", f"-I{a.root}/include", *(f"-idirafter{d}" for d in a.include.split(";") if d),
                          "-Wall", "-Wextra", "-fsyntax-only", *flags, str(path)],
                         capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    return run.returncode, run.stderr


def check(a, path, sentences):
    """Complaints about one pair of twins, and how many lines the bad one's error took."""
    says = promises(path)
    good, output = compile_twin(a, path)
    if good != 0:
        return [f"the good twin does not compile:\n{output}"], 0
    bad, output = compile_twin(a, path, "-DBAD")
    if bad == 0:
        return ["the bad twin compiles"], 0

    complaints = []
    lines = output.splitlines()
    errors = [line for line in lines if re.search(r"(^|: )(fatal )?error: ", line)]
    if len(errors) != 1:
        complaints.append(f"{len(errors)} errors instead of one")
    if len(lines) > LINES:
        complaints.append(f"{len(lines)} lines; the budget is {LINES}")
    expected = [says[key] for key in ("sentence", a.name) if key in says]
    if not expected:
        complaints.append("promises nothing for this compiler")
    complaints += [f"does not say: {e}" for e in expected if not re.search(e, output)]
    complaints += [f"does not name {n}" for n in says.get("names", "").split(" ; ") if n not in output]
    if "rule" in says:
        if says["rule"] not in sentences:
            complaints.append(f"rules.hpp has no rule {says['rule']}")
        elif not re.search(says["sentence"], sentences[says["rule"]]):
            complaints.append(f"the rule {says['rule']} says another sentence: {sentences[says['rule']]}")
    return ([*complaints, output] if complaints else []), len(lines)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--compiler", required=True)
    arguments.add_argument("--include", default="", help="system directories, separated by ;")
    arguments.add_argument("root", type=pathlib.Path)
    a = arguments.parse_args()
    a.name = "clang++" if "clang" in a.compiler else "g++"
    if shutil.which(a.compiler) is None:
        print(f"SKIPPED: there is no {a.compiler} here, so its messages are not checked")
        return SKIP

    twins = sorted(pathlib.Path(__file__).parent.glob("*.cpp"))
    sentences = rules(a.root)
    failures = 0
    for rule in sorted(sentences.keys() - {promises(path).get("rule") for path in twins}):
        failures += 1
        print(f"FAILED: the rule {rule} has no twins in tests/compile_fail")
    with concurrent.futures.ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        for path, (complaints, lines) in zip(twins, pool.map(lambda p: check(a, p, sentences), twins)):
            failures += bool(complaints)
            print(f"{'FAILED' if complaints else 'ok'}: {path.stem} ({lines} lines)", *complaints, sep="\n  ")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
