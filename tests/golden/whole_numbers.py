#!/usr/bin/env python3
"""Writes whole_numbers.json: texts, and where Hugging Face's `tokenizers` cuts them by cl100k_base's pattern as tiktoken
has spelled it since 0.6.

    whole_numbers.py [--cases N] [--seed N] [--out FILE]      needs `pip install tokenizers`

Their engine, Oniguruma, finds other words by it than tiktoken's does: {1,3}+ is no possessive repetition there.
"""
import argparse
import json
import pathlib
import random

from tokenizers import Regex, pre_tokenizers

PATTERN = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|"
           r"\s+(?!\S)|\s")
PIECES = ["'s", "'S", "'\u017f", "'ll", "'lL", "'ve", "'re", "'", "a", "Z", "\u00e9", "\u017f", "\u4e2d", "\u0301", "1",
          "23", "456", "7890", "\u00bd", "\u0663", " ", "  ", "   ", "\n", "\n\n", "\r", "\r\n", "\t", "\x0b", "\x85",
          "\u00a0", "\u2003", "\u2028", "\u200b", "\x00", ".", "?!", "_", "\u20ac", "\U0001f600", "\u200d"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", default=pathlib.Path(__file__).with_suffix(".json"))
    flags = parser.parse_args()
    rng = random.Random(flags.seed)
    split = pre_tokenizers.Split(Regex(PATTERN), "isolated")
    texts = PIECES + ["".join(rng.choice(PIECES) for _ in range(rng.randint(2, 9))) for _ in range(flags.cases)]
    rows = [[word for word, _ in split.pre_tokenize_str(text)] for text in dict.fromkeys(texts)]
    body = ",\n".join(json.dumps(row) for row in rows)
    pathlib.Path(flags.out).write_text(f'{{"words": [\n{body}\n]}}\n')


main()
