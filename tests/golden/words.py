#!/usr/bin/env python3
"""Writes words.json: texts, and where the regular expressions of GPT-2 and GPT-4 cut them, found by Python's `regex`.

    words.py [--cases N] [--seed N] [--out FILE]      needs `pip install regex`, and the package unicode-data

Where Hugging Face's `tokenizers` is installed, its engine (Oniguruma) must agree on every text. Code points whose class
the installed `regex` takes from another version of Unicode than unicode-data's are left out. The test reads the file that
TINYGPT_GOLDEN_WORDS names, so that many more texts than are kept here can be tried.
"""
import argparse
import importlib.util
import json
import pathlib
import random

import regex

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PATTERNS = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "gpt4": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
            r"\s+(?!\S)|\s+",
}
# Pieces in which the alternatives meet: contractions in every case, letters whose case is outside ASCII, numbers that are
# no digits, marks, spaces of Unicode, line ends, controls that Python takes for spaces, and what looks like nothing.
PIECES = ["'s", "'S", "'\u017f", "'t", "'T", "'re", "'rE", "'RE", "'ve", "'Ve", "'m", "'M", "'ll", "'lL", "'LL", "'d", "'D",
          "'r", "'v", "'l", "'", "''", "\u2019s", "a", "b", "Z", "we", "it", "\u00e9", "\u0131", "\u017f", "\u212a", "\ufb05",
          "\u00df", "\u4e2d", "\u6587", "\u0627", "\u0915\u094d", "\u0301", "\U0001d54f", "0", "1", "23", "456", "7890",
          "\u00b2", "\u00bd", "\u2167", "\u0663", "\u3007", "\U0001d7d9", " ", "  ", "   ", "\n", "\n\n", "\r", "\r\n", "\t",
          "\x0b", "\x0c", "\x85", "\u00a0", "\u1680", "\u2003", "\u2028", "\u2029", "\u202f", "\u3000", "\u200b", "\u180e",
          "\ufeff", "\x1c", "\x1f", "\x00", "\x7f", ".", ",", "!", "?!", "...", "-", "_", "(", "\"", "\u2026", "\u20ac",
          "\U0001f600", "\U0001f469\u200d\U0001f4bb", "\U0001f1e9\U0001f1ea", "\ufffd", "\U0010ffff", "\U000e0001"]


def classes():
    """The generator's class of every code point, and which of them `regex` classes otherwise."""
    spec = importlib.util.spec_from_file_location("unicode_tables", ROOT / "scripts/unicode-tables.py")
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    of = tables.classes(pathlib.Path("/usr/share/unicode"))
    kinds = {tables.LETTER: r"\p{L}", tables.NUMBER: r"\p{N}", tables.SPACE: r"\s", tables.OTHER: r"[^\s\p{L}\p{N}]"}
    pattern = {kind: regex.compile(text) for kind, text in kinds.items()}
    strangers = {c for c in range(tables.CODE_POINTS)
                 if not 0xd800 <= c < 0xe000 and not pattern[of[c]].fullmatch(chr(c))}
    return of, strangers


def texts(count, seed):
    """Every piece before every other, and random ones."""
    rng = random.Random(seed)
    of, strangers = classes()
    print(f"{len(strangers)} code points have another class in regex {regex.__version__}: left out")
    known = [c for c in range(0x110000) if c not in strangers and not 0xd800 <= c < 0xe000]
    classed = [c for c in known if of[c] != 0]
    yield from ["", *PIECES]
    for _ in range(count):
        kind = rng.random()
        if kind < 0.75:
            yield "".join(rng.choice(PIECES) for _ in range(rng.randint(2, 14)))
        elif kind < 0.9:
            yield "".join(chr(rng.choice(classed)) if rng.random() < 0.6 else rng.choice(PIECES)
                          for _ in range(rng.randint(1, 10)))
        else:
            yield "".join(chr(rng.choice(known)) for _ in range(rng.randint(1, 10)))


def oniguruma():
    """The same patterns in the engine of `tokenizers`, or nothing where it is not installed."""
    try:
        import tokenizers
    except ImportError:
        return {}
    print(f"beside tokenizers {tokenizers.__version__}")
    cut = {name: tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated")
           for name, pattern in PATTERNS.items()}
    return {name: lambda text, cut=cut[name]: [word for word, _ in cut.pre_tokenize_str(text)] for name in cut}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent / "words.json")
    options = parser.parse_args()
    patterns = {name: regex.compile(pattern) for name, pattern in PATTERNS.items()}
    others, cases, differ = oniguruma(), [], 0
    for text in texts(options.cases, options.seed):
        case = {"text": text}
        for name, pattern in patterns.items():
            words = pattern.findall(text)
            assert "".join(words) == text
            if name in others and others[name](text) != words:
                differ += 1
                print(f"{name}: {text!r}: regex {words}, Oniguruma {others[name](text)}")
            case[name] = [len(word.encode()) for word in words]
        cases.append(case)
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    options.out.write_text(f'{{"made_by":"words.py with regex {regex.__version__}","cases":[\n{lines}\n]}}\n')
    print(f"{len(cases)} texts, {differ} on which the engines differ")


if __name__ == "__main__":
    main()
