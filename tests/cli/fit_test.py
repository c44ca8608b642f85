#!/usr/bin/env python3
"""Does `tinygpt fit` advise what a person with that card and that text should do?

    fit_test.py TOOL PROGRAM [unittest arguments...]

TOOL is the built tinygpt, PROGRAM a model's, tinygpt-tiny_char.
"""
import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import unittest

TOOL, PROGRAM = (pathlib.Path(sys.argv.pop(1)).resolve() for _ in range(2)) if len(sys.argv) > 2 else (None, None)
os.environ["TINYGPT_NVML"] = ""
BYTES_PER_TOKEN = 4


def run(*arguments, **options):
    return subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True, timeout=3600, **options)


class Case(unittest.TestCase):
    def fit(self, *arguments):
        result = run("fit", *arguments, "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def refused(self, arguments, *needles, code=2):
        result = run(*arguments)
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        for needle in needles:
            self.assertIn(needle, result.stderr)
        return result.stdout


class Cards(Case):
    def test_a_card_is_named_as_people_write_it(self):
        for text, gib in (("RTX 4070 Ti", 12), ("4070ti", 12), ("NVIDIA GeForce RTX 4090", 24), ("rtx 3060", 12),
                          ("RTX 3060 8GB", 8), ("H100", 80), ("A100 40GB", 40), ("RTX 5060 Ti 8 GB", 8), ("4060 laptop", 8),
                          ("RTX 2080 Ti", 11)):
            for report in (self.fit("--gpu", text), self.fit(text)):
                self.assertEqual((report["backend"], report["memory_bytes"]), ("gpu", gib << 30), text)
                self.assertTrue(report["rate"]["assumed"])
        self.assertEqual(self.fit("--gpu", "4090", "--memory", "8GiB")["memory_bytes"], 8 << 30)

    def test_the_rate_is_a_part_of_the_stated_peak_and_called_assumed(self):
        ti, plain = self.fit("4070 Ti"), self.fit("4070")
        self.assertAlmostEqual(ti["rate"]["flops_per_second"] / 80.2e12, 0.30, delta=0.05)
        self.assertGreater(ti["rate"]["flops_per_second"], plain["rate"]["flops_per_second"])
        text = run("fit", "4070 Ti").stdout
        for words in ("time (assumed)", "is an estimate", "assumed: ", "at the assumed rate"):
            self.assertIn(words, text)

    def test_a_card_without_bf16_trains_in_float32(self):
        self.assertEqual(self.fit("RTX 2070")["precision"], "float32")
        self.assertEqual(self.fit("RTX 3070")["precision"], "bf16")
        self.refused(["fit", "RTX 2070", "--precision", "bf16"], "an RTX 2070 has no bf16", "--precision float32")
        self.refused(["fit", "T4", "--precision", "bf16"], "a T4 has no bf16")

    def test_what_is_no_card_gets_the_nearest(self):
        self.refused(["fit", "--gpu", "RTX 4070 Tie"], "did you mean RTX 4070 Ti")
        self.refused(["fit", "4071"], "did you mean")
        self.refused(["fit", "--gpu", "toaster oven 3000 deluxe"], "no known graphics card", "--memory")
        self.refused(["fit", "\x1b[31mred"], "no known graphics card")
        self.refused(["fit", "RTX 3060 10GB"], "12 or 8 GiB, not 10")
        self.refused(["fit", "4090", "--backend", "cpu"], "contradict")
        self.refused(["fit", "4090", "--gpu", "4090"], "contradict")
        self.refused(["fit", "4090", "5090"], "unexpected argument")


class Advice(Case):
    def test_text_is_compared_in_bytes(self):
        report = self.fit("4070 Ti", "--data-size", "30MB")
        vocabularies = {p["name"]: p["config"]["vocab_size"] for p in json.loads(run("presets", "--json").stdout)}
        for row in report["presets"]:
            self.assertEqual(row["text_bytes_wanted"], 20 * BYTES_PER_TOKEN * row["parameters"])
            self.assertEqual(row["tokens_wanted"] * (1 if vocabularies[row["name"]] <= 256 else 4), row["text_bytes_wanted"])

    def test_a_short_text_adapts_a_trained_model(self):
        for data in (["--data-size", "30MB"], ["--data-size", "1MB"], ["--tokens", "1M"], ["--data-size", "1GB"]):
            for machine in (["4070 Ti"], ["--memory", "12GB", "--backend", "gpu"], ["3060"]):
                advice = self.fit(*machine, *data)["recommendation"]
                self.assertEqual((advice["name"], advice["adapt"]), ("gpt2", True), (machine, data))
                self.assertIn("--init-from-model", advice["commands"][-1])
        text = run("fit", "4070 Ti", "--data-size", "30MB").stdout
        self.assertIn("Adapt gpt2", text)
        self.assertIn("tinygpt gpt2 train --init-from-model", text)

    def test_the_command_is_one_that_train_takes(self):
        help_text = subprocess.run([PROGRAM, "train", "--help"], capture_output=True, text=True).stdout
        words = shlex.split(self.fit("4070 Ti", "--data-size", "30MB")["recommendation"]["commands"][-1])
        flags = dict(zip(words[3::2], words[4::2]))
        for flag in flags:
            self.assertIn(flag + " ", help_text)
        tokens = 1024 * int(flags["--batch-size"]) * int(flags["--grad-accum-steps"]) * int(flags["--max-iters"])
        self.assertAlmostEqual(tokens / (3 * 30e6 / BYTES_PER_TOKEN), 1, delta=0.05)
        self.assertLess(int(flags["--warmup-iters"]), int(flags["--max-iters"]))

    def test_much_text_trains_from_nothing(self):
        advice = self.fit("4090", "--data-size", "100GB", "--within", "30d")["recommendation"]
        self.assertFalse(advice["adapt"])
        self.assertEqual(advice["commands"], [])
        rows = {r["name"]: r for r in self.fit("4090", "--data-size", "100GB", "--within", "30d")["presets"]}
        self.assertLessEqual(rows[advice["name"]]["text_bytes_wanted"], 4 * 100e9)
        self.assertLessEqual(rows[advice["name"]]["seconds"], 30 * 86400)

    def test_a_slow_machine_is_not_told_to_adapt_for_weeks(self):
        advice = self.fit("--backend", "cpu", "--memory", "8GiB", "--data-size", "1GB", "--within", "1h")["recommendation"]
        self.assertFalse(advice["adapt"])

    def test_nothing_that_fits_fails(self):
        table = self.refused(["fit", "--memory", "1MiB"], "no preset fits", code=1)
        self.assertIn("does not fit", table)
        result = run("fit", "--memory", "1MiB", "--json")
        self.assertEqual(result.returncode, 1)
        self.assertIsNone(json.loads(result.stdout)["recommendation"]["name"])

    def test_sizes_that_lost_their_unit(self):
        self.refused(["fit", "--memory", "12"], "12 bytes: write 12GiB")
        self.refused(["fit", "--memory", "12.5"], "12.5 bytes: write 12.5GiB")
        self.refused(["fit", "--memory", "12GiB", "--data-size", "30"], "30 bytes: write 30MB")
        self.assertEqual(self.fit("--memory", 8 << 30)["memory_bytes"], 8 << 30)

    def test_a_context_that_32_bits_cannot_count(self):
        """Plans of enormous contexts fit nothing, or really take what is said: twice the context takes more."""
        for context in (5_000_000, 10_000_000):
            self.refused(["fit", "--context", context, "--memory", "8GiB"], "no preset fits", code=1)
        small, large = ({r["name"]: r for r in self.fit("--context", context, "--memory", "900000TiB")["presets"]}
                        for context in (5_000_000, 10_000_000))
        for name, row in small.items():
            self.assertGreater(row["train_bytes"], 5_000_000 * 100)
            self.assertGreater(large[name]["train_bytes"], row["train_bytes"])


class Rates(Case):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="tinygpt-fit-")
        cls.dir = pathlib.Path(cls.scratch.name)
        text = cls.dir / "text.txt"
        text.write_text("the quick brown fox jumps over a lazy dog\n" * 400)
        for name in ("run", "other"):
            subprocess.run([PROGRAM, "train", "--input-file", text, "--out", cls.dir / name, "--batch-size", "1", "--eval-iters", "1",
                            "--max-iters", "4", "--warmup-iters", "1", "--checkpoint-interval", "2"],
                           check=True, capture_output=True)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def measured(self, path=None):
        path = path or self.dir / "run"
        lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
        rates = sorted(line["tokens_per_second"] for line in lines if "tokens_per_second" in line)
        return rates[len(rates) // 2]

    def rate_of(self, report, name):
        return next(r for r in report["presets"] if r["name"] == name)["tokens_per_second"]

    def test_the_rate_of_a_real_run(self):
        for path in (self.dir / "run", self.dir / "run" / "metrics.jsonl"):
            report = self.fit("--memory", "8GiB", "--throughput-of", path)
            self.assertFalse(report["rate"]["assumed"])
            self.assertAlmostEqual(self.rate_of(report, "tiny_char") / self.measured(), 1, places=6)
            self.assertLess(self.rate_of(report, "gpt2"), self.measured() / 10)
        result = run("fit", "--memory", "8GiB", "--throughput-of", "metrics.jsonl", cwd=self.dir / "run")
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_a_damaged_checkpoint_is_passed_over(self):
        run_directory = self.dir / "other"
        newest = max(run_directory.glob("step-*"))
        config = newest / "config.json"
        content = config.read_bytes()
        config.write_bytes(content[: len(content) // 2])
        report = self.fit("--memory", "8GiB", "--throughput-of", run_directory)
        self.assertAlmostEqual(self.rate_of(report, "tiny_char") / self.measured(run_directory), 1, places=6)

    def test_a_rate_without_its_model_is_refused(self):
        self.refused(["fit", "--tokens-per-second", "100000"], "--measured-on")
        alone = self.dir / "metrics.jsonl"
        alone.write_bytes((self.dir / "run" / "metrics.jsonl").read_bytes())
        self.refused(["fit", "--memory", "8GiB", "--throughput-of", alone], "no checkpoint", "--measured-on")
        report = self.fit("--memory", "8GiB", "--throughput-of", alone, "--measured-on", "tiny_char")
        self.assertAlmostEqual(self.rate_of(report, "tiny_char") / self.measured(), 1, places=6)
        self.refused(["fit", "--memory", "8GiB", "--measured-on", "tiny"], "give both")


if __name__ == "__main__":
    if PROGRAM is None:
        sys.exit(__doc__)
    unittest.main()
