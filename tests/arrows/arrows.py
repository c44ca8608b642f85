#!/usr/bin/env python3
"""Checks the rules of the house that a compiler does not: which folder may include which, and how.

    arrows.py ROOT          checks ROOT/include and ROOT/presets; prints each breach, exits 1 if there is one
    arrows.py --self-test   shows that each rule catches its breach
"""
import pathlib
import re
import sys
import tempfile

# In the order in which data flows: a folder includes itself and folders of lower rank. Equal ranks are strangers.
RANK = {
    "config": 0, "model": 1, "layout": 2, "ops": 3, "reference": 4, "cpu": 4, "gpu": 4, "train": 5, "generate": 6,
    "data": 7, "io": 8,
    "presets": 8, "prepare": 9, "exchange": 9, "cli": 10,
}
ANYWHERE = {"macros.hpp", "error.hpp", "graphics_cards.hpp", "in_parallel.hpp", "processors.hpp", "meta"}
EIGEN = {"reference", "cpu"}
ANY_BACKEND = {"train", "generate"}  # these are templates over the backend and may name none
BACKENDS = ("reference", "cpu", "gpu")
VAGUE = {"utils", "util", "common", "helpers", "helper", "core", "misc"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.S)


def breaches(root):
    """Sentences, one per broken rule and place."""
    include = root / "include" / "tinygpt"
    headers = sorted(p for top in (root / "include", root / "presets") for p in top.rglob("*") if p.suffix in (".hpp", ".cuh"))
    for path in headers:
        text = path.read_text()
        where = path.relative_to(root)
        inside = path.relative_to(include).parts if include in path.parents else ()
        folder = inside[0] if len(inside) > 1 else None

        for part in (*where.parts[:-1], path.stem):
            if part.lower() in VAGUE:
                yield f"{where}: '{part}' says nothing about what is inside: give it the name of its subject"
        if len(re.findall(r"^#pragma once$", text, re.M)) != 1:
            yield f"{where}: needs exactly one '#pragma once'"
        if folder is not None and folder not in RANK and folder not in ANYWHERE:
            yield f"{where}: folder '{folder}' is not in the order of the house (see RANK in arrows.py)"

        for bracket, name in INCLUDE.findall(text):
            if bracket == '"':
                yield f'{where}: #include "{name}": write the full path in angle brackets'
            if ".." in name.split("/"):
                yield f"{where}: #include <{name}>: write the full path"
                continue
            if re.match(r"(unsupported/)?Eigen/", name) and folder not in EIGEN:
                yield f"{where}: only reference/ and cpu/ include Eigen"
            if re.match(r"cuda|cub/|cublas|cudnn", name) and path.suffix != ".cuh" and folder != "gpu":
                yield f"{where}: nothing outside gpu/ and *.cuh sees a CUDA header"
            if not name.startswith("tinygpt/") or folder not in RANK:
                continue
            target = name.split("/")[1]
            if target in ANYWHERE or target == folder:
                continue
            if target not in RANK:
                yield f"{where}: #include <{name}>: a folder does not include an umbrella"
            elif RANK[target] >= RANK[folder]:
                yield f"{where}: #include <{name}>: {folder}/ may include only folders to its left"
            elif folder in ANY_BACKEND and target in BACKENDS:
                yield f"{where}: #include <{name}>: {folder}/ names no backend; it takes the context's type"

        if folder in ANY_BACKEND:
            code = COMMENT_OR_STRING.sub("", text)
            for name in re.findall(r"\b(reference|cpu|gpu)\s*::", code):
                yield f"{where}: names {name}::; {folder}/ takes the context's type instead"


def self_test():
    """Every rule must catch the file that breaks it, and a good file must break none."""
    once = "#pragma once\n"
    good = {
        "include/tinygpt/config/a.hpp": once + "#include <tinygpt/macros.hpp>\n",
        "include/tinygpt/cpu/a.hpp": once + "#include <Eigen/Core>\n#include <tinygpt/config/a.hpp>\n",
        "include/tinygpt/train/a.hpp": once + "// like cpu::Context\n#include <tinygpt/ops/a.hpp>\n",
        "include/tinygpt/tinygpt.hpp": once + "#include <tinygpt/cpu/a.hpp>\n",
        "presets/tinygpt/presets/a.hpp": once + "#include <tinygpt/model/gpt.hpp>\n",
    }
    bad = {
        "to its left": ("include/tinygpt/config/b.hpp", once + "#include <tinygpt/model/gpt.hpp>\n"),
        "may include only": ("include/tinygpt/cpu/b.hpp", once + "#include <tinygpt/reference/norm.hpp>\n"),
        "include Eigen": ("include/tinygpt/train/b.hpp", once + "#include <Eigen/Core>\n"),
        "CUDA header": ("include/tinygpt/cpu/b.hpp", once + "#include <cuda_bf16.h>\n"),
        "names no backend": ("include/tinygpt/train/b.hpp", once + "#include <tinygpt/cpu/norm.hpp>\n"),
        "names cpu::": ("include/tinygpt/generate/b.hpp", once + "inline cpu::Context* c;\n"),
        "angle brackets": ("include/tinygpt/ops/b.hpp", once + '#include "a.hpp"\n'),
        "write the full path": ("include/tinygpt/ops/b.hpp", once + "#include <tinygpt/../a.hpp>\n"),
        "umbrella": ("include/tinygpt/cli/b.hpp", once + "#include <tinygpt/tinygpt.hpp>\n"),
        "#pragma once": ("include/tinygpt/ops/b.hpp", "\n"),
        "says nothing": ("include/tinygpt/ops/utils.hpp", once),
        "order of the house": ("include/tinygpt/new/b.hpp", once),
    }

    def check(files):
        with tempfile.TemporaryDirectory() as directory:
            for name, text in files.items():
                path = pathlib.Path(directory, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            return list(breaches(pathlib.Path(directory)))

    failures = [f"the good files broke a rule: {b}" for b in check(good)]
    for sentence, (name, text) in bad.items():
        found = check({**good, name: text})
        if len(found) != 1 or sentence not in found[0]:
            failures.append(f"expected one breach with '{sentence}', found {found}")
    return failures


def main():
    found = self_test() if sys.argv[1:] == ["--self-test"] else list(breaches(pathlib.Path(sys.argv[1])))
    print("\n".join(found) if found else "every include points the right way")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
