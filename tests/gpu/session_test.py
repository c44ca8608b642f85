#!/usr/bin/env python3
"""scripts/test-gpu.sh and scripts/bench-gpu.sh with stand-ins for the card and for the programs: what fails, hangs or is
missing must be told, and what was measured must stay."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import textwrap
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CARD = """case "$*" in *driver*) echo 1.2;; -L) echo "GPU 0: a stand-in";; *) echo "a stand-in, 1 MiB, 9.0";; esac"""
TESTS = """
    case "$*" in
      *--list-tags*) echo "  3  [#model_test]"; echo "  5  [#norm_test]";;
      *norm*) echo "All tests passed";;
      *) echo "norms differ"; exit 1;;
    esac"""
BENCH = """echo '{"side":"tinygpt","what":"'$1'","name":"gpt2","batch":32,"tokens":100,"seconds":0.5,"tokens_per_second":200,
"mfu":0.4,"peak_bytes":1073741824}' | tr -d '\\n'; echo"""


class Sessions(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="tinygpt-session-")
        self.addCleanup(self.directory.cleanup)
        self.base = pathlib.Path(self.directory.name)
        self.path, self.binaries, self.out = self.base / "path", self.base / "bin", self.base / "out"
        self.path.mkdir()
        self.binaries.mkdir()

    def program(self, folder, name, text):
        (folder / name).write_text("#!/bin/sh\n" + textwrap.dedent(text) + "\n")
        (folder / name).chmod(0o755)

    def run_script(self, name, *arguments):
        run = subprocess.run([ROOT / "scripts" / name, "--binaries", self.binaries, "--out", self.out, *arguments],
                             capture_output=True, text=True, timeout=3600,
                             env={**os.environ, "PATH": f"{self.path}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"})
        lines = [json.loads(line) for line in (self.out / "results.jsonl").read_text().splitlines()]
        return run, lines[0]["facts"], {line["name"]: line["result"] for line in lines[1:]}

    def parity_programs(self):
        self.program(self.binaries, "tinygpt-test-gpu", TESTS)
        self.program(self.binaries, "tinygpt-tiny_char", "exit 1")

    def test_without_a_card_it_says_that_nothing_ran(self):
        self.parity_programs()
        self.program(self.path, "nvidia-smi", "exit 9")
        run, facts, _ = self.run_script("test-gpu.sh", "--quick")
        self.assertEqual(run.returncode, 77, run.stdout + run.stderr)
        self.assertIn("SKIPPED, nothing ran on a GPU", run.stdout)
        self.assertEqual(facts["gpu"], "none")
        self.assertIn("Nothing ran on a GPU", (self.out / "report.md").read_text())

    def test_what_fails_is_told_and_the_rest_goes_on(self):
        self.parity_programs()
        self.program(self.path, "nvidia-smi", CARD)
        self.program(self.path, "compute-sanitizer", 'case "$*" in *racecheck*) exit 9;; esac')
        run, facts, results = self.run_script("test-gpu.sh", "--quick", "--only", "parity", "--only", "sanitizer")
        self.assertEqual(run.returncode, 1)
        self.assertEqual(facts["gpu"], "a stand-in, 1 MiB, 9.0")
        self.assertEqual({name: result for name, result in results.items() if name != "programs"},
                         {"norm_test": "passed", "model_test": "failed", "memcheck norm_test": "passed",
                          "memcheck model_test": "passed", "racecheck norm_test": "failed", "racecheck model_test": "failed"})
        self.assertIn("norms differ", run.stdout)
        self.assertIn("norms differ", (self.out / "log.txt").read_text())

    def test_a_step_that_hangs_is_ended_with_what_it_started_and_the_next_are_told_not_reached(self):
        code = textwrap.dedent(f"""
            import sys
            sys.path.insert(0, "{ROOT}/scripts")
            from gpu_session import Session
            session = Session("t", "{self.out}", 8)
            session.step("p", "hangs", ["sh", "-c", "echo so far; sleep 300 & wait"], 1)
            session.step("p", "is well", ["true"], 1)
            session.limit = 0
            session.step("p", "is late", ["true"], 1)
            sys.exit(session.end())""")
        run = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, timeout=3600)
        self.assertEqual(run.returncode, 1)
        results = [json.loads(line) for line in (self.out / "results.jsonl").read_text().splitlines()][1:]
        self.assertEqual([r["result"] for r in results], ["timed out", "passed", "not reached"])
        self.assertIn("so far", (self.out / "log.txt").read_text())

    def test_measurements_become_a_table(self):
        self.program(self.path, "nvidia-smi", CARD)
        self.program(self.binaries, "tinygpt-bench-gpu-gpt2", BENCH)
        run, facts, results = self.run_script("bench-gpu.sh", "--only", "gpt2", "--only", "decode-gpt2", "--no-pytorch")
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertEqual(facts["pytorch"], "left out")
        self.assertEqual(set(results.values()), {"passed"})
        report = (self.out / "report.md").read_text()
        self.assertRegex(report, r"\| gpt2 +\| +32 \| tinygpt \| +500\.00 \| +200 \| +1\.00 \| +40\.0 % \| 1\.00 \|")
        self.assertEqual(len((self.out / "measured.jsonl").read_text().splitlines()), 2)


if __name__ == "__main__":
    unittest.main()
