#!/usr/bin/env python3
"""Adds an activation as docs/how-to/add-an-activation.md says, to a copy of the headers: with all of its edits the
function is computed and kept on disk; with any one left out, the compiler says what is missing.

    new_activation_test.py --compiler g++ --include DIRECTORIES ROOT
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SKIP = 77

# What must be true with all edits. The gpu backend's formula is compiled for this processor by the emulator's headers.
CHECK = """
#include <tinygpt/tinygpt.hpp>
#include <tinygpt/io/config_json.hpp>
#include <tinygpt/io/hf_layout.hpp>
#include <tinygpt/reference/reference.hpp>
using namespace tinygpt;
using Model = GPT<Layers<1>, Embd<8>, Heads<2>, Ctx<4>, Vocab<16>, Activation<relu2>>;
static_assert(Model::config.ffn == 32 && Model::config.ffn_in_width() == 32);

int main() {
  if (reference::act<relu2>(3.0) != 9 || reference::act<relu2>(-3.0) != 0) return 1;
  if (reference::act_derivative<relu2>(3.0) != 6 || reference::act_derivative<relu2>(-3.0) != 0) return 2;
  const auto on_cpu = cpu::detail::act<relu2>(cpu::broadcast(3.0f));
  const auto derivative = cpu::detail::act_derivative<relu2>(cpu::broadcast(3.0f));
  if (on_cpu[0] != 9 || derivative[0] != 6) return 3;
  if (type_text(Model::config).find("Activation<relu2>") == std::string::npos) return 4;
  if (!(config_from_json(config_to_json(Model::config), "config.json") == Model::config)) return 5;
  return hf_family(Model::config).family ? 6 : 0;
}
"""
CHECK_GPU = """
#include <tinygpt/gpu/activation.cuh>
float act(float x) { return tinygpt::gpu::act<tinygpt::relu2, float>(x); }
float act_derivative(float x) { return tinygpt::gpu::act_derivative<tinygpt::relu2, float>(x); }
"""
# What the compiler says where the edits of this number are left out, in their order on the page; the first two are the
# name itself, without which nothing compiles.
SAYS = [None, None, "is_gated has no answer", "needs its word in config/words.hpp", "reference::act has no branch",
        "reference::act_derivative has no branch", "cpu::act has no branch", "cpu::act_derivative has no branch",
        "gpu::act has no branch", "gpu::act_derivative has no branch", "relu2' not handled in switch"]


def edits(page):
    """(file, old text, new text) of each block ```diff, in the file named last before it."""
    found, file = [], None
    for name, body in re.findall(r"^`(include/\S+)`:$|^```diff\n(.*?)^```$", page, re.M | re.S):
        file = name or file
        if body:
            lines = body.splitlines()
            old = "".join(line[1:] + "\n" for line in lines if line[0] != "+")
            new = "".join(line[1:] + "\n" for line in lines if line[0] != "-")
            found.append((file, old, new))
    return found


def compile_with(a, done, work, gpu):
    """What the compiler says of the check after these edits, and whether the check then passes."""
    headers = work / "include"
    shutil.rmtree(headers, ignore_errors=True)
    shutil.copytree(a.root / "include", headers)
    for file, old, new in done:
        path = work / file
        text = path.read_text()
        if text.count(old) != 1:
            sys.exit(f"FAILED: {file} has the old lines of an edit {text.count(old)} times:\n{old}")
        path.write_text(text.replace(old, new))
    source = work / "check.cpp"
    source.write_text(CHECK_GPU if gpu else CHECK)
    emulator = ["-I", str(a.root / "tests/support/emulator")] if gpu else []
    # An object file rather than -fsyntax-only: bodies of templates are instantiated then.
    run = subprocess.run([a.compiler, "-std=c++20", "-O0", "-Wall", "-Wextra", "-Wno-unknown-pragmas", *emulator,
                          "-I", str(headers), *(f"-isystem{d}" for d in a.include.split(";") if d), str(source),
                          *(["-c", "-o", str(work / "check.o")] if gpu else ["-o", str(work / "check"), "-pthread"])],
                         capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    return run.returncode, run.stdout + run.stderr


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--compiler", required=True)
    arguments.add_argument("--include", default="", help="system directories, separated by ;")
    arguments.add_argument("root", type=pathlib.Path)
    a = arguments.parse_args()
    if shutil.which(a.compiler) is None:
        print(f"SKIPPED: there is no {a.compiler} here")
        return SKIP
    all_edits = edits((a.root / "docs/how-to/add-an-activation.md").read_text())
    if len(all_edits) != len(SAYS):
        print(f"FAILED: the page has {len(all_edits)} edits, and this test knows what to expect of {len(SAYS)}")
        return 1
    failures = 0
    with tempfile.TemporaryDirectory() as directory:
        work = pathlib.Path(directory)
        for gpu in (False, True):
            status, output = compile_with(a, all_edits, work, gpu)
            if status == 0 and not gpu:
                status = subprocess.run([str(work / "check")]).returncode
            failures += status != 0
            print("ok" if status == 0 else f"FAILED ({status}): {output}", "all edits" + (", gpu" if gpu else ""))
        for left_out, sentence in enumerate(SAYS):
            if sentence is None:
                continue
            rest = [edit for i, edit in enumerate(all_edits) if i != left_out]
            status, output = compile_with(a, rest, work, "gpu::" in sentence)
            # A forgotten case of a switch is a warning; everything else is an error.
            said = sentence in output and (status != 0 or "switch" in sentence)
            failures += not said
            print("ok" if said else f"FAILED: does not say '{sentence}': {output}", f"without edit {left_out + 1}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
