#!/usr/bin/env python3
"""Writes docs/reference/errors.md from the rules in config/rules.hpp and the twins in tests/compile_fail.

    scripts/generate-errors.py             writes the page, with what the compilers of this machine really say
    scripts/generate-errors.py --check     fails where a rule or a promise has no entry, or an entry its old sentence

The check compiles nothing: the compilers' words depend on their versions, the sentences do not.
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/reference/errors.md"
sys.path.insert(0, str(ROOT / "tests/compile_fail"))
sys.dont_write_bytecode = True
import twins  # noqa: E402

EIGEN = "/usr/include/eigen3"
COMPILERS = {
    "g++": ["g++", "-std=c++20", "-fsyntax-only"],
    "clang++": ["clang++", "-std=c++20", "-fsyntax-only"],
    "nvcc": ["nvcc", "-std=c++20", "-w", "-x", "cu", "-c", "-o", "/dev/null"],  # -w: of Eigen it says much
}

# What a person did, and what to write instead; the rest comes from the sources.
WHY = {
    "is_an_option": ("Something among the arguments of `GPT<...>` is not one of its options: a plain type, or an axis of "
                     "tensors such as `Batch<8>`.",
                     "Remove it, or write the option that you meant; the sentence lists them all. (Bare numbers, "
                     "`GPT<4, 192, 4, 128>`, are not types, so the compiler refuses each with words of its own.)"),
    "has_layers": ("`Layers` is required, because no default would suit everybody.", "Add `Layers<12>`."),
    "has_embd": ("`Embd` is required.", "Add `Embd<768>`; all other widths follow from it."),
    "has_heads": ("`Heads` is required.", "Add `Heads<12>`, or `Heads<12, 4>` for grouped heads. `C / 64` is usual."),
    "has_ctx": ("`Ctx` is required: learned positions, RoPE's table and the key/value cache have this length.",
                "Add `Ctx<1024>`. Memory to train grows linearly with it."),
    "is_given_once": ("The same option is given twice, so one of the two would be ignored silently.",
                      "Remove the one that you do not want."),
    "activation_is_known": ("The word inside `Activation<...>` is of another library, of another option, or no kind at all.",
                            "SiLU with a gate is `swiglu`. GPT-2's activation, `gelu_new` in transformers, is `gelu_tanh`; "
                            "PyTorch's `nn.GELU()` is `gelu`. Another one is "
                            "[a few lines of work](../how-to/add-an-activation.md)."),
    "norm_is_known": ("The word inside `Norm<...>` is none of its two kinds, or only an epsilon stands there.",
                      "`Norm<layer>` is LayerNorm, `Norm<rms>` is RMSNorm; the epsilon comes second: `Norm<rms, 1e-5>`."),
    "positions_are_known": ("The word inside `Positions<...>` is none of its three kinds, or only RoPE's base stands there.",
                            "`Positions<rope, 10000>` is rotary, `Positions<learned>` a table; ALiBi and sinusoidal positions "
                            "are not there."),
    "head_is_known": ("`Head<...>` takes a word, not a truth value.",
                      "`Head<tied>` shares the token embedding's matrix, as GPT-2 does; `Head<untied>` has its own."),
    "bias_is_known": ("`Bias<...>` takes a set of layers, not a truth value.",
                      "`Bias<all>` for GPT-2, `Bias<none>` for Llama, `Bias<attn_in>` for the queries, keys and values alone."),
    "callback_takes_a_token": ("The function for new tokens has other arguments, or returns something that is not a decision.",
                               "Take the token, as `[&](std::int32_t token) { ... }`; for many prompts the prompt's number comes "
                               "before it. Return `false` to end the text, `true` or nothing to continue."),
    "callback_takes_text": ("The function for pieces of text has other arguments, or returns something that is not a decision.",
                            "Take `[&](std::string_view piece) { ... }`. Return `false` to end the text, `true` or nothing to "
                            "continue."),
    "is_positive": ("A size is zero or negative.", "Give 1 or more; the option is named beside the sentence."),
    "norm_epsilon_is_small": ("The second argument of `Norm` is not what is added to a mean of squares: zero, negative, or so "
                              "large that it would change what is normalised.",
                              "Write the number of the model's configuration, such as `Norm<rms, 1e-5>` for Llama 3, or "
                              "leave it out: 1e-5 for `layer`, 1e-6 for `rms`."),
    "heads_divide_embd": ("The width does not split into heads of equal, whole size.",
                          "Take the nearest multiple: for `Heads<12>`, `Embd<768>` or `Embd<780>` instead of `Embd<770>`. "
                          "Or free the head size from the width with `HeadDim<64>`."),
    "kv_heads_divide_query_heads": ("The query heads cannot share the key/value heads in equal groups.",
                                    "Give a divisor of the number of query heads: `Heads<12, 4>` instead of `Heads<12, 5>`."),
    "rope_needs_even_head_dim": ("RoPE rotates pairs of numbers, and an odd head size leaves one over.",
                                 "Choose another number of heads, or an even `HeadDim`."),
}


def entries():
    """(rule or None, sentence, [twin files]) in the order of rules.hpp, then the shape mistakes."""
    sentences = twins.rules(ROOT)
    files = sorted((ROOT / "tests/compile_fail").glob("*.cpp"))
    promised = {path: twins.promises(path) for path in files}
    for rule, sentence in sentences.items():
        yield rule, sentence, [p for p in files if promised[p].get("rule") == rule]
    shapes = [p for p in files if "rule" not in promised[p]]
    for path in shapes:
        yield None, path.stem, [path]


def anchor(rule, name):
    return rule or name


def said(compiler, path):
    """What the compiler says of the bad twin, with paths as from the root of the project."""
    run = subprocess.run([*COMPILERS[compiler], "-DBAD", f"-I{ROOT}/include", f"-idirafter{EIGEN}" if compiler != "nvcc"
                          else f"-I{EIGEN}", str(path)], capture_output=True, text=True, cwd=ROOT,
                         env={**os.environ, "LC_ALL": "C"})
    if run.returncode == 0:
        sys.exit(f"{compiler} compiles the bad twin {path.name}")
    return (run.stderr + run.stdout).replace(f"{ROOT}/", "").rstrip()


def version(compiler):
    text = subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout
    if compiler == "nvcc":
        return "nvcc " + re.search(r"release ([\d.]+)", text).group(1)
    return f"{compiler} " + re.search(r"(\d+\.\d+\.\d+)", text).group(1)


def code_of(path):
    """The bad lines of a twin."""
    return re.search(r"#ifdef BAD\n(.*?)#else", path.read_text(), re.S).group(1).rstrip()


def good_of(path):
    return re.search(r"#else\n(.*?)#endif", path.read_text(), re.S).group(1).rstrip()


def write(compilers):
    lines = ["# Every mistake in an architecture, and what the compiler says",
             "",
             "<!-- Made by scripts/generate-errors.py; do not edit. -->",
             "",
             "A wrong architecture is one compile error of one sentence. This page has each sentence, what causes it, how to",
             "fix it, and what the compilers print: " + ", ".join(version(c) for c in compilers) + ".",
             "For mistakes in a JSON config see [from a JSON config](../how-to/from-a-json-config.md).",
             ""]
    shapes_begun = False
    for rule, sentence, paths in entries():
        if rule:
            cause, fix = WHY[rule]
            lines += [f"## {rule}", "", f"> {sentence}", "", f"**Cause.** {cause}", "", f"**Fix.** {fix}", ""]
        else:
            if not shapes_begun:
                lines += ["## Tensors of the wrong shape", "",
                          "An operation deduces its extents from one tensor, and the others must match. The compiler names "
                          "the argument and", "both shapes; the axis that differs is the mistake.", ""]
                shapes_begun = True
            lines += [f"### {sentence}", "", "**Cause.** The line marked bad gives a tensor that the operation cannot take.", "",
                      "**Fix.** Give the tensor whose axes are those after `In<...>` or `Out<...>`, as in the good line.", ""]
        path = paths[0]
        lines += ["```cpp", "// bad", code_of(path), "// good", good_of(path), "```", ""]
        for compiler in compilers:
            lines += ["<details><summary>" + compiler + "</summary>", "", "```text", said(compiler, path), "```", "",
                      "</details>", ""]
        print(f"{anchor(rule, sentence)}: {len(paths)} twins", flush=True)
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text("\n".join(lines).rstrip() + "\n")


def check():
    """Complaints: a rule without twin, explanation or entry; an entry with another sentence than the rule."""
    page = PAGE.read_text() if PAGE.exists() else ""
    complaints = []
    for rule, sentence, paths in entries():
        heading = f"## {rule}\n\n> {sentence}\n" if rule else f"### {sentence}\n"
        if not paths:
            complaints.append(f"the rule {rule} has no twin in tests/compile_fail")
        if rule and rule not in WHY:
            complaints.append(f"the rule {rule} has no cause and remedy in scripts/generate-errors.py")
        if heading not in page:
            complaints.append(f"{PAGE.relative_to(ROOT)} has no entry, or an old one, for {rule or sentence}")
        elif paths and code_of(paths[0]) not in page:
            complaints.append(f"{PAGE.relative_to(ROOT)} shows old code for {rule or sentence}")
    count = sum(1 for _ in entries())
    for compiler in ("g++", "clang++"):
        if page.count(f"<summary>{compiler}</summary>") != count:
            complaints.append(f"{PAGE.relative_to(ROOT)} lacks what {compiler} says of some entries")
    known = {rule for rule, _, _ in entries() if rule}
    complaints += [f"scripts/generate-errors.py explains {rule}, which is no rule" for rule in WHY.keys() - known]
    complaints += [f"{PAGE.relative_to(ROOT)} has an entry for {rule}, which is no rule"
                   for rule in set(re.findall(r"^## (\w+)$", page, re.M)) - known]
    return complaints


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--check", action="store_true")
    if arguments.parse_args().check:
        complaints = check()
        print("\n".join(complaints + ["write the page again with scripts/generate-errors.py"]) if complaints
              else "every rule has its twin and its entry")
        return 1 if complaints else 0
    write([c for c in COMPILERS if shutil.which(c)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
