#!/usr/bin/env python3
"""Standard output that cannot be written, or is closed: every command fails with exit code 1, and no file gets its lines.

    unwritable_output_test.py TOOL PROGRAM [unittest arguments...]

TOOL is the built tinygpt, PROGRAM a model's, such as tinygpt-tiny_char.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOL, PROGRAM = (pathlib.Path(sys.argv.pop(1)).resolve() for _ in range(2)) if len(sys.argv) > 2 else (None, None)
os.environ["TINYGPT_NVML"] = ""
CONFIG = {"batch_size": 16, "block_size": 512, "vocab_size": 50304, "n_embd": 512, "n_head": 8, "n_layer": 8,
          "dropout": 0.1, "bias": False}
QUICK = ["--batch-size", "1", "--eval-iters", "1", "--max-iters", "2", "--warmup-iters", "1", "--threads", "1"]


def commands_of(program):
    """Every command that --help lists, with the commands of commands."""
    def listed(*words):
        text = subprocess.run([program, *words, "--help"], capture_output=True, text=True).stdout
        names, inside = [], False
        for line in text.splitlines():
            if not line.startswith(" "):
                inside = inside and line == "" or "ommand" in line and line.endswith(":")
            elif inside and line.startswith("  ") and line[2:3].strip():
                names.append(line.split()[0])
        return names
    for name in listed():
        yield [name]
        for inner in listed(name):
            yield [name, inner]


class Output(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="tinygpt-output-")
        cls.dir = pathlib.Path(cls.scratch.name)
        (cls.dir / "text.txt").write_text("the quick brown fox jumps over a lazy dog\n" * 400)
        (cls.dir / "c.json").write_text(json.dumps(CONFIG))
        (cls.dir / "bad.json").write_text("{}")
        cls.run_in(cls, [PROGRAM, "train", "--input-file", "text.txt", "--out", "run", *QUICK]).check_returncode()
        cls.run_in(cls, [TOOL, "prepare", "--source", "a:text.txt", "--out", "data"]).check_returncode()
        cls.run_in(cls, [TOOL, "export", "--model", "run", "--format", "hf", "--out", "exported"]).check_returncode()
        cls.run_in(cls, [TOOL, "tokenizer", "train", "--input", "text.txt", "--vocab-size", "280", "--out", "tok"]).check_returncode()

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def run_in(self, command, **options):
        """NEW in a command is a path that is not there yet."""
        Output.made = getattr(Output, "made", 0) + 1
        command = [str(word).replace("NEW", f"new{Output.made}") for word in command]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **options}
        return subprocess.run(command, cwd=self.dir, timeout=3600, **options)

    def examples(self):
        """Commands that print, of every kind."""
        tool = ["--version", "--help", "presets", "presets --all", "presets --json", "presets tiny", "presets tiny --json",
                "params --preset small", "params --preset small --json", "params --show-formula", "fit --memory 8GiB",
                "fit --memory 8GiB --json", "validate c.json", "validate c.json --json", "new c.json", "new c.json --json",
                "config-from run", "config-from run --json", "data info data", "data info data --json",
                "tokenizer info --tokenizer tok", "tokenizer info --tokenizer tok --json",
                "tokenizer encode --tokenizer tok the", "tokenizer encode --tokenizer tok the --json",
                "tokenizer decode --tokenizer tok 1 2 3", "new c.json --json --out NEW.hpp",
                "export --model run --format hf --out NEW", "import --from exported --out NEW",
                "prepare --source a:text.txt --out NEW", "tokenizer convert --tokenizer tok --out NEW"]
        model = ["--version", "--help", "info", "info --json", "info --tensors",
                 "generate --model run --prompt the --max-new-tokens 3",
                 "train --input-file text.txt --out NEW " + " ".join(QUICK), "export --model run --format hf --out NEW"]
        yield from ([TOOL, *words.split()] for words in tool)
        yield from ([PROGRAM, *words.split()] for words in model)
        for program in (TOOL, PROGRAM):
            yield from ([program, *words, "--help"] for words in commands_of(program))

    def test_the_list_of_commands_is_read(self):
        for program, expected in ((TOOL, {"presets", "params", "fit", "validate", "new", "prepare", "config-from"}),
                                  (PROGRAM, {"info", "train", "generate"})):
            self.assertLessEqual(expected, {" ".join(words) for words in commands_of(program)})
        self.assertIn(["tokenizer", "encode"], list(commands_of(TOOL)))

    @unittest.skipUnless(os.path.exists("/dev/full"), "this system has no /dev/full")
    def test_a_full_disk_fails_every_command(self):
        for command in self.examples():
            with self.subTest(command=command[1:]):
                self.assertEqual(self.run_in(command).returncode, 0)
                with open("/dev/full", "wb") as full:
                    result = self.run_in(command, stdout=full)
                self.assertEqual(result.returncode, 1, result.stderr)
                self.assertIn(b"standard output", result.stderr)
                self.assertEqual(result.stderr.count(b"\n"), 1, result.stderr)

    def test_a_reader_that_has_gone_gets_no_message_and_no_signal(self):
        for command in ([TOOL, "presets", "--json"], [TOOL, "--help"], [PROGRAM, "info", "--tensors"]):
            with self.subTest(command=command[1:]):
                read, write = os.pipe()
                os.close(read)
                result = self.run_in(command, stdout=write)
                os.close(write)
                self.assertEqual((result.returncode, result.stderr), (1, b""))

    def test_closed_descriptors(self):
        """Files that a program opens never become its standard streams."""
        for number, closed in enumerate(("<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-")):
            with self.subTest(closed=closed):
                out = self.dir / f"closed{number}"
                script = 'exec "$@" ' + closed
                train = [PROGRAM, "train", "--input-file", "text.txt", "--out", out, *QUICK]
                result = self.run_in(["bash", "-c", script, "bash", *train])
                self.assertEqual(result.returncode, 0, result.stderr)
                for line in (out / "metrics.jsonl").read_text().splitlines():
                    self.assertIsInstance(json.loads(line), dict)
                for words in (["new", "c.json", "--out", f"{out}.hpp", "--name", "c"], ["prepare", "--source", "a:text.txt", "--out", f"{out}.data"]):
                    self.assertEqual(self.run_in(["bash", "-c", script, "bash", TOOL, *words]).returncode, 0, words)
                self.assertTrue(pathlib.Path(f"{out}.hpp").read_text().startswith("// c"))
                self.run_in([TOOL, "data", "info", f"{out}.data"]).check_returncode()


if __name__ == "__main__":
    if PROGRAM is None:
        sys.exit(__doc__)
    unittest.main()
