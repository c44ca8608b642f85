#!/usr/bin/env python3
"""Drives the training of a preset's program on datasets: good ones of every kind, bad ones, and runs that go on.

    data_test.py PROGRAM [unittest arguments...]      PROGRAM is a built tinygpt-tiny_char
"""
import array
import filecmp
import json
import shutil
import signal
import subprocess
import unittest

from cli_test import Case
from program_case import HANGS, PROGRAM, TINY, crc32c, rewrite, run, wait_for, write_text

CONTEXT = 128  # of tiny_char


def shard(path, tokens, kind="llmc"):
    """A file of tokens as llm.c, nanoGPT and others write them; returns what dataset.json says of it."""
    wide = kind in ("llmc32", "raw32")
    header = {"llmc": [20240520, 1, len(tokens)], "llmc32": [20240801, 7, len(tokens)]}.get(kind, [])
    front = array.array("i", header + [0] * (256 - len(header))).tobytes() if header else b""
    data = front + array.array("I" if wide else "H", tokens).tobytes()
    path.write_bytes(data)
    return {"file": path.name, "tokens": len(tokens), "crc32c": crc32c(data)}


class Datasets(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # A model of the text, whose tokenizer the datasets are made with.
        cls.model = cls.base / "model"
        result = run("train", "--input-file", cls.text, "--out", cls.model, *TINY, "--max-iters", 4, "--eval-interval", 2)
        assert result.returncode == 0, result.stderr
        newest = sorted(cls.model.glob("step-*"))[-1]
        cls.tokenizer = newest / "tokenizer.json"
        cls.hash = json.loads((newest / "config.json").read_text())["tinygpt"]["tokenizer_hash"]
        text = cls.text.read_bytes()
        cls.alphabet = sorted(set(text))
        ids = {byte: i for i, byte in enumerate(cls.alphabet)}
        cls.ids = [ids[byte] for byte in text]
        cls.cut = len(text) - len(text) // 10

    def prepared(self, name="data", parts=1, tokens=None, validation=None, hash=None, tokenizer=True):
        """A dataset as prepare writes it, of the same tokens as the text unless told otherwise."""
        directory = self.dir / name
        directory.mkdir()
        train = self.ids[:self.cut] if tokens is None else tokens
        validation = self.ids[self.cut:] if validation is None else validation
        size = -(-len(train) // parts)
        shards = [shard(directory / f"train_{i:06}.bin", train[i * size:(i + 1) * size]) for i in range(parts)]
        held = [shard(directory / "val_000000.bin", validation)] if validation else []
        if tokenizer:
            shutil.copy(self.tokenizer, directory)
        (directory / "dataset.json").write_text(json.dumps({
            "format": "tinygpt-dataset", "format_version": 1,
            "tokenizer": {"file": "tokenizer.json", "description": "", "size": len(self.alphabet), "hash": hash or self.hash},
            "end_of_text": None,
            "splits": {"train": {"tokens": len(train), "documents": 1, "shards": shards},
                       "val": {"tokens": len(validation), "documents": 1, "shards": held}},
            "sources": [], "options": {}}))
        return directory

    def train_on(self, data, out, *arguments, check=True):
        result = run("train", "--dataset-dir", data, "--out", out, *TINY, *arguments)
        if check:
            self.assertEqual(result.returncode, 0, result.stderr.decode())
        return result

    def rejected(self, data, *needles, arguments=()):
        self.refused(self.train_on(data, self.dir / "out", "--max-iters", 1, *arguments, check=False), 1, *needles)
        self.assertFalse(list(self.dir.glob("out/step-*")))

    def same(self, a, b, step, files=("model.safetensors", "optimizer.safetensors", "trainer_state.json", "tokenizer.json")):
        for file in files:
            self.assertTrue(filecmp.cmp(a / step / file, b / step / file, shallow=False), file)

    def losses(self, out):
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        return {line["step"]: line["loss"] for line in lines if "loss" in line}

    def state(self, out):
        return json.loads((self.newest(out) / "trainer_state.json").read_text())

    def test_the_same_tokens_give_the_same_model_from_a_text_and_from_every_kind_of_shards(self):
        train, held = self.ids[:self.cut], self.ids[self.cut:]
        foreign = {"llmc": ("a_train_000001.bin", "a_val_000000.bin"), "llmc32": ("x_train.bin", "x_val.bin"),
                   "raw16": ("train.bin", "val.bin"), "raw32": ("train_0.bin", "val_0.bin")}
        directories = {"prepared": self.prepared()}
        for kind, names in foreign.items():
            directories[kind] = self.dir / kind
            directories[kind].mkdir()
            for name, tokens in zip(names, (train, held)):
                shard(directories[kind] / name, tokens, kind)
        (directories["raw32"] / "dataset_metadata.json").write_text(json.dumps(
            {"vocab_size": len(self.alphabet), "dtype": "uint32", "total_tokens": len(self.ids)}))
        for kind, directory in directories.items():
            out = self.dir / f"out-{kind}"
            said = [] if kind == "prepared" else ["--tokenizer", self.tokenizer]
            result = self.train_on(directory, out, "--max-iters", 4, "--eval-interval", 2, *said)
            self.assertIn(f"{len(train):,} tokens to train on, {len(held):,} to validate with", result.stdout.decode())
            self.same(self.model, out, "step-000004", ["model.safetensors", "optimizer.safetensors", "tokenizer.json"])
        text = run("generate", "--model", out, "--prompt", "the ", "--max-new-tokens", 5)
        self.assertEqual(text.returncode, 0, text.stderr)

    def test_resume_is_bit_exact_over_shards_and_epochs(self):
        # 3 shards of 2 windows each: an epoch is 3 iterations of 2.
        data = self.prepared(parts=3, tokens=self.ids[:3 * (2 * CONTEXT + 9)])
        options = ["--batch-size", 2, "--max-iters", 10, "--eval-interval", 1, "--dropout", 0.1]
        whole = self.dir / "whole"
        text = self.train_on(data, whole, *options).stdout.decode()
        self.assertIn("6 windows of 128 tokens in 3 iterations", text)
        for cut in (5, 6, 7, 9):  # within an epoch and at its end
            parts = self.dir / f"parts{cut}"
            self.train_on(data, parts, *options, "--eval-interval", 0, "--checkpoint-interval", cut)
            shutil.rmtree(parts / "step-000010")
            self.assertEqual(self.state(parts)["data"]["windows_drawn"], 2 * cut)
            result = run("train", "--dataset-dir", data, "--out", parts, "--resume")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.same(whole, parts, "step-000010", ["model.safetensors", "optimizer.safetensors"])
            self.assertEqual(self.losses(whole), self.losses(parts))
        killed = self.dir / "killed"
        process = subprocess.Popen([PROGRAM, "train", "--dataset-dir", data, "--out", killed, *TINY, *map(str, options)],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_for(process.stdout, b"step 5:")
        process.kill()
        process.communicate()
        self.assertLess(self.state(killed)["iteration"], 10)
        result = run("train", "--dataset-dir", data, "--out", killed, "--resume")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.same(whole, killed, "step-000010")
        self.assertEqual(self.losses(whole), self.losses(killed))

    def test_going_on_continues_with_the_very_next_window_whatever_the_batch(self):
        # With a learning rate of next to nothing the weights stay as they are, so that a loss tells its windows.
        data = self.prepared(parts=2, tokens=self.ids[:14 * CONTEXT + 2])
        still = ["--learning-rate", 1e-20, "--weight-decay", 0, "--dropout", 0, "--eval-interval", 100]
        for sampling in ("epoch", "random"):
            one, parts = self.dir / f"one-{sampling}", self.dir / f"parts-{sampling}"
            self.train_on(data, one, *still, "--max-iters", 20, "--sampling", sampling)
            alone = list(self.losses(one).values())
            self.train_on(data, parts, *still, "--max-iters", 2, "--batch-size", 3, "--sampling", sampling)
            self.assertEqual(self.state(parts)["data"]["windows_drawn"], 6)
            self.train_on(data, parts, "--resume", "--max-iters", 4, "--batch-size", 2, "--grad-accum-steps", 2)
            self.train_on(data, parts, "--resume", "--max-iters", 6, "--batch-size", 1, "--grad-accum-steps", 3)
            self.assertEqual(self.state(parts)["data"]["windows_drawn"], 20)
            self.assertEqual(self.state(parts)["data"]["sampling"], sampling)
            begin = 0
            for step, size in zip(range(1, 7), (3, 3, 4, 4, 3, 3)):
                expected = sum(alone[begin:begin + size]) / size
                self.assertAlmostEqual(self.losses(parts)[step], expected, places=5, msg=f"step {step}")
                begin += size
            if sampling == "epoch":
                self.assertEqual(len(set(alone[:14])), 14)
                self.assertEqual(sorted(f"{x:.4f}" for x in set(alone[14:])), sorted(
                    set(f"{x:.4f}" for x in alone[:14]) & set(f"{x:.4f}" for x in alone[14:])))

    def test_random_windows_are_an_option_that_is_kept(self):
        data = self.prepared()
        out = self.dir / "random"
        text = self.train_on(data, out, "--max-iters", 4, "--eval-interval", 2, "--sampling", "random").stdout.decode()
        self.assertIn("windows at random places", text)
        self.assertFalse(filecmp.cmp(out / "step-000004" / "model.safetensors", self.model / "step-000004" /
                                     "model.safetensors", shallow=False))
        self.train_on(data, out, "--resume", "--max-iters", 5)
        self.assertEqual(self.state(out)["data"]["sampling"], "random")
        self.train_on(data, out, "--resume", "--max-iters", 6, "--sampling", "epoch")
        self.assertEqual(self.state(out)["data"]["sampling"], "epoch")

    def test_a_checkpoint_from_before_sampling_goes_on_at_random(self):
        out = self.dir / "m"
        self.train(out, "--max-iters", 2)
        step = self.newest(out)
        state = json.loads((step / "trainer_state.json").read_text())
        del state["data"]["sampling"], state["data"]["windows_drawn"]
        rewrite(step, "trainer_state.json", json.dumps(state).encode())
        self.train(out, "--resume", "--max-iters", 3, "--batch-size", 2)
        self.assertEqual(self.state(out)["data"]["sampling"], "random")
        self.assertEqual(self.state(out)["data"]["windows_drawn"], 4)

    def test_ctrl_c_prints_a_command_that_goes_on(self):
        data, other, out = self.prepared("my data"), self.prepared("other"), self.dir / "m"
        process = subprocess.Popen([PROGRAM, "train", "--dataset-dir", data, "--eval-dataset-dir", f"x:{other}", "--out",
                                    out, *TINY, "--max-iters", "100", "--eval-interval", "50"], stdout=subprocess.PIPE)
        wait_for(process.stdout, b"step 10/")
        process.send_signal(signal.SIGINT)
        command = process.communicate(timeout=HANGS)[0].decode().rstrip().splitlines()[-1].strip()
        self.assertEqual(process.returncode, 130)
        self.assertIn("--dataset-dir", command)
        self.assertIn("--eval-dataset-dir", command)
        result = subprocess.run(command, shell=True, capture_output=True, timeout=HANGS)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_more_datasets_are_validated_with_under_their_own_names(self):
        data = self.prepared()
        same = self.prepared("same")
        reverse = self.prepared("reverse", tokens=self.ids[::-1][:2000], validation=[])
        out = self.dir / "m"
        text = self.train_on(data, out, "--max-iters", 2, "--eval-interval", 1, "--eval-dataset-dir", f"same:{same}",
                             "--eval-dataset-dir", f"back-wards:{reverse}").stdout.decode()
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        evaluations = [line for line in lines if "val_loss" in line]
        self.assertEqual([line["step"] for line in evaluations], [0, 1, 2])
        for line in evaluations:
            self.assertEqual(line["val_loss_same"], line["val_loss"])
            self.assertNotEqual(line["val_loss_back-wards"], line["val_loss"])
            self.assertRegex(text, rf"step {line['step']}: train loss [\d.]+, val loss {line['val_loss']:.4f}, "
                                   rf"same loss {line['val_loss']:.4f}, back-wards loss {line['val_loss_back-wards']:.4f}")
        self.assertAlmostEqual(self.state(out)["best_validation_loss"], min(line["val_loss"] for line in evaluations), 6)
        plain = self.dir / "plain"
        self.train_on(data, plain, "--max-iters", 2, "--eval-interval", 1)
        # Evaluating more changes nothing but what is evaluated.
        self.same(plain, out, "step-000002", ["model.safetensors", "optimizer.safetensors", "tokenizer.json"])
        self.assertEqual({**self.state(plain), "eval_datasets": self.state(out)["eval_datasets"]}, self.state(out))

    def test_wrong_command_lines(self):
        def wrong(*arguments):
            return run("train", "--out", self.dir / "m", *arguments)
        self.refused(wrong(), 2, "--input-file FILE", "--dataset-dir DIR")
        self.refused(wrong("--input-file", "a", "--dataset-dir", "b"), 2, "contradict")
        for text in ("name", ":dir", "name:", "na me:dir", "n/a:dir", ""):
            self.refused(wrong("--dataset-dir", "b", "--eval-dataset-dir", text), 2, "--eval-dataset-dir", "NAME:DIR")
        self.refused(wrong("--dataset-dir", "b", "--eval-dataset-dir", "a:b", "--eval-dataset-dir", "a:c"), 2, "twice")
        self.refused(wrong("--dataset-dir", "b", "--sampling", "shuffled"), 2, "must be one of epoch, random")
        self.refused(wrong("--dataset-dir"), 2, "--dataset-dir")

    def test_directories_that_hold_no_data(self):
        self.rejected(self.dir / "none", "there is no dataset")
        self.rejected(self.text, "is a file")
        (self.dir / "empty").mkdir()
        self.rejected(self.dir / "empty", "holds no data", "tinygpt prepare")

    def test_data_that_are_too_short(self):
        self.rejected(self.prepared("a", tokens=self.ids[:CONTEXT]), "128 tokens to train on in 1 shard",
                      "not one window of 128")
        self.rejected(self.prepared("b", parts=3, tokens=self.ids[:3 * CONTEXT]), "384 tokens to train on in 3 shards")
        self.rejected(self.prepared("c", validation=self.ids[:CONTEXT]), "128 tokens to validate with")
        self.rejected(self.prepared("d", validation=[]), "no data to validate with", "--val-fraction")
        out = self.dir / "fits"
        # A shard of exactly B x T + 1 tokens is B windows.
        text = self.train_on(self.prepared("e", tokens=self.ids[:4 * CONTEXT + 1], validation=self.ids[:CONTEXT + 1]), out,
                             "--max-iters", 1, "--batch-size", 4).stdout.decode()
        self.assertIn("4 windows of 128 tokens in 1 iteration\n", text)

    def test_ids_that_the_vocabulary_does_not_have(self):
        n = len(self.alphabet)
        bad = self.ids[:1000] + [n] + self.ids[:1000]
        self.rejected(self.prepared("a", tokens=bad), f"token 1000, at byte {1024 + 2000}, is {n}", f"{n} ids, to {n - 1}")
        big = self.dir / "big.json"
        run("train", "--input-file", self.text, "--out", self.dir / "m", *TINY, "--max-iters", 1)
        tokenizer = json.loads(self.tokenizer.read_text())
        self.assertIn("model", tokenizer)
        vocab = tokenizer["model"]["vocab"]
        for i in range(len(vocab), 300):
            vocab[f"a{i}"] = i
        big.write_text(json.dumps(tokenizer))
        directory = self.dir / "nano"
        directory.mkdir()
        shard(directory / "train.bin", self.ids, "raw16")
        shard(directory / "val.bin", self.ids, "raw16")
        self.rejected(directory, "300 tokens", "Vocab<256>", arguments=("--tokenizer", big))

    def test_shards_that_are_not_what_they_were(self):
        data = self.prepared(parts=2)
        path = data / "train_000001.bin"
        good = path.read_bytes()
        path.write_bytes(good[:-2])
        self.rejected(data, "train_000001.bin", "ends at byte")
        path.write_bytes(good[:1500] + bytes([good[1500] ^ 1]) + good[1501:])
        self.rejected(data, "train_000001.bin has changed", "checksum")
        path.unlink()
        self.rejected(data, "train_000001.bin", "no such file")
        path.write_bytes(good)
        out = self.dir / "fits"
        self.train_on(data, out, "--max-iters", 1)
        (data / "dataset.json").write_text("{")
        self.refused(self.train_on(data, out, "--resume", check=False), 1, "dataset.json is damaged")

    def test_a_run_goes_on_with_its_own_data_only(self):
        data, out = self.prepared(), self.dir / "m"
        self.train_on(data, out, "--max-iters", 1)
        other = self.prepared("other", parts=2)
        self.refused(self.train_on(other, out, "--resume", "--max-iters", 2, check=False), 1, "another dataset than", "other")
        self.refused(self.train(out, "--resume", "--max-iters", 2, check=False), 1, "another text than")
        shutil.move(data, self.dir / "moved")
        self.train_on(self.dir / "moved", out, "--resume", "--max-iters", 2)

    def test_the_tokenizer_is_the_one_that_the_data_were_made_with(self):
        other = write_text(self.dir / "other.txt")
        other.write_text(other.read_text() + "!?")
        self.assertEqual(run("train", "--input-file", other, "--out", self.dir / "other", *TINY, "--max-iters", 1).returncode, 0)
        theirs = self.newest(self.dir / "other") / "tokenizer.json"
        theirs_hash = json.loads((theirs.parent / "config.json").read_text())["tinygpt"]["tokenizer_hash"]
        data = self.prepared()
        self.rejected(data, "another tokenizer than the one that", "leave --tokenizer out", arguments=("--tokenizer", theirs))
        self.rejected(self.prepared("hash", hash="0" * 16), "another tokenizer than the one that the dataset was prepared with",
                      self.hash)
        self.rejected(self.prepared("without", tokenizer=False), "there is no tokenizer")
        evaluation = self.prepared("evaluation", hash=theirs_hash)
        shutil.copy(theirs, evaluation)
        self.rejected(data, "evaluation was prepared with another tokenizer",
                      arguments=("--eval-dataset-dir", f"e:{evaluation}"))
        out = self.dir / "m"
        self.train_on(data, out, "--max-iters", 1)
        self.refused(self.train_on(evaluation, out, "--resume", check=False), 1, "another tokenizer than the model's")
        self.refused(self.train_on(data, out, "--resume", "--tokenizer", theirs, check=False), 1,
                     "another tokenizer than the model's")

    def test_foreign_shards_need_a_tokenizer(self):
        directory = self.dir / "nano"
        directory.mkdir()
        shard(directory / "train.bin", self.ids, "raw16")
        self.rejected(directory, "has no tokenizer", "--tokenizer PATH")
        self.rejected(directory, "no data to validate with", "*val*.bin", arguments=("--tokenizer", self.tokenizer))
        shard(directory / "val.bin", self.ids, "raw16")
        shutil.copy(self.tokenizer, directory)
        self.train_on(directory, self.dir / "m", "--max-iters", 1)
        (directory / "tokenizer.json").unlink()
        self.train_on(directory, self.dir / "m", "--max-iters", 2, "--resume")  # the model has it by now

    def test_the_memory_that_is_told_leaves_out_what_is_mapped(self):
        text = self.train_on(self.prepared(), self.dir / "m", "--max-iters", 1).stdout.decode()
        self.assertNotIn(", text ", text)


if __name__ == "__main__":
    unittest.main(verbosity=2)
