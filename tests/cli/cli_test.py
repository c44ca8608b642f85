#!/usr/bin/env python3
"""Drives the program of a preset as its user does: good use, every kind of bad input, interruptions and faults.

    cli_test.py PROGRAM [unittest arguments...]      PROGRAM is a built tinygpt-tiny_char
"""
import filecmp
import json
import os
import pathlib
import pty
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time

from program_case import HANGS, PROGRAM, TINY, ProgramCase, main, rewrite, run, wait_for, write_text


class Case(ProgramCase):
    def train(self, out, *arguments, check=True, **options):
        result = run("train", "--input-file", self.text, "--out", out, *TINY, *arguments, **options)
        if check:
            self.assertEqual(result.returncode, 0, result.stderr.decode())
        return result

    def newest(self, out):
        return sorted(out.glob("step-*"))[-1]


class HelpAndInfo(Case):
    def test_help_everywhere(self):
        for command in ([], ["info"], ["train"], ["generate"], ["eval"]):
            result = run(*command, "--help")
            self.assertEqual(result.returncode, 0)
            self.assertIn(b"--help", result.stdout)
        for flag in ("input-file out max-iters batch-size learning-rate min-learning-rate warmup-iters weight-decay beta1 "
                     "grad-accum-steps beta2 grad-clip dropout eval-interval eval-iters seed threads resume checkpoint-interval").split():
            self.assertIn("--" + flag, run("train", "--help").stdout.decode())
        for flag in "model prompt max-new-tokens temperature top-k top-p seed num-samples batch-size prompts greedy threads".split():
            self.assertIn("--" + flag, run("generate", "--help").stdout.decode())
        self.assertIn(b"(default 0.8)", run("generate", "--help").stdout)

    def test_info_shows_the_type_and_counts(self):
        text = run("info", "--tensors").stdout.decode()
        self.assertTrue(text.startswith("GPT<Layers<"), text)
        self.assertIn("token_embedding", text)
        facts = json.loads(run("info", "--json").stdout)
        self.assertIn(f"{facts['parameters']:,}", text)
        self.assertEqual(facts["parameters"], sum(tensor["parameters"] for tensor in facts["tensors"]))
        self.assertEqual(facts["train_flops_per_token"], 3 * facts["forward_flops_per_token"])

    def test_info_shows_the_label_beside_the_truth(self):
        text = run("info").stdout.decode()
        self.assertRegex(text, r"1,846,656 \(1\.85 M\); called ~3M elsewhere")
        facts = json.loads(run("info", "--json").stdout)
        self.assertEqual((facts["name"], facts["label"], facts["parameters"]), ("tiny_char", "~3M", 1846656))

    def test_the_presets_defaults_are_the_ones_of_train(self):
        defaults = json.loads(run("info", "--json").stdout)["train_defaults"]
        self.assertEqual((defaults["batch_size"], defaults["learning_rate"], defaults["dropout"]), (16, 3e-4, 0.1))
        flags = [" ".join(entry.split()) for entry in run("train", "--help").stdout.decode().split("\n  --")]
        for name, value in defaults.items():
            if name != "min_learning_rate":
                word = value if isinstance(value, str) else f"{value:g}"
                entry = next(e for e in flags if e.startswith(name.replace("_", "-") + " "))
                self.assertIn(f"(default {word})", entry)
        out = self.dir / "m"
        self.train(out, "--max-iters", 2, "--batch-size", 1)
        options = json.loads((self.newest(out) / "trainer_state.json").read_text())["options"]
        self.assertEqual({name for name in defaults if defaults[name] != options[name]},
                         {"max_iters", "batch_size", "eval_iters", "warmup_iters"})

    def test_the_architecture_comes_back_from_json(self):
        facts = json.loads(run("info", "--json").stdout)
        self.assertEqual(facts["type"], "GPT<Layers<4>, Embd<192>, Heads<4>, Ctx<128>, Vocab<256>>")
        self.assertEqual(set(facts["architecture"]), {"layers", "embd", "query_heads", "kv_heads", "ctx", "head_dim", "vocab",
                                                      "ffn", "activation", "norm", "norm_eps", "positions", "rope_base", "qk_norm",
                                                      "bias", "head"})

    def test_version(self):
        self.assertRegex(run("--version").stdout.decode(), r"^tinygpt-\w+ \d+\.\d+\.\d+\n$")


class CommandLine(Case):
    def test_unknown_words_get_the_nearest(self):
        self.refused(run("train", "--max-itres", 5), 2, "unknown flag --max-itres", "did you mean --max-iters?")
        self.refused(run("train", "--max_itres=5"), 2, "did you mean --max-iters?")
        self.refused(run("generate", "--temprature", 1), 2, "did you mean --temperature?")
        self.refused(run("generate", "--zzzzzzzzzzzz"), 2, "see --help")
        self.refused(run("trian"), 2, "unknown command 'trian'", "did you mean train?")
        self.refused(run("train", "text.txt"), 2, "unexpected argument 'text.txt'")
        self.refused(run(), 2, "info, train, generate, eval, export or import")

    def test_values_out_of_range(self):
        for flag, value in (("--temperature", "-1"), ("--temperature", "nan"), ("--temperature", "inf"), ("--top-p", "0"),
                            ("--top-p", "1.5"), ("--top-k", "-1"), ("--max-new-tokens", "0"), ("--num-samples", "two"),
                            ("--seed", "-3"), ("--threads", "-1")):
            self.refused(run("generate", "--model", "m", flag, value), 2, flag, value)
        for flag, value in (("--batch-size", "0"), ("--batch-size", "1.5"), ("--batch-size", "99999999999"), ("--grad-accum-steps", "0"),
                            ("--max-iters", "0"), ("--max-iters", "many"), ("--learning-rate", "0"), ("--dropout", "1"),
                            ("--learning-rate", "1e999"), ("--beta1", "1"), ("--beta2", "-0.1"), ("--grad-clip", "-1"),
                            ("--eval-interval", "-1"), ("--eval-iters", "0"), ("--patience", "-1"), ("--disk-wait", "x"), ("--checkpoint-interval", "0"),
                            ("--weight-decay", "x"), ("--warmup-iters", "-1"), ("--seed", "")):
            self.refused(run("train", "--input-file", "x", "--out", "y", flag, value), 2, flag)

    def test_what_is_missing_is_named(self):
        self.refused(run("train", "--out", "x"), 2, "--input-file")
        self.refused(run("train", "--input-file", "x"), 2, "--out")
        self.refused(run("train", "--input-file", "x", "--out", "--resume"), 2, "--out", "path")
        self.refused(run("train", "--input-file"), 2, "--input-file")
        self.refused(run("generate", "--prompt", "x"), 2, "--model")
        self.refused(run("generate", "--model", "x", "--prompt", ""), 2, "--prompt")

    def test_contradictions(self):
        self.refused(run("generate", "--model", "x", "--greedy", "--temperature", "0.5"), 2, "--greedy")
        self.refused(run("train", "--input-file", "x", "--out", "y", "--learning-rate", "1e-3", "--min-learning-rate", "1"),
                     2, "--min-learning-rate")

    def test_underscores(self):
        result = run("train", "--input_file", self.text, "--out", self.dir / "m", "--max_iters=2", "--batch_size", 1,
                     "--eval_iters", 1, "--warmup_iters", 1)
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        self.assertEqual(self.newest(self.dir / "m").name, "step-000002")


class BadFiles(Case):
    def refuse_text(self, content, *needles):
        path = self.dir / "bad.txt"
        path.write_bytes(content)
        self.refused(run("train", "--input-file", path, "--out", self.dir / "m"), 1, str(path), *needles)
        self.assertFalse((self.dir / "m").exists())

    def test_texts(self):
        self.refused(run("train", "--input-file", self.dir / "none.txt", "--out", self.dir / "m"), 1, "no such file")
        self.refused(run("train", "--input-file", self.dir, "--out", self.dir / "m"), 1, "is a directory")
        self.refuse_text(b"", "is empty")
        self.refuse_text(b"one line\n", "too short")
        self.refuse_text(b"x" * 300, "too short", "10 %")
        self.refuse_text(b"a" * 5000 + b"\xff" + b"a" * 5000, "not UTF-8", "offset 5000")
        self.refuse_text(b"a" * 5000 + b"\xe2\x82", "not UTF-8", "offset 5000")
        self.refuse_text(b"\xc0\xaf" * 5000, "not UTF-8", "offset 0")

    def test_text_with_controls_in_its_name_does_not_reach_the_terminal(self):
        result = run("train", "--input-file", "no\x1b]0;x\x07such", "--out", "m")
        self.assertNotIn(b"\x1b", result.stderr)
        self.assertIn(b"\\x1b", result.stderr)

    def test_out_that_cannot_be(self):
        (self.dir / "file").write_text("x")
        self.refused(self.train(self.dir / "file", check=False), 1, "is a file")
        self.refused(self.train(self.dir / "file" / "m", check=False), 1, "file")

    def test_model_directories(self):
        self.refused(run("generate", "--model", self.dir / "none"), 1, "no model directory")
        self.refused(run("generate", "--model", self.text), 1, "is a file")
        self.refused(run("generate", "--model", self.dir), 1, "manifest.json is missing")

        out = self.dir / "m"
        self.train(out, "--max-iters", 2)
        good = self.newest(out)
        for index, (file, damage, needle) in enumerate([
                ("manifest.json", None, "manifest.json is missing"),
                ("manifest.json", b"{", "not JSON"),
                ("config.json", None, "missing"),
                ("config.json", b"{}", "bytes instead of"),
                ("tokenizer.json", None, "missing"),
                ("model.safetensors", None, "missing"),
                ("model.safetensors", "truncate", "bytes instead of"),
                ("model.safetensors", "flip", "checksum"),
                ("tokenizer.json", "flip", "checksum"),
        ]):
            bad = self.dir / f"bad{index}"
            shutil.copytree(good, bad)
            path = bad / file
            if damage is None:
                path.unlink()
            elif damage == "truncate":
                os.truncate(path, path.stat().st_size // 2)
            elif damage == "flip":
                content = bytearray(path.read_bytes())
                content[-9] ^= 1
                path.write_bytes(content)
            else:
                path.write_bytes(damage)
            self.refused(run("generate", "--model", bad), 1, str(bad), file, needle)

    def test_model_of_another_architecture(self):
        out = self.dir / "m"
        self.train(out, "--max-iters", 2)
        step = self.newest(out)
        config = json.loads((step / "config.json").read_text())
        config["n_layer"] += 1
        config["tinygpt"]["architecture"]["layers"] += 1
        config["tinygpt"]["name"] = "other"
        rewrite(step, "config.json", json.dumps(config).encode())
        layers = config["n_layer"]
        for command in (run("generate", "--model", out), self.train(out, "--resume", "--max-iters", 4, check=False)):
            self.refused(command, 1, "another architecture", f"layers {layers}, here {layers - 1}",
                         "tinygpt generate --model", "tinygpt_add_preset(other TYPE")

    def test_prompt_with_unseen_characters(self):
        out = self.dir / "m"
        self.train(out, "--max-iters", 2)
        self.refused(run("generate", "--model", out, "--prompt", "the €"), 1, "'€'", "position 5")
        self.refused(run("generate", "--model", out, "--prompt", "the Q"), 1, "'Q'", "position 5")


class Training(Case):
    def test_train_writes_checkpoints_metrics_and_the_lines_that_people_parse(self):
        out = self.dir / "m"
        result = self.train(out, "--max-iters", 6, "--eval-interval", 2)
        text = result.stdout.decode()
        for step in (0, 2, 4, 6):
            self.assertRegex(text, rf"(?m)^step {step}: train loss \d\.\d{{4}}, val loss \d\.\d{{4}}$")
        self.assertNotIn("\x1b", text)
        self.assertNotIn("\r", text)
        self.assertEqual([p.name for p in sorted(out.iterdir())], ["metrics.jsonl", "step-000004", "step-000006"])
        metrics = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        self.assertEqual([m["step"] for m in metrics if "loss" in m], [1, 2, 3, 4, 5, 6])
        self.assertEqual([m["step"] for m in metrics if "val_loss" in m], [0, 2, 4, 6])
        weights = (out / "step-000006" / "model.safetensors").read_bytes()
        header = json.loads(weights[8:8 + struct.unpack("<Q", weights[:8])[0]])
        self.assertEqual(header["__metadata__"], {"format": "pt"})
        # GPT-2's layout has every bias, of which this model has none.
        facts = json.loads(run("info", "--json").stdout)
        zeros = {n: t for n, t in header.items() if re.search(r"(c_attn|c_proj|c_fc)\.bias$", n)}
        parameters = facts["parameters"] + sum(t["shape"][0] for t in zeros.values())
        self.assertEqual(len(zeros), 4 * facts["architecture"]["layers"])
        self.assertEqual(max(t["data_offsets"][1] for n, t in header.items() if n != "__metadata__"), 4 * parameters)

    def test_a_directory_with_a_model_is_not_overwritten(self):
        out = self.dir / "m"
        self.train(out, "--max-iters", 2)
        before = (self.newest(out) / "model.safetensors").read_bytes()
        self.refused(self.train(out, "--max-iters", 2, check=False), 1, "already holds a model", "--resume")
        self.refused(self.train(self.newest(out), "--max-iters", 2, check=False), 1, "already holds a model")
        self.assertEqual(before, (self.newest(out) / "model.safetensors").read_bytes())

    def test_resume_needs_a_checkpoint_and_the_same_text(self):
        self.refused(self.train(self.dir / "none", "--resume", check=False), 1, "no checkpoint")
        out = self.dir / "m"
        self.train(out, "--max-iters", 2)
        other = write_text(self.dir / "other.txt", lines=500)
        self.refused(run("train", "--input-file", other, "--out", out, "--resume", "--max-iters", 4), 1, "another text")
        self.assertEqual(run("train", "--input-file", self.text, "--out", out, "--resume").returncode, 0)

    def test_accumulated_steps_resume_bit_exactly_and_are_kept(self):
        options = ["--max-iters", 6, "--eval-interval", 3, "--dropout", 0.1, "--grad-accum-steps", 3]
        whole, parts = self.dir / "whole", self.dir / "parts"
        self.train(whole, *options)
        self.train(parts, *options)
        shutil.rmtree(parts / "step-000006")
        self.assertEqual(run("train", "--input-file", self.text, "--out", parts, "--resume").returncode, 0)
        for file in ("model.safetensors", "optimizer.safetensors", "trainer_state.json"):
            self.assertTrue(filecmp.cmp(whole / "step-000006" / file, parts / "step-000006" / file, shallow=False), file)
        state = json.loads((whole / "step-000006" / "trainer_state.json").read_text())
        self.assertEqual(state["options"]["grad_accum_steps"], 3)
        plain = self.dir / "plain"
        self.train(plain, *options[:-2])
        self.assertFalse(filecmp.cmp(whole / "step-000006" / "model.safetensors", plain / "step-000006" /
                                     "model.safetensors", shallow=False))

    def test_a_checkpoint_from_before_accumulation_goes_on(self):
        out = self.dir / "m"
        self.train(out, "--max-iters", 2)
        step = self.newest(out)
        state = json.loads((step / "trainer_state.json").read_text())
        del state["options"]["grad_accum_steps"]
        rewrite(step, "trainer_state.json", json.dumps(state).encode())
        self.train(out, "--resume", "--max-iters", 3)

    def test_resume_is_bit_exact(self):
        options = ["--max-iters", 12, "--eval-interval", 3, "--dropout", 0.1, "--seed", 5]
        whole, parts = self.dir / "whole", self.dir / "parts"
        self.train(whole, *options)
        self.train(parts, *options)
        # As if the run had died after step 9 and a little more: its newest checkpoint goes, the metrics stay.
        shutil.rmtree(parts / "step-000012")
        with open(parts / "metrics.jsonl", "a") as metrics:
            metrics.write('{"step":13,"lo')
        result = run("train", "--input-file", self.text, "--out", parts, "--resume")
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        for file in ("model.safetensors", "optimizer.safetensors", "trainer_state.json", "tokenizer.json"):
            self.assertTrue(filecmp.cmp(whole / "step-000012" / file, parts / "step-000012" / file, shallow=False), file)

        def without_rate(path):
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            return [{k: v for k, v in line.items() if k not in ("tokens_per_second", "time", "elapsed")} for line in lines]

        self.assertEqual(without_rate(whole / "metrics.jsonl"), without_rate(parts / "metrics.jsonl"))

    def test_a_run_can_be_extended(self):
        out = self.dir / "m"
        self.train(out, "--max-iters", 4)
        result = run("train", "--input-file", self.text, "--out", out, "--resume", "--max-iters", 6)
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        self.assertEqual(self.newest(out).name, "step-000006")
        state = json.loads((self.newest(out) / "trainer_state.json").read_text())
        self.assertEqual((state["iteration"], state["options"]["max_iters"], state["options"]["batch_size"]), (6, 6, 1))

    def test_recomputation_takes_less_memory_and_gives_the_same_model(self):
        weights, activations = [], []
        for recompute in ("none", "activations", "blocks"):
            out = self.dir / recompute
            result = self.train(out, "--max-iters", 3, "--dropout", 0.1, "--recompute", recompute)
            weights.append((self.newest(out) / "model.safetensors").read_bytes())
            activations.append(float(re.search(r"activations ([\d.]+) MiB", result.stdout.decode())[1]))
            options = json.loads((self.newest(out) / "trainer_state.json").read_text())["options"]
            self.assertEqual(options["recompute"], recompute)
        self.assertEqual(weights[0], weights[1])
        self.assertEqual(weights[0], weights[2])
        self.assertGreater(activations[0], 1.3 * activations[1])
        self.assertGreater(activations[1], 1.5 * activations[2])
        # A resumed run recomputes as it did, unless told otherwise.
        self.train(self.dir / "blocks", "--max-iters", 5, "--resume")
        options = json.loads((self.newest(self.dir / "blocks") / "trainer_state.json").read_text())["options"]
        self.assertEqual(options["recompute"], "blocks")
        self.refused(run("train", "--input-file", self.text, "--out", self.dir / "m", "--recompute", "all"), 2,
                     "--recompute must be one of none, activations, blocks, not 'all'")

    def test_the_backend_is_told_with_its_reason(self):
        out = self.dir / "m"
        told = self.train(out, "--max-iters", 1, "--threads", 1).stdout.decode().splitlines()[0]
        self.assertRegex(told, r"^backend: cpu, 1 thread, (bf16|float32) \((there is no NVIDIA driver|.*no GPU.*|.*without CUDA)(; this processor does not multiply bf16)?\)$")
        asked = self.train(out, "--max-iters", 2, "--resume", "--backend", "cpu", "--precision", "float32")
        self.assertRegex(asked.stdout.decode(), r"^backend: cpu, \d+ threads?, float32 \(as asked for(; this.*)?\)")
        written = run("generate", "--model", out, "--max-new-tokens", 5, "--backend", "cpu")
        self.assertEqual(written.returncode, 0, written.stderr)
        new = self.dir / "new"
        self.refused(self.train(new, "--backend", "gpu", check=False), 1, "the gpu backend is not available", "--backend cpu")
        self.refused(run("generate", "--model", out, "--backend", "gpu"), 1, "the gpu backend is not available")
        half = self.train(out, "--max-iters", 3, "--resume", "--backend", "cpu", "--precision", "bf16")
        self.assertRegex(half.stdout.decode(), r"^backend: cpu, \d+ threads?, bf16 \(as asked for")
        self.refused(self.train(new, "--backend", "tpu", check=False), 2, "--backend must be one of gpu, cpu")
        self.refused(self.train(new, "--precision", "fp8", check=False), 2, "--precision must be one of float32, bf16")
        self.assertFalse(new.exists())

    def test_threads_do_not_change_the_result(self):
        weights = []
        for threads in (1, 2):
            out = self.dir / str(threads)
            self.train(out, "--max-iters", 5, "--threads", threads)
            weights.append((self.newest(out) / "model.safetensors").read_bytes())
        self.assertEqual(weights[0], weights[1])

    def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(self):
        out = self.dir / "m"
        self.train(out, "--max-iters", 4, "--eval-interval", 2)
        os.truncate(out / "step-000004" / "optimizer.safetensors", 1000)
        result = run("train", "--input-file", self.text, "--out", out, "--resume")
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        self.assertIn("step-000004/optimizer.safetensors", result.stderr.decode())
        self.assertIn("iterations 3 to 4", result.stdout.decode())
        os.truncate(out / "step-000004" / "model.safetensors", 1000)
        result = run("generate", "--model", out, "--max-new-tokens", 5)
        self.assertEqual(result.returncode, 0)
        self.assertIn("step-000004/model.safetensors", result.stderr.decode())

    def test_non_finite_steps_stop_the_run(self):
        out = self.dir / "m"
        self.train(out, "--max-iters", 2)
        result = self.train(out, "--resume", "--max-iters", 500, "--learning-rate", "1e30", "--grad-clip", 0, "--warmup-iters",
                            0, check=False)
        self.refused(result, 4, "not finite 10 times in a row", "step-000002", "--resume")
        self.assertIn("step skipped", result.stdout.decode())

    def test_two_runs_do_not_share_a_directory(self):
        out = self.dir / "m"
        first = subprocess.Popen([PROGRAM, "train", "--input-file", self.text, "--out", out, *TINY, "--max-iters", "1000000"],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            wait_for(first.stdout, b"step 0: ")
            self.refused(self.train(out, check=False), 1, "in use by another")
        finally:
            first.kill()
            first.communicate()

    def test_more_memory_than_there_is(self):
        result = self.train(self.dir / "m", "--batch-size", 1000000, check=False)
        self.refused(result, 3, "--batch-size 1000000", "is the largest that fits", "--grad-accum-steps")
        self.assertRegex(result.stdout.decode(), r"(?m)^memory to train in \w+ with --batch-size 1000000: [\d.]+ GiB: weights ")
        measure = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], capture_output=True); " \
                  "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        peak = subprocess.run([sys.executable, "-c", measure, PROGRAM, "train", "--input-file", self.text, "--out",
                               self.dir / "m", "--batch-size", "1000000"], capture_output=True, timeout=HANGS)
        self.assertLess(int(peak.stdout), 100_000)  # KiB: refused before anything was allocated
        self.assertFalse((self.dir / "m").exists())
        largest = int(re.search(r"--batch-size (\d+) is the largest", result.stderr.decode())[1])
        self.refused(self.train(self.dir / "m", "--batch-size", 2 * largest, check=False), 3, "is the largest that fits")

    def test_memory_is_told_first_and_true(self):
        corpus = write_text(self.dir / "long.txt", lines=100000)
        for arguments in ([], ["--batch-size", 32], ["--batch-size", 12, "--grad-accum-steps", 2]):
            out = self.dir / "-".join(["m", *map(str, arguments)])
            process = subprocess.Popen([PROGRAM, "train", "--input-file", corpus, "--out", out, "--max-iters", "2",
                                        "--eval-iters", "1", *map(str, arguments)], stdout=subprocess.PIPE)
            text = process.stdout.read().decode()
            process.stdout.close()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            self.assertEqual(process.returncode, 0)
            told = re.search(r"(?m)^memory to train in \w+ with --batch-size \d+: ([\d.]+) ([MG])iB", text)
            predicted = float(told[1]) * {"M": 1 << 20, "G": 1 << 30}[told[2]]
            if not sanitized():  # the 4 MiB that an empty process takes are within the tolerance
                self.assertAlmostEqual(usage.ru_maxrss * 1024 / predicted, 1, delta=0.05)


def sanitized():
    return b"__asan_init" in pathlib.Path(PROGRAM).read_bytes()


class OwnTokenizer(Case):
    """A tokenizer with merges and a token that ends documents, small enough for 256 ids."""
    MERGES = ["t h", "th e", "\u0120 the"]

    def setUp(self):
        super().setUp()
        vocab = {c: i for i, c in enumerate("abcdefghijklmnopqrstuvwxyz\u0120\u010a")}
        for merge in self.MERGES:
            vocab[merge.replace(" ", "")] = len(vocab)
        self.end = vocab["<|endoftext|>"] = len(vocab)
        self.tokenizer = self.dir / "tokenizer"
        self.tokenizer.mkdir()
        (self.tokenizer / "vocab.json").write_text(json.dumps(vocab))
        (self.tokenizer / "merges.txt").write_text("#version: 0.2\n" + "\n".join(self.MERGES) + "\n")

    def test_a_run_goes_on_with_the_tokenizer_that_it_began_with(self):
        whole, parts, other = self.dir / "whole", self.dir / "parts", self.dir / "other"
        first = self.train(whole, "--tokenizer", self.tokenizer, "--max-iters", 4, "--eval-interval", 2)
        self.assertIn("byte-level BPE, 32 tokens, GPT-2's pattern", first.stdout.decode())
        self.train(parts, "--tokenizer", self.tokenizer, "--max-iters", 4, "--eval-interval", 2)
        shutil.rmtree(parts / "step-000004")
        self.train(parts, "--resume", "--max-iters", 4)  # without --tokenizer
        for file in ("model.safetensors", "tokenizer.json"):
            self.assertTrue(filecmp.cmp(whole / "step-000004" / file, parts / "step-000004" / file, shallow=False), file)
        model = json.loads((whole / "step-000004/config.json").read_text())
        self.assertRegex(model["tinygpt"]["tokenizer_hash"], r"\A[0-9a-f]{16}\Z")
        self.train(parts, "--resume", "--tokenizer", whole, "--max-iters", 5)  # the same one, from the other model
        (self.tokenizer / "merges.txt").write_text("#version: 0.2\nt h\nth e\n")
        self.refused(self.train(parts, "--resume", "--tokenizer", self.tokenizer, "--max-iters", 6, check=False), 1,
                     "another tokenizer than the model's", "leave --tokenizer out")
        self.refused(self.train(other, "--tokenizer", self.dir / "none", check=False), 1, "there is no tokenizer")

    def test_text_with_a_character_that_the_tokenizer_lacks(self):
        text = self.dir / "upper.txt"
        text.write_text("the sea " * 400 + "The End " * 100)
        self.refused(run("train", "--input-file", text, "--tokenizer", self.tokenizer, "--out", self.dir / "m"), 1, "'T' at position")

    def test_generation_ends_where_the_document_does(self):
        # After "b" the document ends, always.
        data = self.dir / "data"
        data.mkdir()
        for part, times in (("train", 4000), ("val", 400)):
            (data / f"{part}.bin").write_bytes(struct.pack("<3H", 0, 1, self.end) * times)
        out = self.dir / "m"
        result = run("train", "--dataset-dir", data, "--tokenizer", self.tokenizer, "--out", out, "--batch-size", 4, "--max-iters", 40,
                     "--eval-iters", 1, "--warmup-iters", 2)
        self.assertEqual(result.returncode, 0, result.stderr)
        arguments = ["generate", "--model", out, "--greedy", "--max-new-tokens", 60]
        self.assertEqual(run(*arguments, "--prompt", "a").stdout, b"ab\n")
        # Without a prompt a document begins after the end of another, which is not shown.
        self.assertEqual(run(*arguments).stdout, b"ab\n")
        self.refused(run(*arguments, "--prompt", "a?"), 1, "'?' at position 2")


class Interruptions(Case):
    def start(self, out, *arguments):
        return subprocess.Popen([PROGRAM, "train", "--input-file", self.text, "--out", out, *TINY, *map(str, arguments)],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.dir)

    def test_ctrl_c_saves_and_the_printed_command_goes_on_bit_exactly(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            out = self.dir / f"cut {number}"
            process = self.start(out, "--max-iters", 150, "--eval-interval", 50)
            seen = wait_for(process.stdout, b"step 20/")
            process.send_signal(number)
            stdout, stderr = process.communicate(timeout=HANGS)
            self.assertEqual(process.returncode, code, stderr)
            text = (seen + stdout).decode()
            self.assertIn("go on with", text)
            state = json.loads((self.newest(out) / "trainer_state.json").read_text())
            self.assertLess(state["iteration"], 150)
            command = text.rstrip().splitlines()[-1].strip()
            self.assertEqual(subprocess.run(command, shell=True, capture_output=True, timeout=HANGS, cwd=self.dir).returncode, 0)
        whole = self.dir / "whole"
        self.train(whole, "--max-iters", 150, "--eval-interval", 50)
        for number in (signal.SIGINT, signal.SIGTERM):
            self.assertTrue(filecmp.cmp(whole / "step-000150" / "model.safetensors",
                                        self.dir / f"cut {number}" / "step-000150" / "model.safetensors", shallow=False))

    def test_kill_leaves_whole_checkpoints_and_no_litter_after_the_next_start(self):
        out = self.dir / "m"
        rng = random.Random(3)
        first = None  # seconds to the first checkpoint, which the machine decides
        for _ in range(15):
            resume = ["--resume"] if list(out.glob("step-*")) else []
            process = self.start(out, *resume, "--max-iters", 1000000, "--checkpoint-interval", 1, "--eval-interval", 1000000)
            wait_for(process.stdout, b"checkpoints in")
            if first:
                time.sleep(rng.uniform(0.0, 2 * first))
            else:
                began = time.monotonic()
                while not list(out.glob("step-*")):
                    time.sleep(0.001)
                    self.assertLess(time.monotonic() - began, HANGS)
                first = max(0.02, time.monotonic() - began)
            process.kill()
            _, stderr = process.communicate()
            self.assertEqual(stderr, b"")
        last = json.loads((self.newest(out) / "trainer_state.json").read_text())["iteration"]
        result = run("train", "--input-file", self.text, "--out", out, "--resume", "--max-iters", last + 2)
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.assertEqual([p.name for p in out.iterdir() if p.name.startswith(".")], [])
        steps = [m["step"] for m in map(json.loads, (out / "metrics.jsonl").read_text().splitlines()) if "loss" in m]
        self.assertEqual(steps, list(range(1, last + 3)))

    def test_progress_bar_on_a_terminal(self):
        leader, follower = pty.openpty()
        process = subprocess.Popen([PROGRAM, "train", "--input-file", self.text, "--out", self.dir / "m", *TINY, "--max-iters",
                                    "100"], stdout=follower, stderr=follower, env={**os.environ, "TERM": "xterm"})
        os.close(follower)
        seen = b""
        try:
            while piece := os.read(leader, 4096):
                seen += piece
        except OSError:  # the terminal's other end is closed
            pass
        self.assertEqual(process.wait(HANGS), 0)
        os.close(leader)
        self.assertRegex(seen.decode(), r"\rstep \d+/100 \[#*-*\] loss \d\.\d{4}  val \d\.\d{4}  [\d,]+ tok/s  eta \d+s")
        self.assertIn("step 100: train loss", seen.decode())

    def test_a_full_disk(self):
        out = self.dir / "m"
        self.train(out, "--max-iters", 2)
        before = (self.newest(out) / "model.safetensors").read_bytes()

        def small_files():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

        result = self.train(out, "--resume", "--max-iters", 4, check=False, preexec_fn=small_files)
        self.refused(result, 1, "cannot write", "ulimit -f", "step-000002 is whole")
        self.assertEqual([p.name for p in out.glob("step-*")], ["step-000002"])
        self.assertEqual(before, (self.newest(out) / "model.safetensors").read_bytes())
        self.assertEqual(run("generate", "--model", out, "--max-new-tokens", 3).returncode, 0)

    def test_a_disk_without_room(self):
        disk = self.dir / "disk"
        disk.mkdir()
        if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40k", "none", disk],
                                               capture_output=True).returncode != 0:
            self.skipTest("mounting a small filesystem needs root")
        try:
            result = self.train(disk / "m", "--max-iters", 2, check=False)
            self.refused(result, 5, "the disk is full", "are needed", "free some space")
        finally:
            subprocess.run(["umount", disk], check=True)


class Generating(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = cls.base / "model"
        result = run("train", "--input-file", cls.text, "--out", cls.model, "--batch-size", 4, "--max-iters", 30, "--eval-iters",
                     1, "--warmup-iters", 5)
        assert result.returncode == 0, result.stderr

    def write(self, *arguments):
        result = run("generate", "--model", self.model, *arguments)
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        return result.stdout.decode()

    def test_the_seed_decides(self):
        arguments = ["--prompt", "the ", "--max-new-tokens", 60]
        first = self.write(*arguments, "--seed", 1)
        self.assertEqual(first, self.write(*arguments, "--seed", 1))
        self.assertEqual(first, self.write(*arguments, "--seed", 1, "--threads", 1))
        self.assertNotEqual(first, self.write(*arguments, "--seed", 2))
        self.assertTrue(first.startswith("the "))
        self.assertEqual(len(first), 4 + 60 + 1)

    def test_greedy_is_temperature_zero_and_top_k_one(self):
        arguments = ["--prompt", "the ", "--max-new-tokens", 40]
        greedy = self.write(*arguments, "--greedy")
        self.assertEqual(greedy, self.write(*arguments, "--temperature", 0))
        self.assertEqual(greedy, self.write(*arguments, "--top-k", 1, "--seed", 99))
        self.assertEqual(greedy, self.write(*arguments, "--top_p", 0.000001))

    def test_samples_are_separated_and_have_seeds_in_a_row(self):
        arguments = ["--prompt", "a", "--max-new-tokens", 20]
        both = self.write(*arguments, "--num-samples", 2, "--seed", 4)
        self.assertEqual(both, self.write(*arguments, "--seed", 4) + "--------\n" + self.write(*arguments, "--seed", 5))

    def test_prompts_of_a_file_are_gone_on_from_in_order_however_many_at_once(self):
        prompts = self.dir / "prompts.txt"
        prompts.write_bytes(b"the \r\n\na\nwhich is a longer one\nb")
        arguments = ["--prompts", prompts, "--max-new-tokens", 30, "--num-samples", 2, "--seed", 4]
        each = [self.write("--prompt", prompt, "--max-new-tokens", 30, "--seed", 4 + 2 * i + sample)
                for i, prompt in enumerate(["the ", "a", "which is a longer one", "b"]) for sample in range(2)]
        for batch in 1, 3, 8, 100:
            self.assertEqual(self.write(*arguments, "--batch-size", batch), "--------\n".join(each))
        prompts.write_text("\n\n")
        self.refused(run("generate", "--model", self.model, "--prompts", prompts), 1, "holds no prompt")
        self.refused(run("generate", "--model", self.model, "--prompts", self.dir / "none"), 1, "none")
        prompts.write_bytes(b"\xef\xbb\xbfthe ")  # a byte-order mark is no part of a prompt
        self.assertEqual(self.write("--prompts", prompts, "--max-new-tokens", 30),
                         self.write("--prompt", "the ", "--max-new-tokens", 30))
        self.refused(run("generate", "--model", self.model, "--prompts", prompts, "--prompt", "a"), 2, "--prompts")

    def test_beyond_the_context(self):
        result = run("generate", "--model", self.model, "--prompt", "the " * 100, "--max-new-tokens", 300)
        self.assertEqual((result.returncode, len(result.stdout)), (0, 400 + 300 + 1))
        self.assertIn("400 tokens, and the model's context is 128: only the last 128 of them are read", result.stderr.decode())
        self.assertEqual(result.stderr.count(b"\n"), 1)

    def test_one_checkpoint_can_be_named(self):
        self.assertEqual(self.write("--max-new-tokens", 9),
                         run("generate", "--model", self.newest(self.model), "--max-new-tokens", 9).stdout.decode())

    def test_a_text_without_newlines(self):
        text = self.dir / "line.txt"
        text.write_text("abc def " * 500)
        out = self.dir / "m"
        self.assertEqual(run("train", "--input-file", text, "--out", out, *TINY, "--max-iters", 2).returncode, 0)
        self.assertEqual(run("generate", "--model", out, "--max-new-tokens", 3).returncode, 0)
        self.refused(run("generate", "--model", out, "--prompt", "a\n"), 1, "'\\n'", "position 2")

    def test_output_that_cannot_be_written(self):
        with open("/dev/full", "w") as full:
            result = subprocess.run([PROGRAM, "generate", "--model", self.model], stdout=full, stderr=subprocess.PIPE, timeout=HANGS)
        self.refused(result, 1, "standard output", "disk is full")

    def test_characters_of_several_bytes_come_whole(self):
        text = self.dir / "greek.txt"
        text.write_text("αβγδ εζηθ € 𝄞 " * 400)
        out = self.dir / "m"
        result = run("train", "--input-file", text, "--out", out, *TINY, "--max-iters", 10)
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        process = subprocess.Popen([PROGRAM, "generate", "--model", out, "--prompt", "α€", "--max-new-tokens", "200"],
                                   stdout=subprocess.PIPE)
        while piece := os.read(process.stdout.fileno(), 1 << 16):  # all that the pipe holds, so no write is cut
            piece.decode("utf-8")
        process.stdout.close()
        self.assertEqual(process.wait(HANGS), 0)


if __name__ == "__main__":
    main(__doc__)
