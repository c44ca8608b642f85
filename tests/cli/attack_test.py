#!/usr/bin/env python3
"""What the system does to a program at the worst moment: calls that fail, limits, closed streams, signals.

    attack_test.py PROGRAM TOOL LIBRARY [unittest arguments...]

PROGRAM is a built tinygpt-tiny_char, TOOL the built tinygpt, LIBRARY is tests/support/failing_system.cpp as a library.
"""
import errno
import json
import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM, TOOL, LIBRARY = (os.path.abspath(sys.argv.pop(1)) for _ in range(3)) if len(sys.argv) > 3 else (None,) * 3
HANGS = 3600  # seconds, against what never ends: no machine on which it works needs as long
TINY = ["--batch-size", "1", "--eval-iters", "1", "--warmup-iters", "2", "--threads", "1"]
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # these tests are of the cpu, whatever the machine has


def sanitized():
    return b"__asan_init" in pathlib.Path(PROGRAM).read_bytes()


class Case(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="tinygpt-attack-")
        self.addCleanup(directory.cleanup)
        self.dir = pathlib.Path(directory.name)
        self.text = self.dir / "text.txt"
        draw = random.Random(7)
        words = "the quick brown fox jumps over a lazy dog".split()
        self.text.write_text("\n".join(" ".join(draw.choice(words) for _ in range(12)) for _ in range(400)) + "\n")

    def run_program(self, program, *arguments, **options):
        return subprocess.run([program, *map(str, arguments)], capture_output=True, timeout=HANGS, cwd=self.dir, **options)

    def train(self, out, *arguments, **options):
        return self.run_program(PROGRAM, "train", "--input-file", self.text, "--out", out, *TINY, *arguments, **options)

    def steps(self, out):
        return sorted(int(p.name[5:]) for p in (self.dir / out).glob("step-*"))

    def ends_in_a_sentence(self, result, *codes):
        """One line that a person can read, of the program, with one of these codes; never a signal, never a word of C++."""
        error = result.stderr.decode(errors="replace")
        self.assertIn(result.returncode, codes, error)
        if result.returncode in (1, 2, 3, 5):
            self.assertTrue(error.startswith("tinygpt"), error)
            for word in ("terminate", "std::", "exception", "basic_", "what()", "filesystem error", "internal fault"):
                self.assertNotIn(word, error)


class SystemCalls(Case):
    """A call of a save fails: what was saved is whole, the end is a sentence, and the run goes on to the same bits."""

    def setUp(self):
        super().setUp()
        self.base = self.dir / "base"
        self.assertEqual(self.train(self.base, "--max-iters", 2, "--checkpoint-interval", 2).returncode, 0)
        self.assertEqual(self.train("whole", "--max-iters", 4, "--checkpoint-interval", 2).returncode, 0)

    def resumed(self, out, environment):
        subprocess.run(["cp", "-r", self.base, self.dir / out], check=True)
        return self.train(self.dir / out, "--resume", "--max-iters", 4, "--checkpoint-interval", 2,
                          env={**os.environ, "LD_PRELOAD": LIBRARY, "FAIL_FOLDER": f"/{out}/", **environment})

    def check(self, call, numbers, errors):
        count = self.dir / "count"
        self.assertEqual(self.resumed(f"counted-{call}", {"FAIL_CALL": call, "FAIL_COUNT_TO": str(count)}).returncode, 0)
        calls = int(count.read_text())
        self.assertGreater(calls, 0)
        for number in sorted({max(1, round(calls * part)) for part in numbers}):
            for error in errors:
                with self.subTest(call=call, number=number, of=calls, error=errno.errorcode[error]):
                    out = f"{call}-{number}-{error}"
                    result = self.resumed(out, {"FAIL_CALL": call, "FAIL_NUMBER": str(number), "FAIL_ERRNO": str(error)})
                    if error == errno.EINTR:
                        self.assertEqual(result.returncode, 0, result.stderr)
                    self.ends_in_a_sentence(result, 0, 1, 5)
                    self.assertIn(2, self.steps(out) if result.returncode else [2])
                    if result.returncode:
                        again = self.train(out, "--resume", "--max-iters", 4, "--checkpoint-interval", 2)
                        self.assertEqual(again.returncode, 0, again.stderr)
                    for name in ("model.safetensors", "optimizer.safetensors"):
                        self.assertEqual((self.dir / out / "step-000004" / name).read_bytes(),
                                         (self.dir / "whole" / "step-000004" / name).read_bytes())
                    subprocess.run(["rm", "-r", self.dir / out], check=True)

    def test_a_file_that_cannot_be_made(self):
        self.check("open", (0.2, 0.7, 1), (errno.EACCES, errno.EMFILE, errno.EIO))

    def test_a_write_that_fails(self):
        self.check("write", (0.01, 0.5, 1), (errno.EIO, errno.EINTR))

    def test_what_cannot_be_synchronised(self):
        self.check("fsync", (0.1, 0.6, 1), (errno.EIO, errno.EINTR))

    def test_a_close_that_fails(self):
        self.check("close", (0.2, 0.6, 1), (errno.EIO, errno.EINTR))

    def test_a_rename_that_fails(self):
        self.check("rename", (0.1, 1), (errno.EIO, errno.EACCES))

    def test_a_directory_that_cannot_be_made(self):
        self.check("mkdir", (1,), (errno.EACCES, errno.ENOSPC))


class Limits(Case):
    def commands(self):
        yield [PROGRAM, "info"]
        yield [PROGRAM, "generate", "--model", "base", "--max-new-tokens", "5", "--threads", "1"]
        yield [PROGRAM, "train", "--input-file", "text.txt", "--out", "m", *TINY, "--max-iters", "2"]
        yield [TOOL, "prepare", "--source", "a:text.txt", "--out", "set", "--threads", "1"]
        yield [TOOL, "presets"]
        yield [TOOL, "fit", "--memory", "8GiB"]
        yield [TOOL, "export", "--model", "base", "--format", "gguf", "--out", "x.gguf"]

    def under(self, limit, values):
        self.assertEqual(self.train("base", "--max-iters", 1).returncode, 0)
        for value in values:
            for command in self.commands():
                with self.subTest(value=value, command=command[:2]):
                    subprocess.run(["rm", "-rf", "m", "set", "x.gguf"], cwd=self.dir, check=True)
                    result = subprocess.run(command, capture_output=True, cwd=self.dir, timeout=HANGS,
                                            preexec_fn=lambda: resource.setrlimit(limit, (value, value)))
                    if result.returncode == 127 and b"error while loading shared libraries" in result.stderr:
                        continue  # the program has not begun
                    self.ends_in_a_sentence(result, 0, 1, 3, 5)

    def test_few_descriptors(self):
        self.under(resource.RLIMIT_NOFILE, (4, 6, 8))

    def test_short_files(self):
        self.under(resource.RLIMIT_FSIZE, (0, 1000, 100_000))

    def test_little_memory(self):
        if sanitized():
            self.skipTest("a sanitizer takes terabytes of addresses")
        mb = 1 << 20
        self.under(resource.RLIMIT_AS, (16 * mb, 24 * mb, 40 * mb, 64 * mb, 100 * mb, 150 * mb))


class ClosedStreams(Case):
    def test_no_file_of_a_run_takes_the_place_of_a_stream(self):
        for closed in ("<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"):
            with self.subTest(closed):
                out = "m" + str(closed.count("&"))
                subprocess.run(["rm", "-rf", out], cwd=self.dir, check=True)
                command = " ".join(["exec", PROGRAM, "train --input-file text.txt --max-iters 2 --out", out, *TINY, closed])
                subprocess.run(["sh", "-c", command], cwd=self.dir, timeout=HANGS, capture_output=True)
                self.assertEqual(self.steps(out), [2])
                for line in (self.dir / out / "metrics.jsonl").read_text().splitlines():
                    self.assertIn("step", json.loads(line))


class SignalsAtAnyMoment(Case):
    SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)

    def interrupted(self, command, number, whole, draw):
        """Runs it and sends the signal at a random moment of the time that it takes alone."""
        process = subprocess.Popen(command, cwd=self.dir, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(timeout=draw.uniform(0, whole))
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            out, err = process.communicate(timeout=HANGS)
        # Before a program watches for it, and SIGQUIT at any time, a signal ends it at once.
        self.assertIn(process.returncode, (0, 128 + number, -number), (number, out, err))
        return process.returncode

    def over(self, command, output, again):
        """No moment leaves a half-written output, and the next start leaves nothing else."""
        draw = random.Random(5)
        begun = time.monotonic()
        again()
        whole = time.monotonic() - begun
        expected = {p.name for p in self.dir.iterdir()}
        for number in self.SIGNALS * 2:
            subprocess.run(["rm", "-rf", output], cwd=self.dir, check=True)
            with self.subTest(number=number):
                self.interrupted(command, number, whole, draw)
                again()
                self.assertEqual({p.name for p in self.dir.iterdir()}, expected)

    def succeed(self, command, output):
        def again():
            if not (self.dir / output).exists():
                result = self.run_program(*command)
                self.assertEqual(result.returncode, 0, result.stderr)
        return again

    def test_train(self):
        command = [PROGRAM, "train", "--input-file", "text.txt", "--out", "m", *TINY, "--max-iters", "20",
                   "--checkpoint-interval", "3", "--eval-interval", "10"]

        def again():
            resume = ["--resume"] if self.steps("m") else []
            if not resume:  # SIGQUIT saves nothing
                subprocess.run(["rm", "-rf", "m"], cwd=self.dir, check=True)
            result = self.run_program(*command, *resume)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(self.steps("m")[-1], 20)
            self.assertEqual([p.name for p in (self.dir / "m").iterdir() if p.name.startswith(".")], [])
        self.over(command, "m", again)

    def test_prepare(self):
        command = [TOOL, "prepare", "--source", "a:text.txt", "--out", "set", "--threads", "1"]
        self.over(command, "set", self.succeed(command, "set"))

    def test_export(self):
        self.assertEqual(self.train("base", "--max-iters", 1).returncode, 0)
        command = [TOOL, "export", "--model", "base", "--format", "hf", "--out", "x"]
        self.over(command, "x", self.succeed(command, "x"))


if __name__ == "__main__":
    unittest.main()
