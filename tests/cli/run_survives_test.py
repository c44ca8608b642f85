#!/usr/bin/env python3
"""A training run and what is done to it: two at once, numbers that are not finite, ends of every kind, a full disk.

    run_survives_test.py PROGRAM [unittest arguments...]      PROGRAM is a built tinygpt-tiny_char
"""
import json
import math
import os
import pty
import resource
import shutil
import signal
import struct
import subprocess
import time

from program_case import HANGS, ProgramCase, main, rewrite, run, state_of, wait_for


def put_number(step, file, value):
    """Writes a number over the middle of a safetensors file, with its right checksum."""
    content = bytearray((step / file).read_bytes())
    header = struct.unpack("<Q", content[:8])[0]
    at = 8 + header + (len(content) - 8 - header) // 8 * 4
    content[at:at + 4] = struct.pack("<f", value)
    rewrite(step, file, bytes(content))


class TheDirectory(ProgramCase):
    def test_of_two_at_once_the_second_is_refused_whatever_the_first_is_doing(self):
        big = self.dir / "big.txt"
        big.write_text(self.text.read_text() * 3000)  # read for longer than the other one takes to start
        out = self.dir / "m"
        first = self.start(out, "--max-iters", 6, "--eval-interval", 3, text=big)
        try:
            # As soon as the directory is there, and long before the first has opened its data.
            end = time.monotonic() + 300
            while not out.exists() and time.monotonic() < end:
                time.sleep(0.001)
            refusals = 0
            while first.poll() is None:
                result = run("train", "--input-file", self.text, "--out", out, "--max-iters", 2)
                if first.poll() is None:
                    self.refused(result, 1, "in use by another training run")
                    refusals += 1
            stdout, stderr = first.communicate()
        finally:
            first.kill()
        self.assertGreater(refusals, 0)
        self.assertEqual(first.returncode, 0, stderr)
        self.assertIn("step-000006", self.steps(out))
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        self.assertEqual([m["step"] for m in lines if "loss" in m], [1, 2, 3, 4, 5, 6])

    def test_a_record_without_checkpoints_is_not_erased(self):
        out = self.dir / "m"
        for content in ('{"step":1,"loss":3}\n', "somebody's notes\n"):
            out.mkdir(exist_ok=True)
            (out / "metrics.jsonl").write_text(content)
            self.refused(self.train(out, "--max-iters", 2, code=1), 1, "metrics.jsonl is there", "move it away")
            self.assertEqual((out / "metrics.jsonl").read_text(), content)
        (out / "metrics.jsonl").write_text("")
        self.train(out, "--max-iters", 2)

    def test_a_refused_run_leaves_nothing(self):
        out = self.dir / "m"
        self.refused(run("train", "--input-file", self.dir / "none", "--out", out), 1, "no such file")
        self.assertFalse(out.exists())
        out.mkdir()
        self.refused(run("train", "--input-file", self.dir / "none", "--out", out), 1, "no such file")
        self.assertTrue(out.exists())


class NotFinite(ProgramCase):
    def test_after_a_blow_up_a_good_checkpoint_is_left_and_named(self):
        for interval, rate in ((1, "100"), (5, "1e30"), (3, "1e4")):
            out = self.dir / f"m{interval}"
            self.train(out, "--max-iters", 12, "--checkpoint-interval", interval, "--eval-interval", 6)
            result = self.train(out, "--resume", "--max-iters", 300, "--learning-rate", rate, "--grad-clip", 0,
                                "--warmup-iters", 0, code=4)
            self.refused(result, 4, "not finite 10 times in a row", "the last good one", self.steps(out)[-1].replace("-not-finite", ""))
            for step in out.glob("step-??????"):
                for file in ("model.safetensors", "optimizer.safetensors"):
                    content = (step / file).read_bytes()
                    begin = 8 + struct.unpack("<Q", content[:8])[0]
                    self.assertTrue(all(map(math.isfinite, struct.unpack(f"<{(len(content) - begin) // 4}f", content[begin:]))))
            named = [name for name in self.steps(out) if name.endswith("000") or len(name) == 11][-1]
            self.assertIn(named, result.stderr.decode())
            result = self.train(out, "--resume", "--max-iters", 320, "--learning-rate", "1e-4")
            self.assertIn("step-000320", self.steps(out))

    def test_a_run_that_ends_in_skipped_steps_or_without_a_validation_loss_says_so(self):
        out = self.dir / "m"
        self.train(out, "--max-iters", 4)
        for rate, iterations in (("1e30", 10), ("1e30", 5)):
            result = self.train(out, "--resume", "--max-iters", iterations, "--learning-rate", rate, "--grad-clip", 0,
                                "--warmup-iters", 0, code=4)
            self.refused(result, 4, f"ended at step {iterations}", "not finite", "step-000004", "--resume")
            self.assertNotIn("done in", result.stdout.decode())
            self.assertEqual(self.steps(out), ["step-000004"])
        self.assertEqual(run("generate", "--model", out, "--max-new-tokens", 5).returncode, 0)

    def test_checkpoints_with_such_numbers_are_passed_over(self):
        for file in ("model.safetensors", "optimizer.safetensors"):
            for value in (math.nan, math.inf, -math.inf):
                out = self.dir / f"{file}{value}"
                if not (self.dir / file).exists():
                    self.train(self.dir / file, "--max-iters", 4, "--checkpoint-interval", 2)
                shutil.copytree(self.dir / file, out)
                put_number(out / "step-000004", file, value)
                result = run("train", "--input-file", self.text, "--out", out, "--resume")
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertIn("is not finite", result.stderr.decode())
                self.assertIn("iterations 3 to 4", result.stdout.decode())

    def test_no_text_is_written_with_such_weights(self):
        out = self.dir / "m"
        self.train(out, "--max-iters", 2)
        put_number(out / "step-000002", "model.safetensors", math.nan)
        for command in (["generate", "--greedy"], ["generate"], ["eval", "--input-file", self.text],
                        ["export", "--out", self.dir / "exported"]):
            result = run(*command, "--model", out)
            self.refused(result, 1, "tensor '", "is not finite", "use another checkpoint")
            self.assertEqual(result.stdout.count(b"\n"), 0)

    def test_no_text_is_written_where_finite_weights_give_such_logits(self):
        out = self.dir / "m"
        self.train(out, "--max-iters", 2)
        step = out / "step-000002"
        content = bytearray((step / "model.safetensors").read_bytes())
        length = struct.unpack("<Q", content[:8])[0]
        header = json.loads(content[8:8 + length])
        begin, end = header["transformer.wte.weight"]["data_offsets"]
        content[8 + length + begin:8 + length + end] = struct.pack("<f", 3e38) * ((end - begin) // 4)
        rewrite(step, "model.safetensors", bytes(content))
        for how in (["--greedy"], ["--top-k", 5], ["--top-p", 0.5], []):
            self.refused(run("generate", "--model", out, "--prompt", "the", *how), 1, "logits are not finite")
        self.refused(run("eval", "--model", out, "--input-file", self.text), 4, "not finite")


class TheBest(ProgramCase):
    def overfit(self, out, *arguments, code=0):
        """A text whose end differs from its beginning: the validation loss falls, and then rises."""
        text = self.dir / "two_halves.txt"
        text.write_text("abab " * 500 + "zqxj " * 55)
        return self.train(out, "--max-iters", 60, "--eval-interval", 5, "--learning-rate", "3e-3", *arguments, text=text, code=code)

    def test_the_best_is_kept_beside_the_newest_two_named_and_taken(self):
        out = self.dir / "m"
        told = self.overfit(out).stdout.decode()
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        losses = {m["step"]: m["val_loss"] for m in lines if "val_loss" in m and m["step"] > 0}
        best = min(losses, key=losses.get)
        self.assertLess(best, 55)  # else this test shows nothing
        self.assertEqual(self.steps(out), [f"step-{n:06}" for n in (best, 55, 60)])
        self.assertIn(f"best validation loss {losses[best]:.4f} at step {best}: {out}/step-{best:06}", told)
        self.assertIn("--best", told.splitlines()[-1])
        arguments = ["--prompt", "ab", "--max-new-tokens", 20, "--seed", 3]
        named = run("generate", "--model", out / f"step-{best:06}", *arguments)
        taken = run("generate", "--model", out, "--best", *arguments)
        self.assertEqual((taken.returncode, taken.stdout), (0, named.stdout))
        self.assertIn(f"step-{best:06}", run("eval", "--model", out, "--best", "--input-file", self.text.parent / "none").stderr.decode()
                      + run("eval", "--model", out, "--best", "--input-file", self.dir / "two_halves.txt").stdout.decode())
        self.assertEqual(run("export", "--model", out, "--best", "--out", self.dir / "hf").returncode, 0)
        # A later resume keeps it.
        self.train(out, "--resume", "--max-iters", 70, text=self.dir / "two_halves.txt")
        self.assertIn(f"step-{best:06}", self.steps(out))

    def test_patience_ends_a_run_and_is_kept(self):
        out = self.dir / "m"
        told = self.overfit(out, "--patience", 2).stdout.decode()
        self.assertIn("ended early", told)
        state = state_of(sorted(out.glob("step-*"))[-1])
        self.assertLess(state["iteration"], 60)
        self.assertEqual((state["patience"], state["without_improvement"]), (2, 2))
        self.assertEqual(state["iteration"], state["best_step"] + 10)
        again = self.train(out, "--resume", text=self.dir / "two_halves.txt")
        self.assertIn("give a larger --patience", again.stdout.decode())
        self.train(out, "--resume", "--patience", 0, text=self.dir / "two_halves.txt")
        self.assertIn("step-000060", self.steps(out))

    def test_best_without_a_run(self):
        self.refused(run("generate", "--model", self.dir, "--best"), 1, "holds no checkpoint of a run", "--best")

    def test_no_evaluations_but_the_last(self):
        out = self.dir / "m"
        self.train(out, "--max-iters", 5, "--eval-interval", 0, "--checkpoint-interval", 2)
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        self.assertEqual([m["step"] for m in lines if "val_loss" in m], [5])
        for line in lines:
            self.assertEqual(line["tokens"], line["step"] * 128)
            self.assertGreater(line["time"], 1_600_000_000)
            self.assertGreaterEqual(line["elapsed"], 0)


class Ends(ProgramCase):
    def test_every_end_saves(self):
        whole = self.dir / "whole"
        self.train(whole, "--max-iters", 60, "--eval-interval", 30)
        expected = (whole / "step-000060" / "model.safetensors").read_bytes()
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
            out = self.dir / number.name
            process = self.start(out, "--max-iters", 60, "--eval-interval", 30)
            wait_for(process.stdout, b"step 12/")
            if number == signal.SIGPIPE:  # its reader goes
                process.stdout.close()
                process.wait(HANGS)
                error = process.stderr.read()
                self.assertIn(b"nobody reads the output any more", error)
                process.stderr.close()
            else:
                process.send_signal(number)
                process.communicate(timeout=HANGS)
            self.assertEqual(process.returncode, 128 + number, number)
            newest = sorted(out.glob("step-*"))[-1]
            self.assertLess(state_of(newest)["iteration"], 60)
            self.train(out, "--resume")
            self.assertEqual((out / "step-000060" / "model.safetensors").read_bytes(), expected)

    def test_an_evaluation_is_ended_and_done_after_resuming(self):
        out, whole = self.dir / "m", self.dir / "whole"
        evaluation = ["--max-iters", 4, "--eval-interval", 2, "--eval-iters", 3]
        self.train(whole, *evaluation)
        process = self.start(out, *evaluation[:-1], 100000)
        wait_for(process.stdout, b"checkpoints in")
        process.send_signal(signal.SIGINT)  # it evaluates for minutes
        stdout, stderr = process.communicate(timeout=HANGS)
        if process.returncode == -signal.SIGINT:
            self.skipTest("the signal came before the run began")
        self.assertEqual(process.returncode, 130, stderr)
        self.assertEqual(self.steps(out), ["step-000000"])
        self.train(out, "--resume", "--eval-iters", 3)
        lines = [[{k: v for k, v in json.loads(line).items() if "loss" in k or k == "step"}
                  for line in (run_ / "metrics.jsonl").read_text().splitlines()] for run_ in (out, whole)]
        self.assertEqual(lines[0], lines[1])

    def test_evaluating_and_saving_are_shown(self):
        leader, follower = pty.openpty()
        process = self.start(self.dir / "m", "--max-iters", "3", "--eval-iters", "60", stdout=follower,
                             env={**os.environ, "TERM": "xterm"})
        os.close(follower)
        seen = b""
        try:
            while piece := os.read(leader, 4096):
                seen += piece
        except OSError:  # the terminal's other end is closed
            pass
        os.close(leader)
        process.stderr.close()
        self.assertEqual(process.wait(HANGS), 0)
        self.assertRegex(seen.decode(), r"\revaluating \d+/120 ")
        self.assertIn("\rsaving step 3", seen.decode())
        for line in seen.decode().replace("\r\n", "\n").split("\n"):
            if "\r" not in line and not line.startswith("let it write: ") and max(map(len, line.split(" "))) < 60:
                self.assertLessEqual(len(line), 80, line)

    def test_a_limit_on_files_is_a_sentence(self):
        out = self.dir / "m"
        self.train(out, "--max-iters", 2)

        def small_files():
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

        result = self.train(out, "--resume", "--max-iters", 4, code=1, preexec_fn=small_files)
        self.refused(result, 1, "ulimit -f", "step-000002 is whole")
        self.assertEqual(self.steps(out), ["step-000002"])


class FullDisk(ProgramCase):
    def setUp(self):
        super().setUp()
        self.disk = self.dir / "disk"
        self.disk.mkdir()
        if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80m", "none", self.disk],
                                               capture_output=True).returncode != 0:
            self.skipTest("mounting a small filesystem needs root")
        self.addCleanup(subprocess.run, ["umount", "-l", self.disk], check=True)

    def fill(self):
        filler = self.disk / "filler"
        with open(filler, "wb") as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
                    file.flush()
            except OSError:
                pass
        return filler

    def test_it_is_waited_for_and_the_run_ends_as_if_nothing_had_been(self):
        whole, out = self.dir / "whole", self.disk / "m"
        options = ["--max-iters", 40, "--eval-interval", 10]
        self.train(whole, *options)
        process = self.start(out, *options)
        wait_for(process.stdout, b"step 10: train loss")
        while not (out / "step-000010").exists():
            time.sleep(0.01)
        filler = self.fill()
        wait_for(process.stdout, b"the disk is full")
        filler.unlink()
        stdout, stderr = process.communicate(timeout=HANGS)
        self.assertEqual((process.returncode, stderr), (0, b""))
        self.assertIn(b"there is room on the disk again", stdout)
        self.assertEqual((out / "step-000040" / "model.safetensors").read_bytes(),
                         (whole / "step-000040" / "model.safetensors").read_bytes())
        steps = [m["step"] for m in map(json.loads, (out / "metrics.jsonl").read_text().splitlines()) if "loss" in m]
        self.assertEqual(steps, list(range(1, 41)))

    def test_the_wait_ends_with_what_is_whole(self):
        for wait, interrupt in (("0", False), ("0.01", False), ("60", True)):
            out = self.disk / "m"
            process = self.start(out, "--max-iters", 100000, "--eval-interval", 10, "--disk-wait", wait)
            wait_for(process.stdout, b"step 10: train loss")
            while not (out / "step-000010").exists():
                time.sleep(0.01)
            filler = self.fill()
            if interrupt:
                wait_for(process.stdout, b"the disk is full")
                process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=HANGS)
            self.assertEqual(process.returncode, 5, stderr)
            self.assertRegex(stderr.decode(), r"^tinygpt-tiny_char: .*the disk is full.* is whole: go on from it with --resume\n$")
            filler.unlink()
            self.train(out, "--resume", "--max-iters", state_of(sorted(out.glob("step-*"))[-1])["iteration"] + 1)
            shutil.rmtree(out)


class Hints(ProgramCase):
    def test_the_text_reaches_the_terminal_escaped_and_short(self):
        text = self.dir / "t.txt"
        for beginning in ("\x1b]0;title\x07\x1b[31mred ", "a" * 5000, "\u20ac" * 50, "\x9b31m" * 3, "'quoted' "):
            text.write_text(beginning + self.text.read_text())
            out = self.dir / str(len(list(self.dir.iterdir())))
            stdout = self.train(out, "--max-iters", 1, text=text).stdout.decode()
            self.assertNotIn("\x1b", stdout)
            self.assertNotIn("\x9b", stdout)
            hint = stdout.splitlines()[-1]
            self.assertLess(len(hint.split("--prompt", 1)[1]), 200)
            command = hint.split(": ", 1)[1] + " --max-new-tokens 3"
            result = subprocess.run(["bash", "-c", command], capture_output=True, timeout=HANGS)
            self.assertEqual(result.returncode, 0, (command, result.stderr))

    def test_rows_that_no_token_uses_are_told(self):
        data = self.dir / "data"
        data.mkdir()
        tokenizer = self.dir / "tokenizer"
        tokenizer.mkdir()
        for size, told in ((40, True), (229, True), (231, False), (256, False)):
            vocab = {chr(0x4E00 + i) if i >= 26 else chr(97 + i): i for i in range(26)}
            byte = [c for c in map(chr, [*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324)]) if c not in vocab]
            for c in byte[:size - 26]:
                vocab[c] = len(vocab)
            (tokenizer / "vocab.json").write_text(json.dumps(vocab))
            (tokenizer / "merges.txt").write_text("#version: 0.2\n")
            for part in ("train", "val"):
                (data / f"{part}.bin").write_bytes(struct.pack("<2H", 0, 1) * 400)
            result = run("train", "--dataset-dir", data, "--tokenizer", tokenizer, "--out", self.dir / str(size), "--batch-size", 1,
                         "--eval-iters", 1, "--max-iters", 1)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(f"--vocab-size {size})" in result.stdout.decode(), told, size)

    def test_a_warmup_longer_than_the_run_is_told(self):
        text = self.train(self.dir / "m", "--max-iters", 5, "--warmup-iters", 10).stdout.decode()
        self.assertIn("the warmup of 10 iterations is longer than the run: the learning rate rises to 0.00015 only", text)
        self.assertNotIn("is longer", self.train(self.dir / "n", "--max-iters", 5, "--warmup-iters", 5).stdout.decode())

    def test_how_much_text_is_needed_is_said_exactly(self):
        text = self.dir / "short.txt"
        text.write_text("abcdefghi\n" * 128)  # 1,280
        self.refused(self.train(self.dir / "m", "--max-iters", 1, text=text, code=1), 1, "give at least 1290 bytes")
        text.write_text("abcdefghi\n" * 129)
        self.train(self.dir / "m", "--max-iters", 1, text=text)


if __name__ == "__main__":
    main(__doc__)
