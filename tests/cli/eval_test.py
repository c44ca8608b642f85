#!/usr/bin/env python3
"""eval: the loss of a whole text, against the losses that training itself finds and against arithmetic.

    eval_test.py PROGRAM [unittest arguments...]      PROGRAM is a built tinygpt-tiny_char
"""
import json
import math
import signal
import struct

from program_case import PROGRAM, ProgramCase, main, run, state_of

import subprocess

CONTEXT = 128


class Eval(ProgramCase):
    def evaluate(self, *arguments):
        result = run("eval", "--json", *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def test_the_loss_is_the_one_of_training_where_that_sees_all_of_it(self):
        # A validation part of exactly one window and the token after it, which one batch of training covers.
        text = self.dir / "text.txt"
        content = self.text.read_text().encode()[:10 * (CONTEXT + 1)]
        text.write_bytes(content)
        out = self.dir / "m"
        self.train(out, "--max-iters", 8, "--precision", "float32", text=text)
        expected = state_of(out / "step-000008")["last_validation_loss"]
        part = self.dir / "part.txt"
        part.write_bytes(content[-(CONTEXT + 1):])
        found = self.evaluate("--model", out, "--input-file", part, "--precision", "float32")
        self.assertAlmostEqual(found["loss"], expected, delta=1e-6 * expected)
        self.assertEqual((found["tokens"], found["bytes"]), (CONTEXT, CONTEXT))
        self.assertAlmostEqual(found["perplexity"], math.exp(found["loss"]), places=6)
        self.assertAlmostEqual(found["bits_per_byte"], found["loss"] / math.log(2), places=9)

    def test_every_token_counts_once_however_many_at_once(self):
        out = self.dir / "m"
        self.train(out, "--max-iters", 8)
        text = self.dir / "text.txt"
        content = self.text.read_bytes()
        for tokens in (2, 3, CONTEXT, CONTEXT + 1, CONTEXT + 2, 2 * CONTEXT + 1, 5 * CONTEXT + 7):
            text.write_bytes(content[:tokens])
            found = [self.evaluate("--model", out, "--input-file", text, "--batch-size", batch, "--precision", "float32")
                     for batch in (1, 2, 8)]
            for each in found:
                self.assertEqual((each["tokens"], each["bytes"]), (tokens - 1, tokens - 1))
                self.assertAlmostEqual(each["loss"], found[0]["loss"], delta=1e-5)
        # Windows are independent: the loss of a text is the mean of those of its windows.
        text.write_bytes(content[:3 * CONTEXT + 1])
        whole = self.evaluate("--model", out, "--input-file", text, "--precision", "float32")["loss"]
        parts = []
        for i in range(3):
            text.write_bytes(content[i * CONTEXT:(i + 1) * CONTEXT + 1])
            parts.append(self.evaluate("--model", out, "--input-file", text, "--precision", "float32")["loss"])
        self.assertAlmostEqual(whole, sum(parts) / 3, delta=1e-5)
        self.assertGreater(max(parts) - min(parts), 1e-3)

    def test_shards_and_bytes_behind_tokens(self):
        # Tokens of several bytes, and one that ends documents and stands for none.
        vocab = {c: i for i, c in enumerate("abcdefghijklmnopqrstuvwxyz\u0120\u010a")}
        for merge in ("t h", "th e"):
            vocab[merge.replace(" ", "")] = len(vocab)
        end = vocab["<|endoftext|>"] = len(vocab)
        tokenizer = self.dir / "tokenizer"
        tokenizer.mkdir()
        (tokenizer / "vocab.json").write_text(json.dumps(vocab))
        (tokenizer / "merges.txt").write_text("#version: 0.2\nt h\nth e\n")
        data = self.dir / "data"
        data.mkdir()
        row = [vocab["the"], vocab["\u0120"], vocab["a"], end]
        for name, times in (("train_1", 300), ("val_1", 50), ("val_2", 3)):
            header = struct.pack("<256i", 20240520, 1, 4 * times, *[0] * 253)  # llm.c's
            (data / f"x_{name}.bin").write_bytes(header + struct.pack("<4H", *row) * times)
        out = self.dir / "m"
        result = run("train", "--dataset-dir", data, "--tokenizer", tokenizer, "--out", out, "--batch-size", 1, "--eval-iters", 1,
                     "--max-iters", 3)
        self.assertEqual(result.returncode, 0, result.stderr)
        found = self.evaluate("--model", out, "--dataset-dir", data)
        self.assertEqual(found["tokens"], 4 * 50 - 1 + 4 * 3 - 1)
        # "the" has three bytes; the first token of each shard is not predicted.
        self.assertEqual(found["bytes"], 5 * 50 - 3 + 5 * 3 - 3)
        self.assertAlmostEqual(found["bits_per_byte"], found["loss"] * found["tokens"] / math.log(2) / found["bytes"], places=9)

    def test_what_it_says_and_refuses(self):
        out = self.dir / "m"
        self.train(out, "--max-iters", 2)
        result = run("eval", "--model", out, "--input-file", self.text)
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.assertRegex(result.stdout.decode(), r"(?m)^loss \d+\.\d{4} nats per token, perplexity [\d.]+, \d+\.\d{4} bits per byte$")
        self.refused(run("eval", "--input-file", self.text), 2, "--model")
        self.refused(run("eval", "--model", out), 2, "--input-file", "--dataset-dir")
        self.refused(run("eval", "--model", out, "--input-file", self.text, "--dataset-dir", out), 2, "--input-file")
        self.refused(run("eval", "--model", out, "--input-file", self.dir / "none"), 1, "no such file")
        odd = self.dir / "odd.txt"
        odd.write_text("the Q")
        self.refused(run("eval", "--model", out, "--input-file", odd), 1, "'Q'")
        odd.write_text("t")
        self.refused(run("eval", "--model", out, "--input-file", odd), 1, "fewer than two tokens")

    def test_ctrl_c(self):
        out = self.dir / "m"
        self.train(out, "--max-iters", 2)
        text = self.dir / "long.txt"
        text.write_text(self.text.read_text() * 1000)
        process = subprocess.Popen([PROGRAM, "eval", "--model", out, "--input-file", text, "--batch-size", "1"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.readline()
        process.stdout.readline()  # the second line is the last before it begins
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                continue
        _, stderr = process.communicate()
        self.assertIn(process.returncode, (130, -signal.SIGINT), stderr)
        if process.returncode == 130:
            self.assertRegex(stderr.decode(), r"stopped after [\d,]+ of [\d,]+ tokens")


if __name__ == "__main__":
    main(__doc__)
