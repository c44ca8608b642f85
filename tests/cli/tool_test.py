#!/usr/bin/env python3
"""Drives the program tinygpt as its user does: every command, good and bad input, and the round trip of every preset.

    tool_test.py PROGRAM FAKE_NVML [unittest arguments...]

PROGRAM is the built tinygpt, FAKE_NVML the library of tests/support/fake_nvml.cpp. Without it, tests have no graphics card,
whatever the machine has.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM, FAKE_NVML = (pathlib.Path(sys.argv.pop(1)).resolve() for _ in range(2)) if len(sys.argv) > 2 else (None, None)
HANGS = 3600  # seconds, against what never ends: no machine on which it works needs as long
os.environ["TINYGPT_NVML"] = ""
CARDS = {**os.environ, "TINYGPT_NVML": str(FAKE_NVML)}  # of 12 and 24 GiB
GOOD = {"batch_size": 16, "block_size": 512, "vocab_size": 50304, "n_embd": 512, "n_head": 8, "n_layer": 8,
        "dropout": 0.1, "bias": False}
FORMULA_COUNTS = {"tiny": 11455872, "tiny_char": 1846656, "350M_1024": 354650112, "gpt2": 124439808,
                  "factory_base": 109828608, "modern_130M_wide": 165677568, "consumer_3B": 2742827520}


def has_bf16():
    """Does this processor multiply bf16?"""
    try:
        return "avx512_bf16" in pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def run(*arguments, **options):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=HANGS, **options)


def best_time(*arguments):
    """Seconds, of the best of five runs: what else the machine does is not counted."""
    times = []
    for _ in range(5):
        begun = time.monotonic()
        run(*arguments)
        times.append(time.monotonic() - begun)
    return min(times)


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="tinygpt-tool-")
        self.addCleanup(directory.cleanup)
        self.dir = pathlib.Path(directory.name)

    def good(self, *arguments, **options):
        result = run(*arguments, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def json(self, *arguments, **options):
        return json.loads(self.good(*arguments, "--json", **options))

    def refused(self, code, arguments, *needles, **options):
        """One sentence on standard error, with the right exit code."""
        result = run(*arguments, **options)
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertTrue(result.stderr.startswith("tinygpt: "), result.stderr)
        for needle in needles:
            self.assertIn(needle, result.stderr)
        return result.stdout

    def config(self, text=None, name="my.json", **changes):
        path = self.dir / name
        path.write_text(text if text is not None else json.dumps({**GOOD, **changes}, indent=2))
        return path


class HelpAndUsage(Case):
    def test_help_everywhere(self):
        self.assertIn("presets", self.good("--help"))
        self.assertRegex(self.good("--version"), r"\Atinygpt \d+\.\d+\.\d+\n\Z")
        for command in ("presets", "params", "fit", "validate", "new", "tokenizer encode", "tokenizer info"):
            self.assertIn("--json", self.good(*command.split(), "--help"))

    def test_wrong_command_lines_are_one_sentence_and_code_2(self):
        self.refused(2, [], "a command is missing")
        self.refused(2, ["prams"], "did you mean params?")
        self.refused(2, ["fit", "--memry", "8GiB"], "did you mean --memory?")
        self.refused(2, ["fit", "--memory"], "--memory")
        self.refused(2, ["validate"], "validate needs")
        self.refused(2, ["new"], "new needs")
        self.refused(2, ["params"], "params needs")
        self.refused(2, ["../../bin/ls"], "no command and no preset")
        self.refused(2, ["tiny\nchar"], "no command and no preset")

    def test_every_command_answers_at_once(self):
        config = self.config()
        start = best_time("--version")
        for arguments in (["presets", "--json"], ["presets"], ["fit"], ["params", "--preset", "consumer_3B"],
                          ["validate", config], ["new", config], ["nonsense"]):
            self.assertLess(best_time(*arguments), 20 * start, arguments)  # of which most is the start of any program


class Presets(Case):
    def test_label_stands_beside_truth_for_all(self):
        presets = {p["name"]: p for p in self.json("presets")}
        self.assertGreaterEqual(len(presets), 42)
        for name, count in FORMULA_COUNTS.items():
            self.assertEqual(presets[name]["parameters"], count, name)
        self.assertEqual(presets["tiny"]["label"], "~11M")
        text = self.good("presets", "--all")
        for name, preset in presets.items():
            self.assertRegex(text, rf"(?m)^  {name} .*{preset['parameters']:,} .*{re.escape(preset['label']) or '-'}$")

    def test_by_default_the_list_is_short_and_by_size(self):
        lines = re.findall(r"(?m)^  (\w+) +([\d,]+) ", self.good("presets"))
        self.assertEqual(len(lines), 8)
        counts = [int(count.replace(",", "")) for _, count in lines]
        self.assertEqual(counts, sorted(counts))
        for words in ("float32 / bf16", "--all"):
            self.assertIn(words, self.good("presets"))
        self.refused(2, ["presets", "tiny", "--all"], "contradict")

    def test_one_family_and_one_preset(self):
        names = [p["name"] for p in self.json("presets", "--family", "gpt2")]
        self.assertEqual(names, ["gpt2", "gpt2_medium", "gpt2_large", "gpt2_xl"])
        text = self.good("presets", "modern_180M")
        self.assertIn("226,546,432", text)
        self.assertIn("q_norm.weight", text)
        one = self.json("presets", "tiny")
        self.assertEqual(sum(t["parameters"] for t in one["tensors"]), one["parameters"])

    def test_unknown_names_get_the_nearest(self):
        self.refused(2, ["presets", "150N"], "did you mean 150M")
        self.refused(2, ["presets", "zzzzzzzzzzzz"], "tinygpt presets lists them all")
        self.refused(2, ["presets", "--family", "clasic"], "did you mean classic?")
        self.refused(2, ["presets", "--family", "gpt2", "tiny"], "contradict")


class Params(Case):
    def test_equal_to_the_presets_from_each_source(self):
        for preset in self.json("presets"):
            name, count = preset["name"], preset["parameters"]
            by_name = self.json("params", "--preset", name)
            self.assertEqual(by_name["parameters"], count)
            self.assertEqual(sum(by_name["parts"].values()), count)
            config = preset["config"]
            by_file = self.json("params", "--config", self.config(json.dumps(config)))
            flags = []
            for key in ("n_layer", "n_embd", "n_head", "n_kv_head", "ffn_hidden", "block_size", "vocab_size", "mlp_type",
                        "norm_type", "norm_eps", "pos_encoding", "rope_theta"):
                flags += ["--" + key.replace("_", "-"), config[key]]
            flags += ["--qk-norm"] * config["qk_norm"] + ["--bias"] * config["bias"]
            flags += ["--untied"] * (not config["tie_weights"])
            by_flags = self.json("params", *flags)
            for other in (by_file, by_flags):
                self.assertEqual((other["type"], other["parameters"], other["parts"]),
                                 (preset["type"], count, by_name["parts"]))

    def test_formulas_evaluate_to_their_parts(self):
        for name in ("tiny", "gpt2", "factory_base", "modern_180M", "consumer_8GB"):
            report = self.json("params", "--preset", name, "--show-formula")
            for part, formula in report["formulas"].items():
                value = 0
                if "=" in formula:
                    value = eval(formula.split(" = ")[1].replace("x", "*").replace("^", "**"))
                self.assertEqual(value, report["parts"][part], (name, part, formula))

    def test_as_built_variants(self):
        base = ["params", "--n-layer", 16, "--n-embd", 768, "--n-head", 12, "--block-size", 256, "--untied"]
        self.assertEqual(self.json(*base)["parameters"], 190760448)
        self.assertEqual(self.json(*base, "--mlp_type", "relu", "--bias", "attn_out,ffn,head")["parameters"], 190884480)

    def test_interactive_asks_again_and_ends_with_the_input(self):
        answers = "4\nmany\n192\n5\n4\n\n128\n256\n\n\n\n\n\n\n"
        self.assertEqual(self.json("params", "--interactive", input=answers)["parameters"], 1846656)
        result = run("params", "--interactive", input="4\n")
        self.assertEqual(result.returncode, 1)
        self.assertIn("the answers ended", result.stderr)

    def test_bad_sizes(self):
        sizes = ["--n-layer", 2, "--n-embd", 100, "--n-head", 3]
        self.refused(2, ["params", *sizes], "write 99 or 102")
        self.refused(2, ["params", "--n-layer", 2], "needed together")
        for value in ("0", "-1", "1.5", "x", "", "2147483648", "99999999999999999999"):
            self.refused(2, ["params", "--n-layer", value, "--n-embd", 64, "--n-head", 1], "--n-layer")
        self.refused(2, ["params", "--preset", "tiny", "--n-layer", 3], "contradict")
        self.refused(2, ["params", "--preset", "tiny", "--config", self.config()], "contradict")
        self.refused(2, ["params", "--preset", "tinny"], "did you mean tiny")
        self.refused(2, ["params", "--n-layer", 1, "--n-embd", 4, "--n-head", 1, "--mlp-type", "silu"], "--mlp-type")
        self.refused(2, ["params", "--n-layer", 1, "--n-embd", 4, "--n-head", 1, "--bias", "some"], "--bias")
        self.refused(2, ["params", "--n-layer", 1, "--n-embd", 6, "--n-head", 2, "--pos-encoding", "rope"], "even")
        for value in ("0", "1", "-1e-5", "nan", "1e-400", "small", ""):
            self.refused(2, ["params", "--n-layer", 1, "--n-embd", 4, "--n-head", 1, "--norm-eps", value], "--norm-eps")
        self.refused(1, ["params", "--config", self.config(n_embd=770, n_head=12)], "768 or 780")


class Fit(Case):
    def test_the_largest_batch_is_the_largest(self):
        """Against memory as presets and validate count it."""
        report = self.json("fit", "--memory", "8GiB")
        by_name = {p["name"]: p for p in self.json("presets")}
        for row in report["presets"]:
            if not row["fits"]:
                self.assertGreater(row["train_bytes"], 8 << 30)
                continue
            self.assertLessEqual(row["train_bytes"], 8 << 30)
            recomputes = row["recompute"] != "none"
            self.assertEqual(recomputes, row["largest_batch"] == 0)
            self.assertLessEqual(row["batch_size"], row["largest_batch_recomputing" if recomputes else "largest_batch"])
            self.assertGreaterEqual(row["largest_batch_recomputing"], row["largest_batch"])
            wanted = by_name[row["name"]]["config"]
            step = wanted["batch_size"] * wanted["grad_accum_steps"]
            self.assertGreaterEqual(row["batch_size"] * row["grad_accum_steps"], step)
            self.assertLess((row["batch_size"] - 1) * row["grad_accum_steps"], step)
            self.assertEqual(row["text_bytes_wanted"], 80 * row["parameters"])
            if row["largest_batch"] < 4096 and not recomputes:  # one more does not fit: said by a budget of just its bytes
                again = self.json("fit", "--memory", row["train_bytes"] - 1, "--family", by_name[row["name"]]["family"])
                less = next(r for r in again["presets"] if r["name"] == row["name"])
                self.assertLess(less["largest_batch"], row["batch_size"])

    def test_memory_grows_linearly_with_context(self):
        # Tokens per step are kept, so the bytes of a step hardly change when the context doubles.
        rows = [next(r for r in self.json("fit", "--memory", "4TiB", "--context", context)["presets"]
                     if r["name"] == "consumer_8GB") for context in (512, 1024, 2048)]
        self.assertEqual([r["batch_size"] * r["context"] for r in rows], [6144, 6144, 6144])
        for row in rows[1:]:
            self.assertAlmostEqual(row["train_bytes"] / rows[0]["train_bytes"], 1, delta=0.01)

    def test_data_decides(self):
        quick = ["--tokens-per-second", "1G", "--measured-on", "small", "--precision", "float32"]
        own = ["--family", "classic"]  # of which none is trained already
        small = self.json("fit", "--memory", "24GiB", "--data-size", "50MB", *quick, *own)["recommendation"]
        self.assertEqual(small["name"], "tiny_char")
        large = self.json("fit", "--memory", "24GiB", "--tokens", "10B", *quick, "--within", "1000d")["recommendation"]
        self.assertEqual(large["name"], "gpt2_xl")  # recomputing
        little = self.json("fit", "--memory", "24GiB", "--tokens", "10k", *quick, *own)["recommendation"]
        self.assertEqual(little["name"], "tiny_char")
        self.assertIn("stop when the validation loss rises", little["reason"])

    def test_rates(self):
        rate = ["--tokens-per-second", 3000, "--measured-on", "small_char"]
        rows = {r["name"]: r for r in self.json("fit", "--memory", "8GiB", *rate)["presets"]}
        self.assertEqual(round(rows["small_char"]["tokens_per_second"]), 3000)
        self.assertLess(rows["150M"]["tokens_per_second"], 3000 / 5)
        metrics = self.dir / "metrics.jsonl"
        metrics.write_text("".join(json.dumps({"step": i, "loss": 2, "tokens_per_second": 1000 + i % 3}) + "\n"
                                   for i in range(200)) + '{"step": 200, "lo')
        rows = {r["name"]: r for r in self.json("fit", "--memory", "8GiB", "--throughput-of", metrics,
                                                "--measured-on", "tiny")["presets"]}
        self.assertEqual(round(rows["tiny"]["tokens_per_second"]), 1001)
        metrics.write_text("{}\n")
        self.refused(1, ["fit", "--throughput-of", metrics], "holds no rates")
        self.refused(1, ["fit", "--throughput-of", self.dir / "nothing"], "nothing")

    def test_time_decides(self):
        """The largest whose tokens are trained on within the time, as the table's own numbers say."""
        rate = ["--memory", "24GiB", "--tokens-per-second", 3000, "--measured-on", "small_char"]
        names = set()
        for within, seconds in (("10h", 36000), ("30h", 30 * 3600), ("20d", 20 * 86400), ("3650d", 3650 * 86400)):
            report = self.json("fit", *rate, "--within", within)
            done = [r for r in report["presets"] if r["fits"] and r["seconds"] <= seconds]
            largest = max(done, key=lambda r: r["parameters"])
            self.assertEqual(report["recommendation"]["name"], largest["name"])
            self.assertIn(f"within {within}", report["recommendation"]["reason"])
            names.add(largest["name"])
        self.assertEqual(len(names), 4)
        none = self.json("fit", *rate, "--within", "1s")["recommendation"]
        self.assertEqual(none["name"], "tiny_char")
        self.assertIn("longer than --within 1s", none["reason"])
        both = self.json("fit", *rate, "--within", "1s", "--tokens", "1M")["recommendation"]["reason"]
        self.assertIn("stop when the validation loss rises", both)
        self.assertIn("longer than --within 1s", both)

    def test_without_a_rate_a_cpu_has_an_assumed_one_that_is_called_so(self):
        report = self.json("fit", "--memory", "24GiB")
        self.assertTrue(report["rate"]["assumed"])
        self.assertEqual(report["rate"]["flops_per_second"] % 20e9, 0)
        self.assertLessEqual(report["rate"]["flops_per_second"], 20e9 * os.cpu_count())
        flops = {p["name"]: p["train_flops_per_token"] for p in self.json("presets")}
        for row in report["presets"]:
            if row["fits"]:
                expected = row["tokens_wanted"] * flops[row["name"]] / report["rate"]["flops_per_second"]
                again = 4 / 3 if row["recompute"] == "blocks" else 1
                self.assertAlmostEqual(row["seconds"] / expected, again, places=9)
        row = next(r for r in report["presets"] if r["name"] == report["recommendation"]["name"])
        self.assertLessEqual(row["seconds"], report["within_seconds"])
        text = self.good("fit", "--memory", "24GiB")
        for words in ("time (assumed)", "20 GFLOP/s for each of", "at the assumed rate"):
            self.assertIn(words, text)
        stated = self.good("fit", "--memory", "24GiB", "--tokens-per-second", 3000, "--measured-on", "small")
        self.assertNotIn("assumed", stated)
        self.assertIn("at the stated rate", stated)

    def test_precision_follows_the_backend(self):
        self.assertIn("In bf16 on the cpu.", self.good("fit", "--memory", "8GiB", "--precision", "bf16"))
        gpu = self.json("fit", "--memory", "24GiB", "--backend", "gpu")
        self.assertEqual(gpu["precision"], "bf16")
        self.assertIn("is not counted", self.good("fit", "--memory", "24GiB", "--backend", "gpu"))
        default = self.json("fit", "--memory", "24GiB")
        self.assertEqual(default["precision"], "bf16" if has_bf16() else "float32")
        cpu = self.json("fit", "--memory", "24GiB", "--precision", "float32")
        self.assertEqual((cpu["backend"], cpu["precision"]), ("cpu", "float32"))
        for half, whole in zip(gpu["presets"], cpu["presets"]):
            if 8 < whole["largest_batch"] < 4096:  # activations, which halve, outweigh parameters, which take more
                self.assertGreater(half["largest_batch"], whole["largest_batch"])

    def test_without_memory_it_is_the_machines(self):
        report = self.json("fit")
        self.assertEqual(report["backend"], "cpu")
        self.assertGreater(report["memory_bytes"], 1 << 20)
        self.refused(2, ["fit", "--backend", "gpu"], "give --memory")

    def test_where_a_card_is_found_it_is_the_cards(self):
        report = self.json("fit", env=CARDS)
        self.assertEqual(report["backend"], "gpu")
        self.assertEqual(report["memory_bytes"], 24 << 30)
        self.assertEqual(report["memory_source"], "NVIDIA GeForce RTX 4090, the largest of 2 cards")
        self.assertIn("24.00 GiB of memory (NVIDIA GeForce RTX 4090,", self.good("fit", env=CARDS))
        self.assertEqual(self.json("fit", "--backend", "gpu", env=CARDS)["memory_bytes"], 24 << 30)
        stated = self.json("fit", "--memory", "8GiB", env=CARDS)
        self.assertEqual((stated["backend"], stated["memory_bytes"]), ("gpu", 8 << 30))
        cpu = self.json("fit", "--backend", "cpu", env=CARDS)
        self.assertEqual(cpu["memory_source"], self.json("fit")["memory_source"])

    def test_the_rate_of_a_card_that_is_not_known_is_not_invented(self):
        unknown = ["fit", "--memory", "24GiB", "--backend", "gpu"]
        report = self.json(*unknown)
        self.assertNotIn("rate", report)
        self.assertFalse([row for row in report["presets"] if "seconds" in row])
        self.assertIn("By memory alone", report["recommendation"]["reason"])
        data = self.json(*unknown, "--tokens", "10B")["recommendation"]
        self.assertEqual(data["name"], "consumer_24GB")
        self.assertIn("How long it takes is not known", data["reason"])
        self.assertTrue(self.json("fit", env=CARDS)["rate"]["assumed"])
        stated = self.json("fit", "--tokens-per-second", 100000, "--measured-on", "gpt2", env=CARDS)
        self.assertIn("at the stated rate", stated["recommendation"]["reason"])

    def test_a_driver_that_does_not_answer_is_no_card(self):
        expected = self.json("fit")
        text = self.config("not a library", name="nvml.so")
        environments = [{**CARDS, "FAKE_NVML": word} for word in
                        ("init_fails", "no_cards", "count_fails", "calls_fail", "no_memory", "more_used_than_there")]
        environments += [{**CARDS, "TINYGPT_NVML": str(path)} for path in (text, self.dir / "nothing", self.dir)]
        for environment in environments:
            self.assertEqual(self.json("fit", env=environment), expected)
            self.refused(2, ["fit", "--backend", "gpu"], "give --memory", env=environment)

    def test_bad_values(self):
        for value in ("8QiB", "-8GiB", "", "GiB", "1e400GiB", "nan", "inf", "8GiBs"):
            self.refused(2, ["fit", "--memory", value], "--memory")
        self.refused(2, ["fit", "--tokens", "many"], "--tokens")
        self.refused(2, ["fit", "--tokens", "1M", "--data-size", "1MB"], "contradict")
        self.refused(2, ["fit", "--precision", "fp8"], "float32, bf16")
        self.refused(2, ["fit", "--backend", "tpu"], "gpu, cpu")
        self.refused(2, ["fit", "--context", "0"], "--context")
        self.refused(2, ["fit", "--measured-on", "tiny"], "give both")
        for value in ("24", "h", "-1h", "0h", "nanh", "infh", "1e400h", "1e20h", "24hours", "24 h", "\x1b[31m"):
            self.refused(2, ["fit", "--within", value], "--within must be a time")
        self.refused(2, ["fit", "--family", "none"], "no family")


class Validate(Case):
    def test_a_right_config(self):
        self.assertIn("is valid", self.good("validate", self.config()))
        report = self.json("validate", self.config())
        self.assertTrue(report["valid"])
        self.assertEqual(report["parameters"], 51201024)

    def test_every_mistake_in_one_go(self):
        path = self.config('{\n "batch_size": 0,\n "block_size": 1.5,\n "vocab_size": "9",\n "n_embd": 770,\n'
                           ' "n_head": 12,\n "n_layers": 2,\n "dropout": 3,\n "bias": 1\n}')
        table = self.refused(1, ["validate", path], "7 mistakes")
        self.assertIn("768 or 780", table)
        result = run("validate", path, "--json")
        self.assertEqual(result.returncode, 1)
        mistakes = json.loads(result.stdout)["mistakes"]
        self.assertEqual([m["line"] for m in mistakes], [2, 3, 4, 5, 7, 8, 9])

    def test_files_that_are_no_configs(self):
        for text, needle in (("", "1 mistake"), ("[1]", "1 mistake"), ("{" * 10000, "1 mistake"),
                             ('{"a":' + "[" * 10000 + "]" * 10000 + "}", "1 mistake")):
            config = self.config(text)
            self.refused(1, ["validate", config], needle)
            self.assertLess(best_time("validate", config), 20 * best_time("--version"))
        self.refused(1, ["validate", self.dir], "directory")
        self.refused(1, ["validate", self.dir / "nothing.json"], "no such file")
        self.refused(1, ["validate", "/dev/zero"], "not a regular file")
        large = self.dir / "large.json"
        with large.open("wb") as file:
            file.truncate(100_000_000)
        self.refused(1, ["validate", large], "100.0 MB")
        self.assertLess(best_time("validate", large), 20 * best_time("--version"))  # nothing of it is read

    def test_control_characters_do_not_reach_the_terminal(self):
        table = self.refused(1, ["validate", self.config(**{"\x1b[31m\n": 1})], "1 mistake")
        self.assertNotIn("\x1b", table)


class New(Case):
    def test_the_header(self):
        header = self.good("new", self.config(description="for\nme", learning_rate=3e-4))
        self.assertIn("using my = GPT<Layers<8>, Embd<512>, Heads<8>, Ctx<512>>;", header)
        self.assertIn("static_assert(my::param_count == 51'201'024);", header)
        self.assertIn("// my: for me\n", header)
        self.assertIn(".learning_rate = 3e-04,", header)
        out = self.dir / "model.hpp"
        self.good("new", self.config(), "--name", "150M-x", "--out", out)
        self.assertIn("using _150M_x = ", out.read_text())
        self.refused(2, ["new", self.config(), "--name", "class"], "a word of C++")
        self.refused(1, ["new", self.config(n_embd=0)], "my.json:5: n_embd")
        self.refused(1, ["new", self.config(), "--out", "/nowhere/x.hpp"], "/nowhere/x.hpp")

    def test_round_trip_of_every_preset(self):
        for preset in self.json("presets"):
            again = self.json("new", self.config(json.dumps(preset["config"])))
            self.assertEqual(again["type"], preset["type"])
            self.assertEqual(again["architecture"], preset["architecture"])
            self.assertEqual(again["parameters"], preset["parameters"])


class PresetPrograms(Case):
    def built(self):
        names = [p["name"] for p in self.json("presets")]
        return [name for name in names if (PROGRAM.parent / f"tinygpt-{name}").exists()]

    def test_round_trip_through_the_built_programs(self):
        listed = {p["name"]: p for p in self.json("presets")}
        self.assertIn("tiny_char", self.built())
        for name in self.built():
            info = json.loads(self.good(name, "info", "--json"))
            self.assertEqual(info["type"], listed[name]["type"])
            self.assertEqual(info["parameters"], listed[name]["parameters"])
            self.assertEqual(info["config"], listed[name]["config"])
            again = self.json("new", self.config(json.dumps(info["config"])))
            self.assertEqual(again["type"], info["type"])

    def test_the_program_gets_arguments_and_gives_its_exit_code(self):
        self.assertIn("--max-iters", self.good("tiny_char", "train", "--help"))
        result = run("tiny_char", "train")
        self.assertEqual(result.returncode, 2)
        self.assertTrue(result.stderr.startswith("tinygpt-tiny_char: "), result.stderr)

    def test_what_is_no_preset_is_refused(self):
        self.refused(2, ["tinychar", "info"], "did you mean tiny_char")


class Tokenizers(Case):
    def setUp(self):
        super().setUp()
        # The 256 bytes in the order of their characters, "th", "the", and a special token.
        printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
        others = [b for b in range(256) if b not in printable]
        characters = sorted(chr(b) for b in printable) + [chr(256 + i) for i in range(len(others))]
        vocab = {c: i for i, c in enumerate(characters)}
        vocab |= {"th": 256, "the": 257, "<|endoftext|>": 258}
        self.vocab = vocab
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
        added = {"id": 258, "content": "<|endoftext|>", "single_word": False, "lstrip": False, "rstrip": False,
                 "normalized": False, "special": True}
        self.tokenizer = self.dir / "tokenizer.json"
        self.tokenizer.write_text(json.dumps({
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": [added], "normalizer": None,
            "pre_tokenizer": byte_level, "post_processor": None, "decoder": byte_level,
            "model": {"type": "BPE", "vocab": vocab, "merges": [["t", "h"], "th e"]}}))

    def ids(self, *arguments, **options):
        return [int(i) for i in self.good("tokenizer", "encode", "--tokenizer", self.tokenizer, *arguments, **options).split()]

    def test_encode_takes_text_from_an_argument_a_file_or_standard_input(self):
        expected = [257, self.vocab["\u0120"], 256, self.vocab["\u00c3"], self.vocab["\u00a9"]]
        self.assertEqual(self.ids("the th\u00e9"), expected)
        self.assertEqual(self.ids(input="the th\u00e9"), expected)
        file = self.dir / "text"
        file.write_text("the th\u00e9")
        self.assertEqual(self.ids("--input-file", file), expected)
        self.assertEqual(self.ids(""), [])
        report = self.json("tokenizer", "encode", "--tokenizer", self.dir, "the")
        self.assertEqual((report["ids"], report["tokens"], report["bytes"]), ([257], 1, 3))

    def test_a_special_token_never_comes_from_text(self):
        self.assertNotIn(258, self.ids("the<|endoftext|>the"))
        self.assertEqual(self.good("tokenizer", "decode", "--tokenizer", self.dir, 257, 258), "the<|endoftext|>")

    def test_decode_gives_the_text_back(self):
        text = "the caf\u00e9 \U0001F600 \r\n\t end"
        ids = self.ids(text)
        self.assertEqual(self.good("tokenizer", "decode", "--tokenizer", self.dir, *ids), text.replace("\r\n", "\n"))
        listed = json.dumps(ids)
        self.assertEqual(self.good("tokenizer", "decode", "--tokenizer", self.dir, input=listed), text.replace("\r\n", "\n"))

    def test_decode_writes_whole_characters_only_as_they_come(self):
        command = [PROGRAM, "tokenizer", "decode", "--tokenizer", self.dir]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        first, second = self.ids("\u00e9")
        process.stdin.write(f"257 {first} ".encode())
        process.stdin.flush()
        self.assertEqual(os.read(process.stdout.fileno(), 100), b"the")
        process.stdin.write(f"{second} ".encode())
        process.stdin.flush()
        self.assertEqual(os.read(process.stdout.fileno(), 100), "\u00e9".encode())
        process.stdin.write(f"{first}".encode())
        self.assertEqual(process.communicate()[0], "\ufffd".encode())
        self.assertEqual(process.returncode, 0)
        exact = subprocess.run([*command, "--bytes", str(first)], capture_output=True)
        self.assertEqual(exact.stdout, b"\xc3")

    def test_any_bytes_survive(self):
        content = bytes(range(256)) * 3
        file = self.dir / "bytes"
        file.write_bytes(content)
        ids = self.good("tokenizer", "encode", "--tokenizer", self.dir, "--input-file", file)
        result = subprocess.run([PROGRAM, "tokenizer", "decode", "--tokenizer", self.dir, "--bytes"],
                                input=ids.encode(), capture_output=True)
        self.assertEqual(result.stdout, content)

    def test_info(self):
        text = self.good("tokenizer", "info", "--tokenizer", self.tokenizer)
        self.assertIn("byte-level BPE, 259 tokens, GPT-2's pattern", text)
        self.assertIn("258 <|endoftext|>, which ends a document", text)
        report = self.json("tokenizer", "info", "--tokenizer", self.tokenizer)
        self.assertEqual((report["size"], report["merges"], report["pattern"], report["end_of_text"]), (259, 2, "gpt2", 258))
        self.assertRegex(report["hash"], r"\A[0-9a-f]{16}\Z")

    def test_convert_writes_the_files_of_others(self):
        hashes = set()
        for word, files in {"tokenizer.json": ["tokenizer.json"], "vocab.json": ["merges.txt", "vocab.json"],
                            "encoder.json": ["encoder.json", "vocab.bpe"]}.items():
            out = self.dir / "as" / word
            arguments = ["tokenizer", "convert", "--tokenizer", self.tokenizer, "--out", out, "--format", word]
            self.assertEqual(sorted(self.good(*arguments).split()), sorted(str(out / f) for f in files))
            self.assertEqual(sorted(p.name for p in out.iterdir()), files)
            hashes.add(self.json("tokenizer", "info", "--tokenizer", out)["hash"])
            self.refused(1, arguments, files[0] if len(files) == 1 else ".json", "is there already")
        self.assertEqual(hashes, {self.json("tokenizer", "info", "--tokenizer", self.tokenizer)["hash"]})
        self.assertEqual((self.dir / "as/encoder.json/vocab.bpe").read_text(), "#version: 0.2\nt h\nth e\n")

    def test_what_is_wrong_is_one_sentence(self):
        def refused(code, arguments, *needles, **options):
            return self.refused(code, ["tokenizer", *arguments], *needles, **options)
        refused(2, [], "tokenizer needs a command")
        refused(2, ["encod"], "did you mean encode?")
        refused(2, ["encode", "x"], "needs --tokenizer")
        refused(2, ["convert", "--tokenizer", self.dir], "needs --out")
        refused(2, ["convert", "--tokenizer", self.dir, "--out", "o", "--format", "gguf"], "one of tokenizer.json")
        refused(2, ["encode", "--tokeniser", "x"], "did you mean --tokenizer?")
        refused(2, ["encode", "--tokenizer", self.dir, "x", "--input-file", "y"], "two texts")
        refused(2, ["encode", "--tokenizer", self.dir, "x", "y"], "unexpected argument 'y'")
        refused(1, ["encode", "--tokenizer", self.dir, "--input-file", self.dir / "none"], "no such file")
        refused(1, ["encode", "--tokenizer", self.dir, "--input-file", self.dir], "is a directory")
        refused(1, ["encode", "--tokenizer", self.dir / "none", "x"], "there is no tokenizer", "tokenizer train")
        empty = self.dir / "empty"
        empty.mkdir()
        refused(1, ["encode", "--tokenizer", empty, "x"], "holds no tokenizer", "merges.txt")
        refused(1, ["decode", "--tokenizer", self.dir, 259], "there is no token 259", "0 to 258")
        refused(1, ["decode", "--tokenizer", self.dir, 9999999999999999999999], "is no id")
        refused(1, ["decode", "--tokenizer", self.dir, "12x"], "'12x' after 0 ids is no id")
        refused(2, ["decode", "--tokenizer", self.dir, 1, "--input-file", "y"], "leave one of them out")
        self.tokenizer.write_text("{")
        refused(1, ["info", "--tokenizer", self.dir], "tokenizer.json", "not JSON at byte")


if __name__ == "__main__":
    if PROGRAM is None:
        sys.exit(__doc__)
    unittest.main()
