#!/usr/bin/env python3
"""What a person sees: help and tables fit the terminal, and colour is only where it is wanted.

    terminal_test.py TOOL PROGRAM [unittest arguments...]

TOOL is the built tinygpt, PROGRAM a model's, such as tinygpt-tiny_char.
"""
import fcntl
import json
import os
import pathlib
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
TOOL, PROGRAM = (pathlib.Path(sys.argv.pop(1)).resolve() for _ in range(2)) if len(sys.argv) > 2 else (None, None)
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")} | {"TINYGPT_NVML": "", "TERM": "xterm"}
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
WIDTHS = (40, 80, 120, 200)


def seen(command, width, errors=False, **environment):
    """The exit code, and what the command writes on a terminal of that width; with `errors` only its standard error."""
    mine, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    with open(os.devnull, "r+b") as null:
        process = subprocess.Popen(list(map(str, command)), stdin=null, stdout=null if errors else theirs, stderr=theirs,
                                   env={**ENVIRONMENT, **environment})
    os.close(theirs)
    text = b""
    while True:
        try:
            piece = os.read(mine, 65536)
        except OSError:  # the other end is closed
            piece = b""
        if not piece:
            break
        text += piece
    os.close(mine)
    return process.wait(), text.decode().replace("\r\n", "\n")


def piped(command, **environment):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, env={**ENVIRONMENT, **environment}).stdout


class Terminal(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="tinygpt-terminal-")
        directory = pathlib.Path(cls.scratch.name)
        cls.bad = directory / "bad.json"
        cls.bad.write_text(json.dumps({"batch_size": 0, "n_embd": 770, "n_head": 12, "min_lr": 1, "n_layers": 2, "bias": 1}))

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def helps(self):
        from unwritable_output_test import commands_of
        for program in (TOOL, PROGRAM):
            yield [program, "--help"]
            for words in commands_of(program):
                yield [program, *words, "--help"]

    def tables(self):
        for words in ("presets", "presets --all", "presets --family gpt2", "presets tiny", "fit --memory 8GiB",
                      "fit --memory 24GiB --backend gpu --all", "fit 4070Ti --data-size 30MB", "params --preset tiny",
                      "params --show-formula"):
            yield [TOOL, *words.split()]
        yield [PROGRAM, "info", "--tensors"]

    def fits(self, command, width, text):
        """No line is wider. A command to copy and a type in C++ have no place to break."""
        for line in ESCAPE.sub("", text).splitlines():
            whole = len(line.split()) < 2 or re.match(r"GPT<|  tinygpt_add_preset", line) or line.endswith("\\")
            self.assertTrue(len(line) <= width or whole, f"{command[1:]} at {width}: {len(line)}: {line}")

    def test_help_fits_and_breaks_no_word(self):
        for command in self.helps():
            words = set(piped(command, COLUMNS="10000").split())
            for width in WIDTHS:
                with self.subTest(command=command[1:], width=width):
                    code, text = seen(command, width)
                    self.assertEqual(code, 0)
                    self.fits(command, width, text)
                    broken = [w for w in ESCAPE.sub("", text).split() if w not in words and len(w) < width - 8]
                    self.assertEqual(broken, [])

    def test_continuation_lines_are_indented(self):
        for width in WIDTHS:
            inside = False
            for line in ESCAPE.sub("", seen([PROGRAM, "train", "--help"], width)[1]).splitlines():
                inside = line.endswith(":") and not line.startswith(" ") or inside and line != ""
                self.assertTrue(not inside or line.endswith(":") or line.startswith("  "), line)

    def test_flags_of_train_are_in_groups(self):
        text = piped([PROGRAM, "train", "--help"])
        places = [text.index(title + ":\n") for title in ("Data", "Batches", "Learning rate", "Evaluation and checkpoints", "Machine")]
        self.assertEqual(places, sorted(places))
        self.assertLess(places[0], text.index("--input-file"))
        self.assertLess(text.index("--learning-rate "), places[3])

    def test_tables_fit(self):
        for command in self.tables():
            for width in WIDTHS:
                with self.subTest(command=command[1:], width=width):
                    code, text = seen(command, width)
                    self.assertEqual(code, 0)
                    self.fits(command, width, text)
        for width in WIDTHS:
            self.fits(["validate"], width, seen([TOOL, "validate", self.bad], width)[1].rpartition("\x1b[31m")[0])

    def test_what_is_left_out_is_said_and_the_first_columns_stay(self):
        narrow, wide = (ESCAPE.sub("", seen([TOOL, "presets", "--all"], width)[1]) for width in (60, 250))
        self.assertIn("Left out of this width:", narrow)
        self.assertNotIn("Left out of this width:", wide)
        self.assertRegex(narrow, r"(?m)^  tiny_char +1,846,656 ")
        self.assertIn("FLOPs/token", wide)

    def test_columns_and_pipes(self):
        """COLUMNS counts more than the terminal, and a pipe has no width."""
        self.fits([TOOL], 60, seen([TOOL, "presets", "--all"], 200, COLUMNS="60")[1])
        self.assertNotIn("Left out", piped([TOOL, "presets", "--all"]))
        self.assertIn("Left out", piped([TOOL, "presets", "--all"], COLUMNS="60"))
        for nonsense in ("", "0", "-5", "wide", "80x"):
            self.fits([TOOL], 80, seen([TOOL, "--help"], 80, COLUMNS=nonsense)[1])
        self.fits([TOOL], 40, seen([TOOL, "fit", "--help"], 3)[1])  # narrower than any: 40
        self.fits([TOOL], 80, piped([TOOL, "fit", "--help"]))

    def test_colour_only_where_it_is_wanted(self):
        for command in ([TOOL, "presets"], [TOOL, "--help"], [PROGRAM, "train", "--help"], [PROGRAM, "info", "--tensors"]):
            with self.subTest(command=command[1:]):
                self.assertRegex(seen(command, 80)[1], ESCAPE)
                self.assertRegex(seen(command, 80, NO_COLOR="")[1], ESCAPE)
                for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
                    self.assertNotIn("\x1b", seen(command, 80, **environment)[1])
                self.assertNotIn("\x1b", piped(command))

    def test_errors_are_coloured_by_their_own_stream(self):
        for errors in (True, False):
            self.assertIn("\x1b[31mtinygpt\x1b[0m: ", seen([TOOL, "fit", "--memory", "12"], 80, errors=errors)[1])
        self.assertNotIn("\x1b", seen([TOOL, "fit", "--memory", "12"], 80, NO_COLOR="1")[1])
        result = subprocess.run([TOOL, "fit", "--memory", "12"], capture_output=True, text=True, env=ENVIRONMENT)
        self.assertTrue(result.stderr.startswith("tinygpt: "), result.stderr)


if __name__ == "__main__":
    if PROGRAM is None:
        sys.exit(__doc__)
    unittest.main()
