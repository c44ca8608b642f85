#!/usr/bin/env python3
"""Two of anything at once with one --out: one makes it, the other is refused. What a user has stays; what was stopped
leaves nothing, or is cleared by the next.

    two_at_once_test.py TINYGPT [unittest arguments...]
"""
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

TINYGPT = pathlib.Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else None

CONFIG = ('{"n_layer": 1, "n_embd": 32, "n_head": 1, "block_size": 8, "vocab_size": 64, "batch_size": 1, "dropout": 0, '
          '"bias": false}')


class Case(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="tinygpt-two-")
        self.addCleanup(directory.cleanup)
        self.dir = pathlib.Path(directory.name)
        self.text("text.txt", 3000)

    def text(self, name, lines):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"line {i} of {name} {i * i}\n" for i in range(lines)))

    def run_(self, *arguments, code=0):
        done = subprocess.run([TINYGPT, *arguments], cwd=self.dir, capture_output=True, text=True)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def start(self, *arguments):
        return subprocess.Popen([TINYGPT, *arguments], cwd=self.dir, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def refused(self, *arguments, needle=""):
        done = self.run_(*arguments, code=1)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertIn(needle, done.stderr)

    def model(self, name="m", layers=1, width=64):
        """A model as transformers has them; of 4 layers and a width of 768 it has some 100 MB."""
        config = {"model_type": "gpt2", "n_layer": layers, "n_embd": width, "n_head": width // 64, "n_positions": 64,
                  "vocab_size": 256, "activation_function": "gelu_new", "tie_word_embeddings": True,
                  "architectures": ["GPT2LMHeadModel"]}
        shapes = {"wte.weight": (256, width), "wpe.weight": (64, width), "ln_f.weight": (width,), "ln_f.bias": (width,)}
        for layer in range(layers):
            for tensor, shape in {"ln_1.weight": (width,), "ln_1.bias": (width,), "ln_2.weight": (width,),
                                  "ln_2.bias": (width,), "attn.c_attn.weight": (width, 3 * width),
                                  "attn.c_attn.bias": (3 * width,), "attn.c_proj.weight": (width, width),
                                  "attn.c_proj.bias": (width,), "mlp.c_fc.weight": (width, 4 * width),
                                  "mlp.c_fc.bias": (4 * width,), "mlp.c_proj.weight": (4 * width, width),
                                  "mlp.c_proj.bias": (width,)}.items():
                shapes[f"h.{layer}.{tensor}"] = shape
        header, at = {}, 0
        for tensor, shape in shapes.items():
            size = 4
            for extent in shape:
                size *= extent
            header[tensor] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
            at += size
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        (self.dir / name).mkdir()
        (self.dir / name / "config.json").write_text(json.dumps(config))
        with open(self.dir / name / "model.safetensors", "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text + b"\0" * at)

    def names(self):
        return sorted(path.name for path in self.dir.iterdir())

    def hold(self, name):
        """Another process that has the lock of an output, as long as the test needs it."""
        import fcntl
        file = open(self.dir / f".{name}.tinygpt-lock", "w")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.addCleanup(file.close)
        return file


class TwoAtOnce(Case):
    def one_wins(self, first, second, check):
        """However far the first is when the second begins."""
        for delay in (0, 0.01, 0.05, 0.2):
            a = self.start(*first)
            time.sleep(delay)
            b = self.start(*second)
            outs = [process.communicate() for process in (a, b)]
            codes = sorted((a.returncode, b.returncode))
            self.assertEqual(codes, [0, 1], outs)
            loser = outs[0 if a.returncode else 1][1]
            self.assertEqual(loser.count("\n"), 1, loser)
            check(0 if a.returncode == 0 else 1)
            self.assertEqual([n for n in self.names() if "tinygpt-" in n], [])
            subprocess.run(["rm", "-r", self.dir / "out"], check=True)

    def test_prepare(self):
        for i in range(300):
            self.text(f"many/{i}.txt", 3)
        names = ("a", "b")
        self.one_wins(["prepare", "--source", "a:many", "--out", "out"],
                      ["prepare", "--source", "b:text.txt", "--out", "out"],
                      lambda winner: self.assertEqual(
                          [s["name"] for s in json.loads((self.dir / "out/dataset.json").read_text())["sources"]],
                          [names[winner]]))

    def test_mix_against_prepare(self):
        self.run_("prepare", "--source", "t:text.txt", "--out", "set")
        self.one_wins(["prepare", "--mix", "set:1", "--out", "out"],
                      ["prepare", "--source", "b:text.txt", "--out", "out"],
                      lambda _: self.run_("data", "info", "out"))

    def test_tokenizer_train(self):
        self.text("other.txt", 2000)
        self.one_wins(["tokenizer", "train", "--input", "text.txt", "--vocab-size", "300", "--out", "out"],
                      ["tokenizer", "train", "--input", "other.txt", "--vocab-size", "290", "--out", "out"],
                      lambda winner: self.assertIn(("300", "290")[winner],
                                                   self.run_("tokenizer", "info", "--tokenizer", "out").stdout))

    def test_export_and_import(self):
        self.model()
        export = ["export", "--model", "m", "--out", "out"]
        self.one_wins(export, export, lambda _: self.run_("config-from", "out"))
        self.one_wins(export, ["import", "--from", "m", "--out", "out"], lambda _: self.run_("config-from", "out"))

    def test_whoever_has_the_lock_keeps_the_others_out(self):
        self.model()
        self.run_("prepare", "--source", "t:text.txt", "--out", "set")
        (self.dir / "c.json").write_text(CONFIG)
        self.hold("out"), self.hold("set")
        for command in (["prepare", "--source", "a:text.txt", "--out", "out"], ["prepare", "--mix", "set:1", "--out", "out"],
                        ["prepare", "--source", "a:text.txt", "--out", "set", "--append"],
                        ["export", "--model", "m", "--out", "out"], ["import", "--from", "m", "--out", "out"],
                        ["export", "--model", "m", "--format", "gguf", "--out", "out"], ["new", "c.json", "--out", "out"]):
            with self.subTest(command):
                self.refused(*command, needle="another process")
                self.assertFalse((self.dir / "out").exists())


class WhatIsThere(Case):
    def test_hidden_folders_beside_the_output_stay(self):
        for name in (".project.old", ".work.tmp-backup", ".ds.old", ".ds.tmp-1-1"):
            (self.dir / name).mkdir()
            (self.dir / name / "thesis.tex").write_text("thesis")
        (self.dir / ".bashrc.old").write_text("rc")
        before = self.names()
        self.run_("prepare", "--source", "a:text.txt", "--out", "ds")
        self.assertEqual(self.names(), sorted(before + ["ds"]))
        self.assertEqual((self.dir / ".ds.old/thesis.tex").read_text(), "thesis")

    def test_a_link_as_output_stays(self):
        (self.dir / "other").mkdir()
        (self.dir / "link").symlink_to("other")
        for extra in ([], ["--append"]):
            self.run_("prepare", "--source", "a:text.txt", "--out", "link", *extra)
            self.assertTrue((self.dir / "link").is_symlink())
            self.assertTrue((self.dir / "other/dataset.json").is_file())
        self.run_("data", "info", "link")
        (self.dir / "dangling").symlink_to("nowhere")
        self.refused("prepare", "--source", "a:text.txt", "--out", "dangling", needle="leads nowhere")
        self.refused("tokenizer", "train", "--input", "text.txt", "--vocab-size", "300", "--out", "dangling",
                     needle="leads nowhere")

    def test_a_file_that_a_predictable_name_leads_to_stays(self):
        (self.dir / "victim").write_text("precious")
        (self.dir / "o").mkdir()
        for name in ("tokenizer.json.tmp", ".tokenizer.json.tmp"):
            (self.dir / "o" / name).symlink_to("../victim")
        self.run_("tokenizer", "train", "--input", "text.txt", "--vocab-size", "300", "--out", "o")
        self.assertEqual((self.dir / "victim").read_text(), "precious")

    def test_new_refuses_what_is_there(self):
        (self.dir / "c.json").write_text(CONFIG)
        self.refused("new", "c.json", "--out", "c.json", needle="is there already")
        self.assertEqual((self.dir / "c.json").read_text(), CONFIG)
        self.run_("new", "c.json", "--out", "c.hpp")
        self.refused("new", "c.json", "--out", "c.hpp", needle="is there already")
        self.assertEqual(self.names(), ["c.hpp", "c.json", "text.txt"])

    def test_append_keeps_every_shard_and_every_other_file(self):
        self.run_("prepare", "--source", "a:text.txt", "--out", "set", "--shard-tokens", "16384")
        path = self.dir / "set/dataset.json"
        dataset = json.loads(path.read_text())
        shards = dataset["splits"]["train"]["shards"]
        self.assertGreater(len(shards), 2)
        taken_out = self.dir / "set" / shards.pop(0)["file"]  # from the list; the file stays
        dataset["splits"]["train"]["tokens"] = sum(shard["tokens"] for shard in shards)
        path.write_text(json.dumps(dataset))
        (self.dir / "set/notes").mkdir()
        (self.dir / "set/notes/mine.txt").write_text("notes")
        before = {p.name: p.read_bytes() for p in (self.dir / "set").glob("train_*.bin")}
        for removed in (False, True):
            if removed:
                taken_out.unlink()
                del before[taken_out.name]
            self.run_("prepare", "--source", "b:text.txt", "--out", "set", "--append")
            after = {p.name: p.read_bytes() for p in (self.dir / "set").glob("train_*.bin")}
            self.assertEqual({name: after[name] for name in before}, before)
            self.assertEqual((self.dir / "set/notes/mine.txt").read_text(), "notes")
            self.run_("data", "info", "set")
            before = after

    def test_an_output_that_cannot_be_is_refused_before_the_work(self):
        self.model()
        (self.dir / "point").mkdir()
        if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "none", self.dir / "point"],
                                               capture_output=True).returncode != 0:
            self.skipTest("nothing can be mounted here")
        self.addCleanup(lambda: subprocess.run(["umount", "-l", self.dir / "point"]))
        # The input is wrong, too: who says so has begun to work.
        self.refused("prepare", "--source", "a:missing.txt", "--out", "point", needle="mount point")
        self.refused("prepare", "--mix", "missing:1", "--out", "point", needle="mount point")
        self.refused("export", "--model", "missing", "--out", "point", needle="mount point")
        self.refused("import", "--from", "missing", "--out", "point", needle="mount point")


class Stopped(Case):
    def test_a_signal_leaves_nothing_of_an_export_or_import(self):
        self.model("large", 4, 768)
        before = self.names()
        stopped = 0
        for command in (["export", "--model", "large", "--out", "out"], ["import", "--from", "large", "--out", "out"],
                        ["export", "--model", "large", "--format", "gguf", "--out", "out"]):
            begun = time.monotonic()
            self.run_(*command)
            whole = time.monotonic() - begun
            subprocess.run(["rm", "-r", self.dir / "out"], check=True)
            for number, part in ((signal.SIGINT, 0.4), (signal.SIGTERM, 0.6), (signal.SIGHUP, 0.8)):
                process = self.start(*command)
                time.sleep(whole * part)
                process.send_signal(number)
                out, err = process.communicate()
                if process.returncode == 0:  # it was faster
                    subprocess.run(["rm", "-r", self.dir / "out"], check=True)
                elif process.returncode > 0:  # else it had not begun
                    self.assertEqual(process.returncode, 128 + number, out + err)
                    self.assertIn("stopped", out)
                    stopped += 1
                self.assertEqual(self.names(), before)
        self.assertGreater(stopped, 0)

    def test_what_a_kill_left_is_cleared_by_the_next(self):
        self.model("large", 4, 768)
        before = self.names()
        command = ["export", "--model", "large", "--out", "out"]
        left = 0
        for delay in (0.05, 0.1, 0.2, 0.3, 0.4):
            process = self.start(*command)
            time.sleep(delay)
            process.kill()
            process.communicate()
            left += self.names() != before and not (self.dir / "out").exists()
            subprocess.run(["rm", "-rf", self.dir / "out"], check=True)
        self.run_(*command)
        self.assertGreater(left, 0)
        self.assertEqual(self.names(), sorted(before + ["out"]))

    def test_a_signal_while_shards_are_written_is_obeyed(self):
        self.text("text.txt", 400_000)
        command = ["prepare", "--source", "a:text.txt", "--out", "set", "--threads", "1"]
        stopped = False
        for _ in range(20):
            process = self.start(*command)
            while process.poll() is None and not list(self.dir.glob(".set.tinygpt-tmp-*")):
                time.sleep(0.001)
            process.send_signal(signal.SIGINT) if process.poll() is None else None
            out, err = process.communicate()
            self.assertEqual(list(self.dir.glob(".set.tinygpt-tmp-*")), [])
            if process.returncode == 130:
                self.assertIn("stopped", out)
                self.assertFalse((self.dir / "set").exists())
                stopped = True
                break
            self.assertEqual(process.returncode, 0, out + err)
            subprocess.run(["rm", "-r", self.dir / "set"], check=True)
        self.assertTrue(stopped)
        self.run_(*command)
        self.assertEqual(self.names(), ["set", "text.txt"])


if __name__ == "__main__":
    unittest.main()
