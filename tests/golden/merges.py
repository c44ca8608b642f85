#!/usr/bin/env python3
"""Writes merges.json: the merges that Hugging Face's `tokenizers` learns from texts, for each pattern and some sizes.

    merges.py [--out FILE]      needs `pip install tokenizers`, and the packages bible-kjv and dict-jargon

Small texts are kept with all their merges; of the King James Bible and the Jargon File the file has hashes only. The test
makes the same two texts with the same commands, and passes over one whose package is not there.
"""
import argparse
import importlib.util
import json
import pathlib
import random
import subprocess

import tokenizers
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).resolve().parent
SPECIAL = "<|endoftext|>"
LARGE = {
    "the King James Bible": "PATH=$PATH:/usr/games bible -f 'gen1:1-rev22:21' | sed -E 's/^[0-9]?[A-Za-z]+[0-9]+:[0-9]+ //'",
    "the Jargon File": "zcat /usr/share/dictd/jargon.dict.dz",
}
PSALM = """The LORD is my shepherd; I shall not want.
He maketh me to lie down in green pastures: he leadeth me beside the still waters.
He restoreth my soul: he leadeth me in the paths of righteousness for his name's sake.
Yea, though I walk through the valley of the shadow of death, I will fear no evil: for thou art with me; thy rod and thy
staff they comfort me.
Thou preparest a table before me in the presence of mine enemies: thou anointest my head with oil; my cup runneth over.
Surely goodness and mercy shall follow me all the days of my life: and I will dwell in the house of the LORD for ever.
"""


def fnv(data):
    """FNV-1a with 64 bits."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def pre_tokenizer(pattern):
    if pattern == "gpt2":
        return pre_tokenizers.ByteLevel(add_prefix_space=False)
    spec = importlib.util.spec_from_file_location("words", HERE / "words.py")
    words = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(words)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(words.PATTERNS[pattern]), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def merges(text, pattern, size):
    """Pairs of ids, in the order in which they were learned."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer(pattern)
    trainer = trainers.BpeTrainer(vocab_size=size, min_frequency=0, special_tokens=[SPECIAL], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([text], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return [(model["vocab"][left], model["vocab"][right]) for left, right in model["merges"]]


def merges_text(pairs):
    return "".join(f"{left} {right}\n" for left, right in pairs)


def small_texts():
    rng = random.Random(1)
    yield "a psalm", PSALM, 420
    yield "signs and spaces", "".join(rng.choice(["  ", "\t", "\n", "\r\n", "--", "!?", "...", "x", "12", "'s", "\u3000"])
                                      for _ in range(600)), 400
    yield "many scripts", "".join(rng.choice(["\u4e2d\u6587", "\u65e5\u672c", "\u043c\u0438\u0440 ", "\u00e9t\u00e9 ",
                                              "\U0001f600", "\u0661\u0662", "na\u00efve ", "\u4e2d", "\u0438 "])
                                  for _ in range(400)), 400
    yield "one letter", "a" * 1000 + " " + "a" * 37, 300
    yield "two letters", " ".join("".join(rng.choice("aab") for _ in range(rng.randint(1, 30))) for _ in range(200)), 600
    yield "nothing to merge", "a b c d", 300
    yield "one byte", "a", 300


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "merges.json")
    options = parser.parse_args()
    small, large = [], []
    for name, text, size in small_texts():
        for pattern in ("gpt2", "gpt4"):
            small.append({"name": name, "text": text, "pattern": pattern, "vocab_size": size,
                          "merges": merges(text, pattern, size)})
            print(name, pattern, len(small[-1]["merges"]), "merges")
    for name, command in LARGE.items():
        data = subprocess.run(command, shell=True, check=True, stdout=subprocess.PIPE).stdout
        for pattern in ("gpt2", "gpt4"):
            for size in (1000, 8000, 32000):
                pairs = merges(data.decode(), pattern, size)
                large.append({"name": name, "command": command, "text_hash": fnv(data), "pattern": pattern,
                              "vocab_size": size, "merges": len(pairs),
                              "merges_hash": fnv(merges_text(pairs).encode())})
                print(name, len(data), "bytes", pattern, size, len(pairs), "merges")
    rows = lambda cases: ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)  # noqa: E731
    options.out.write_text(f'{{"made_by":"merges.py with tokenizers {tokenizers.__version__}",\n"special":"{SPECIAL}",\n'
                           f'"small":[\n{rows(small)}\n],\n"large":[\n{rows(large)}\n]}}\n')


if __name__ == "__main__":
    main()
