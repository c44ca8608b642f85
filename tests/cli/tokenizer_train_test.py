#!/usr/bin/env python3
"""Drives `tinygpt tokenizer train` as its user does: good and bad input, a terminal, a signal.

    tokenizer_train_test.py PROGRAM [unittest arguments...]      PROGRAM is the built tinygpt
"""
import gzip
import json
import os
import pathlib
import pty
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = pathlib.Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else None
HANGS = 3600  # seconds, against what never ends: no machine on which it works needs as long
TEXT = "In the beginning God created the heaven and the earth.\nAnd the earth was without form, and void;\n" * 50


def run(*arguments, **options):
    return subprocess.run([PROGRAM, "tokenizer", *map(str, arguments)], capture_output=True, text=True, timeout=HANGS,
                          **options)


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="tinygpt-tokenizer-")
        self.addCleanup(directory.cleanup)
        self.dir = pathlib.Path(directory.name)
        self.text = self.file("text.txt", TEXT)
        self.out = self.dir / "out"

    def file(self, name, content):
        path = self.dir / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def train(self, *arguments, out=None):
        """The report of a run that succeeds."""
        result = run("train", "--out", out or self.out, "--json", *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def refused(self, code, *needles, arguments, out=None):
        """One sentence on standard error, the right exit code, and nothing written."""
        out = out or self.out
        result = run("train", "--out", out, *arguments)
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        for needle in ("tinygpt: ", *needles):
            self.assertIn(needle, result.stderr)
        self.assertFalse((pathlib.Path(out) / "tokenizer.json").exists())
        self.assertEqual(list(self.dir.glob(".*")), [])
        return result


class Good(Case):
    def test_a_tokenizer_encodes_and_decodes_the_text_it_was_learned_from(self):
        report = self.train("--input", self.text, "--vocab-size", 300)
        self.assertEqual((report["size"], report["merges"], report["bytes"]), (300, 43, len(TEXT)))
        ids = json.loads(run("encode", "--tokenizer", self.out, "--input-file", self.text, "--json").stdout)
        self.assertEqual(ids["tokenizer"], report["hash"])
        self.assertAlmostEqual(len(TEXT) / ids["tokens"], report["bytes_per_token"])
        back = run("decode", "--tokenizer", self.out, input=" ".join(map(str, ids["ids"]))).stdout
        self.assertEqual(back, TEXT)

    def test_threads_and_compression_change_nothing(self):
        zipped = self.file("text.txt.gz", gzip.compress(TEXT.encode()))
        hashes = {self.train("--input", path, "--vocab-size", 300, "--threads", threads, out=self.dir / str(i))["hash"]
                  for i, (path, threads) in enumerate([(self.text, 1), (self.text, 3), (zipped, 2)])}
        self.assertEqual(len(hashes), 1)

    def test_files_are_texts_of_their_own_and_each_is_read_once(self):
        folder = self.dir / "folder"
        folder.mkdir()
        (folder / "a.txt").write_text("one two ")
        (folder / "b.txt").write_text("  three")
        report = self.train("--input", folder, folder / "*.txt", "--vocab-size", 300, "--threads", 1)
        self.assertEqual((report["files"], report["bytes"]), (2, 15))
        # In one text the space before "three" would be its own; here " " ends the first, and " " begins the second.
        self.assertEqual(report["different_words"], 4)

    def test_rows_of_jsonl_and_parts_between_separators_are_texts_of_their_own(self):
        rows = self.file("rows.jsonl", "".join(json.dumps({"body": t, "id": 1}) + "\n" for t in ("one ", " two", "")))
        parts = self.file("parts.txt", "one <|endoftext|> two<|endoftext|>")
        one = self.train("--input", rows, "--field", "body", "--vocab-size", 300, out=self.dir / "1")
        two = self.train("--input", parts, "--separator", "<|endoftext|>", "--vocab-size", 300, out=self.dir / "2")
        self.assertEqual((one["bytes"], one["different_words"]), (8, 3))
        self.assertEqual(one["hash"], two["hash"])

    def test_special_tokens_come_first_in_their_order(self):
        self.train("--input", self.text, "--vocab-size", 300, "--special", "<|user|>", "--special", "<|endoftext|>",
                   "--pattern", "gpt4")
        info = json.loads(run("info", "--tokenizer", self.out, "--json").stdout)
        self.assertEqual(info["special"], [{"id": 0, "text": "<|user|>"}, {"id": 1, "text": "<|endoftext|>"}])
        self.assertEqual((info["pattern"], info["end_of_text"]), ("gpt4", 1))

    def test_too_few_words_are_said_and_are_no_error(self):
        result = run("train", "--input", self.file("one", "a"), "--vocab-size", 1000, "--out", self.out)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("too few words for 1,000 tokens: it gives 257.", result.stdout)
        self.assertIn("byte-level BPE, 257 tokens", result.stdout)

    def test_zeros_line_ends_and_a_byte_order_mark_are_no_trouble(self):
        path = self.file("odd.txt", b"\xef\xbb\xbfa\0\0b\r\nc\r\n" + b"\0" * 100)
        self.assertEqual(self.train("--input", path, "--vocab-size", 300)["bytes"], 109)

    def test_a_single_word_takes_time_and_memory_in_proportion_to_its_length(self):
        measure = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); " \
                  "used = resource.getrusage(resource.RUSAGE_CHILDREN); print(used.ru_maxrss, used.ru_utime)"
        seconds = []
        for megabytes in (50, 100):
            path = self.dir / "word"
            with open(path, "wb") as file:
                for _ in range(megabytes):
                    file.write(b"a" * 1_000_000)
            result = subprocess.run([sys.executable, "-c", measure, PROGRAM, "tokenizer", "train", "--input", path,
                                     "--vocab-size", "1000", "--out", self.dir / f"{megabytes}"], capture_output=True,
                                    text=True, timeout=HANGS)
            self.assertEqual(result.returncode, 0, result.stderr)
            peak, used = result.stdout.split()
            self.assertLess(int(peak), (3 * megabytes + 200) * 1000)  # KiB: three times the text and 200 MB
            seconds.append(float(used))
        self.assertLess(seconds[1], 2.5 * seconds[0] + 0.1)


class Bad(Case):
    def test_what_is_missing_is_named(self):
        self.refused(2, "--input FILE", arguments=["--vocab-size", 300])
        self.refused(2, "--vocab-size N", arguments=["--input", self.text])
        result = run("train", "--input", self.text, "--vocab-size", 300)
        self.assertEqual(result.returncode, 2)
        self.assertIn("--out DIR", result.stderr)

    def test_numbers_and_words_out_of_range_are_refused(self):
        def with_flags(*flags):
            return ["--input", self.text, "--vocab-size", 300, *flags]
        self.refused(2, "257 or more", "1 special token,", arguments=with_flags("--vocab-size", 256))
        self.refused(2, "258 or more", arguments=with_flags("--vocab-size", 257, "--special", "<a>", "--special", "<b>"))
        self.refused(2, "--vocab-size must be a whole number", arguments=with_flags("--vocab-size", "many"))
        self.refused(2, "--vocab-size must be a whole number", arguments=with_flags("--vocab-size", 10**12))
        self.refused(2, "--pattern must be one of gpt2", arguments=with_flags("--pattern", "gpt3"))
        self.refused(2, "--threads must be", arguments=with_flags("--threads", 0))
        self.refused(2, "given twice", arguments=with_flags("--special", "<a>", "--special", "<a>"))
        self.refused(2, "a single character", arguments=with_flags("--special", "a"))
        self.refused(2, "is empty", arguments=with_flags("--special", ""))
        self.refused(2, "did you mean --vocab-size", arguments=with_flags("--vocab-sise", 1))

    def test_inputs_that_are_no_text_are_refused_with_their_place(self):
        def training_on(*paths):
            return ["--input", *paths, "--vocab-size", 300]
        self.refused(1, "no file matches", arguments=training_on(self.dir / "nothing"))
        self.refused(1, "there is no text", arguments=training_on(self.file("empty", "")))
        self.refused(1, "there is no text", arguments=training_on(self.file("mark", b"\xef\xbb\xbf")))
        self.refused(1, "latin:2: it is not UTF-8 at offset 9", "iconv",
                     arguments=training_on(self.text, self.file("latin", b"plain\ncaf\xe9 au lait")))
        long = self.file("long", b"x" * 3_000_000 + b"\xff" + b"x" * 3_000_000)
        self.refused(1, "long:1: it is not UTF-8 at offset 3000000", arguments=training_on(long))
        self.refused(1, "cut.gz", "ends too early", arguments=training_on(
            self.file("cut.gz", gzip.compress(os.urandom(100_000))[:-5000])))
        rows = '{"text": "a"}\n' * 776 + '{"text": 1}\n' + '{"text": "a"}\n'
        self.refused(1, "rows.jsonl:777: ", arguments=training_on(self.file("rows.jsonl", rows)))
        self.refused(1, "rows.jsonl:1: it has no 'body'",
                     arguments=training_on(self.file("rows.jsonl", '{"text": "a"}')) + ["--field", "body"])
        self.refused(1, "not a regular file", arguments=training_on("/dev/null"))

    def test_a_place_that_cannot_be_written_is_refused_before_the_work(self):
        arguments = ["--input", self.text, "--vocab-size", 300]
        self.refused(1, "a part of the path is a file", arguments=arguments, out=self.text)
        self.refused(1, "a part of the path is a file", arguments=arguments, out=self.text / "below")
        self.refused(1, "cannot", arguments=arguments, out="/proc/tokenizer")
        if os.geteuid() != 0:
            closed = self.dir / "closed"
            closed.mkdir(mode=0o500)
            self.refused(1, "permission denied", arguments=arguments, out=closed / "out")

    def test_a_tokenizer_that_is_there_is_not_overwritten(self):
        self.train("--input", self.text, "--vocab-size", 300)
        before = (self.out / "tokenizer.json").read_bytes()
        result = run("train", "--input", self.text, "--vocab-size", 400, "--out", self.out)
        self.assertEqual(result.returncode, 1)
        self.assertIn("already holds a tokenizer", result.stderr)
        self.assertEqual((self.out / "tokenizer.json").read_bytes(), before)


class Watched(Case):
    def large(self):
        """Text that takes a while: words that are hardly ever the same."""
        path = self.dir / "large"
        with open(path, "w") as file:
            for i in range(60):
                file.write(" ".join(f"{(i * 50_000 + n) * 2654435761 % 2**32:x}" for n in range(50_000)) + "\n")
        return path

    def test_a_terminal_sees_a_bar_with_rate_and_time_left(self):
        parent, child = pty.openpty()
        process = subprocess.Popen([PROGRAM, "tokenizer", "train", "--input", self.large(), "--vocab-size", "20000",
                                    "--out", self.out], stdout=child, stderr=child, env={**os.environ, "TERM": "xterm"})
        os.close(child)
        seen = b""
        try:
            while block := os.read(parent, 65536):
                seen += block
        except OSError:
            pass  # the terminal's other end is closed
        os.close(parent)
        self.assertEqual(process.wait(), 0, seen)
        self.assertRegex(seen.decode(), r"\rlearned [\d,]+/20,000 \[#*-*\] .* tokens/s  eta \d+s")

    def test_ctrl_c_ends_it_with_a_sentence_and_nothing_written(self):
        large = self.large()
        stopped = 0
        for wait in (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 1.0, 5.0):  # how long it takes depends on the machine
            process = subprocess.Popen([PROGRAM, "tokenizer", "train", "--input", large, "--vocab-size", "1000000",
                                        "--pattern", "gpt4", "--out", self.out], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)
            time.sleep(wait)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=HANGS)
            if process.returncode == 0:  # it was done before
                break
            if process.returncode == -signal.SIGINT:  # it had not yet begun
                continue
            self.assertEqual(process.returncode, 128 + signal.SIGINT, out + err)
            self.assertEqual(out, "stopped; nothing was written\n")
            self.assertFalse(self.out.exists())
            stopped += 1
        self.assertGreater(stopped, 0)


if __name__ == "__main__":
    unittest.main()
