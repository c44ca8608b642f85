#!/usr/bin/env python3
"""Compares encoding with Hugging Face's `tokenizers` on strings of many scripts.

    encodings.py [--out FILE]                          writes encodings.json: two small tokenizers, strings and their ids
    encodings.py --live PROGRAM [TOKENIZER...]         compares the built tinygpt with the library, in both directions

Needs `pip install tokenizers`. --live takes 10,000 strings: one by one with the two small tokenizers, and joined to 500
texts with each TOKENIZER (a directory that tinygpt reads, such as GPT-2's). It fails where the library reads a file of
ours otherwise than we do, or we one of its own.
"""
import argparse
import importlib.util
import json
import pathlib
import random
import subprocess
import sys
import tempfile

from tokenizers import Regex, Tokenizer, __version__, decoders, models, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).resolve().parent
SCRIPTS = [(0x20, 0x7E), (0xA0, 0x24F), (0x300, 0x30F), (0x391, 0x3C9), (0x410, 0x44F), (0x531, 0x556), (0x5D0, 0x5EA),
           (0x620, 0x64A), (0x660, 0x669), (0x905, 0x939), (0x93E, 0x94D), (0x966, 0x96F), (0xE01, 0xE30), (0x10D0, 0x10F0),
           (0x1200, 0x1246), (0x13A0, 0x13F4), (0x2000, 0x200F), (0x2010, 0x2027), (0x20A0, 0x20BF), (0x2150, 0x2189),
           (0x3041, 0x3096), (0x30A1, 0x30FA), (0x4E00, 0x9FA5), (0xAC00, 0xD7A3), (0xFF10, 0xFF5A), (0x10330, 0x1034A),
           (0x1D400, 0x1D454), (0x1F300, 0x1F64F), (0x1F468, 0x1F469), (0x1F1E6, 0x1F1FF)]
PIECES = [" ", "  ", "\n", "\r\n", "\n\n", "\t", "\u00a0", "\u3000", "\u200d", "\ufe0f", "\U0001F3FD", "'s", "'LL", "'Ve", "\u2019t",
          "'\u017f", "12", "2024", "0000", "3.14", "\u00b2", "!!", "...", "--", "<|endoftext|>", "http://", "def f(x):\n    ", "the ",
          " and", "\x00", "\x1b", "\x7f", "e\u0301", "\u200b"]
SENTENCES = ["In the beginning God created the heaven and the earth.", "\u0412 \u043d\u0430\u0447\u0430\u043b\u0435 \u0441\u043e\u0442\u0432\u043e\u0440\u0438\u043b \u0411\u043e\u0433 \u043d\u0435\u0431\u043e \u0438 \u0437\u0435\u043c\u043b\u044e.",
             "\u592a\u521d\uff0c\u795e\u521b\u9020\u5929\u5730\u3002", "\u0641\u064a \u0627\u0644\u0628\u062f\u0621 \u062e\u0644\u0642 \u0627\u0644\u0644\u0647 \u0627\u0644\u0633\u0645\u0627\u0648\u0627\u062a \u0648\u0627\u0644\u0623\u0631\u0636.", "Am Anfang schuf Gott Himmel und Erde; it's 1534!",
             "\u0906\u0926\u093f \u092e\u0947\u0902 \u092a\u0930\u092e\u0947\u0936\u094d\u0935\u0930 \u0928\u0947 \u0906\u0915\u093e\u0936 \u0914\u0930 \u092a\u0943\u0925\u094d\u0935\u0940 \u0915\u0940 \u0938\u0943\u0937\u094d\u091f\u093f \u0915\u0940\u0964", "\ud0dc\ucd08\uc5d0 \ud558\ub098\ub2d8\uc774 \ucc9c\uc9c0\ub97c \ucc3d\uc870\ud558\uc2dc\ub2c8\ub77c"]


def strings(count, seed):
    rng = random.Random(seed)
    for _ in range(count):
        text = ""
        for _ in range(rng.randrange(1, 12)):
            kind = rng.randrange(4)
            if kind == 0:
                text += rng.choice(PIECES)
            elif kind == 1:
                sentence = rng.choice(SENTENCES)
                start = rng.randrange(len(sentence))
                text += sentence[start:start + rng.randrange(1, 20)]
            else:
                low, high = rng.choice(SCRIPTS)
                text += "".join(chr(rng.randint(low, high)) for _ in range(rng.randrange(1, 6)))
        yield text


def small(pattern):
    """A tokenizer that the library has trained."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=pattern == "gpt4"))
    if pattern == "gpt2":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        spec = importlib.util.spec_from_file_location("words", HERE / "words.py")
        words = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(words)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(words.PATTERNS[pattern]), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=["<|endoftext|>"], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(SENTENCES * 3 + list(strings(300, 1)), trainer)
    return tokenizer


def plain_ids(tokenizer, text):
    """Ids of ordinary text: the library would find special tokens in it, so they are taken out of its reach."""
    return tokenizer.encode(text, add_special_tokens=False).ids


def without_special(description):
    """The same tokenizer for the library, but its special tokens are found in no text."""
    return Tokenizer.from_str(json.dumps({**description, "added_tokens": []}))


def write(out):
    tokenizers = []
    for pattern in ("gpt2", "gpt4"):
        description = json.loads(small(pattern).to_str())
        tokenizer = without_special(description)
        tokenizers.append({"tokenizer": description,
                           "encodings": [{"text": t, "ids": plain_ids(tokenizer, t)} for t in strings(120, 2)]})
    # One tokenizer and one string on a line.
    lines = ['{"made_by": "encodings.py with tokenizers ' + __version__ + '", "tokenizers": [']
    for i, t in enumerate(tokenizers):
        lines.append('{"tokenizer": ' + json.dumps(t["tokenizer"], separators=(",", ":")) + ', "encodings": [')
        lines.append(",\n".join(json.dumps(e, separators=(",", ":")) for e in t["encodings"]))
        lines.append("]}" + ("," if i == 0 else ""))
    out.write_text("\n".join(lines) + "\n]}\n", encoding="utf-8")
    print(f"{out}: {out.stat().st_size} bytes")


def live(program, directories):
    def encoded(tokenizer, text):
        result = subprocess.run([program, "tokenizer", "encode", "--tokenizer", tokenizer], input=text.encode(),
                                capture_output=True, check=True)
        return [int(i) for i in result.stdout.split()]

    def compared(name, tokenizer, hf, texts):
        wrong = [t for t in texts if encoded(tokenizer, t) != plain_ids(hf, t)]
        print(f"{name}: {len(texts) - len(wrong)} of {len(texts)} texts have the same ids", flush=True)
        for text in wrong[:5]:
            print(f"  {text!r}\n    ours   {encoded(tokenizer, text)}\n    theirs {plain_ids(hf, text)}")
        return not wrong

    alone = list(strings(10_000, 3))
    joined = ["".join(alone[i:i + 20]) for i in range(0, len(alone), 20)]
    good = True
    with tempfile.TemporaryDirectory() as scratch:
        for name in ["gpt2", "gpt4", *directories]:
            scratch_path = pathlib.Path(scratch)
            if name in directories:
                source = name
            else:
                source = scratch_path / f"{name}.json"
                small(name).save(str(source))
            out = scratch_path / f"ours-{len(list(scratch_path.iterdir()))}"
            subprocess.run([program, "tokenizer", "convert", "--tokenizer", source, "--out", out], check=True, capture_output=True)
            ours = out / "tokenizer.json"
            hf = without_special(json.loads(ours.read_text(encoding="utf-8")))
            if name not in directories:
                theirs = without_special(json.loads(source.read_text(encoding="utf-8")))
                good &= all(plain_ids(hf, t) == plain_ids(theirs, t) for t in alone)
            loaded = Tokenizer.from_file(str(ours))  # as it is, with its special tokens
            good &= loaded.decode(plain_ids(hf, alone[0]), skip_special_tokens=False) == alone[0]
            good &= compared(name, source, hf, joined if name in directories else alone)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "encodings.json")
    parser.add_argument("--live", metavar="PROGRAM")
    parser.add_argument("tokenizers", nargs="*")
    arguments = parser.parse_args()
    if arguments.live:
        sys.exit(0 if live(arguments.live, arguments.tokenizers) else "encodings.py: not the same")
    write(arguments.out)


if __name__ == "__main__":
    main()
