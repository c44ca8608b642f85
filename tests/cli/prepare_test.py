#!/usr/bin/env python3
"""Drives tinygpt prepare and tinygpt data as their user does: good and bad input, kills, append, mixtures.

    prepare_test.py PROGRAM [unittest arguments...]
"""
import gzip
import json
import pathlib
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = pathlib.Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else None
HANGS = 3600  # seconds, against what never ends: no machine on which it works needs as long


def run(*arguments, **options):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=HANGS, **options)


def text_of(count, seed=1):
    """Lines of words, with a blank line now and then."""
    draw = random.Random(seed)
    words = ["the", "and", "of", "heaven", "earth", "light", "waters", "said", "day", "God", "without", "form"]
    lines = []
    for _ in range(count):
        lines.append(" ".join(draw.choice(words) for _ in range(draw.randint(3, 12))))
        if draw.random() < 0.05:
            lines.append("")
    return "\n".join(lines) + "\n"


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="tinygpt-prepare-")
        self.addCleanup(directory.cleanup)
        self.dir = pathlib.Path(directory.name)

    def file(self, name, content):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def prepare(self, *arguments, code=0):
        result = run("prepare", *arguments, cwd=self.dir)
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        return result

    def refused(self, code, arguments, *needles):
        """One sentence on standard error, the right exit code, and no dataset."""
        result = run("prepare", *arguments, cwd=self.dir)
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertTrue(result.stderr.startswith("tinygpt: "), result.stderr)
        for needle in needles:
            self.assertIn(needle, result.stderr)

    def dataset(self, name="set"):
        return json.loads((self.dir / name / "dataset.json").read_text())

    def tokens(self, name="set", split="train"):
        """Read by hand, as llm.c does."""
        tokens = []
        for shard in self.dataset(name)["splits"][split]["shards"]:
            data = (self.dir / name / shard["file"]).read_bytes()
            magic, version, count = struct.unpack_from("<3i", data)
            self.assertEqual((magic, version), (20240520, 1))
            self.assertEqual(len(data), 1024 + 2 * count)
            self.assertEqual(count, shard["tokens"])
            tokens += struct.unpack_from(f"<{count}H", data, 1024)
        return tokens

    def contents(self, name):
        return {path.name: path.read_bytes() for path in (self.dir / name).iterdir()}


class Sources(Case):
    def test_a_text_becomes_shards_that_hold_it(self):
        text = text_of(5000)
        self.file("a.txt", text)
        out = self.prepare("--source", "a:a.txt", "--out", "set", "--val-fraction", "0")
        self.assertIn("tokens to train on", out.stdout)
        self.assertEqual(bytes(self.tokens()), text.encode() + b"\n")
        self.assertEqual(self.tokens(split="val"), [])
        self.assertEqual({p.name for p in self.dir.iterdir()}, {"a.txt", "set"})

    def test_every_kind_of_input_together(self):
        text = text_of(300)
        rows = "".join(json.dumps({"body": f"row {i} é"}) + "\n" for i in range(200))
        self.file("texts/a.txt", text)
        self.file("texts/deeper/b.txt.gz", gzip.compress(text_of(200, 2).encode()))
        self.file("rows/c.jsonl.gz", gzip.compress(rows.encode()))
        self.prepare("--source", "texts:texts", "--source", "rows:rows/*.jsonl.gz", "--field", "body", "--out", "set",
                     "--val-fraction", "0.2", "--tokenizer", "characters")
        sources = self.dataset()["sources"]
        self.assertEqual([s["name"] for s in sources], ["texts", "rows"])
        self.assertEqual(len(sources[0]["inputs"]), 2)
        self.assertEqual(sources[1]["documents"], 200)
        for source in sources:
            part = source["val_tokens"] / (source["val_tokens"] + source["train_tokens"])
            self.assertAlmostEqual(part, 0.2, delta=0.15)
        fingerprint = subprocess.run(["xxh128sum", "texts/a.txt"], cwd=self.dir, capture_output=True, text=True) \
            if pathlib.Path("/usr/bin/xxh128sum").exists() else None
        if fingerprint:
            self.assertEqual(sources[0]["inputs"][0]["fingerprint"], "xxh128:" + fingerprint.stdout.split()[0])

    def test_zst_is_read(self):
        if not pathlib.Path("/usr/bin/zstd").exists():
            self.skipTest("the program zstd is not installed")
        self.file("a.txt", text_of(2000))
        subprocess.run(["zstd", "-q", "a.txt"], cwd=self.dir, check=True)
        self.prepare("--source", "a:a.txt", "--out", "plain")
        self.prepare("--source", "a:a.txt.zst", "--out", "zst")
        self.assertEqual(self.tokens("plain"), self.tokens("zst"))

    def test_the_separator_parts_documents(self):
        self.file("a.txt", "one<|endoftext|>two<|endoftext|>three")
        self.prepare("--source", "a:a.txt", "--separator", "<|endoftext|>", "--out", "set", "--val-fraction", "0")
        self.assertEqual(bytes(self.tokens()), b"one\ntwo\nthree\n")

    def test_filters_and_duplicates_are_counted(self):
        rows = ["A  B", "a  b", "x", "y" * 100, "A  B", ""]
        self.file("a.jsonl", "".join(json.dumps({"text": row}) + "\n" for row in rows))
        out = self.prepare("--source", "a:a.jsonl", "--out", "set", "--lowercase", "--squeeze-whitespace",
                           "--deduplicate", "--min-bytes", "2", "--max-bytes", "50", "--json", "--val-fraction", "0")
        source = json.loads(out.stdout)["sources"][0]
        self.assertEqual({k: source[k] for k in ("empty", "too_short", "too_long", "duplicates", "documents")},
                         {"empty": 1, "too_short": 1, "too_long": 1, "duplicates": 2, "documents": 3})
        self.assertEqual(bytes(self.tokens()), b"a b\n")
        shown = self.prepare("--source", "a:a.jsonl", "--out", "other", "--min-bytes", "2", "--max-bytes", "50").stdout
        self.assertIn("! left out of a: 1 empty, 1 too short, 1 too long", shown)

    def test_weights_and_repeats(self):
        self.file("a.txt", text_of(4000))
        self.file("b.txt", text_of(400, 2))
        both = ["--source", "a:a.txt", "--source", "b:b.txt"]
        self.prepare(*both, "--weight", "a:1", "--weight", "b:1", "--out", "even")
        a, b = self.dataset("even")["sources"]
        self.assertAlmostEqual(a["train_tokens"] / b["train_tokens"], 1, delta=0.2)
        self.prepare(*both, "--weight", "b:1", "--max-repeat", "3", "--out", "often")
        a, b = self.dataset("often")["sources"]
        self.assertAlmostEqual(b["repeated"], 3, delta=0.3)
        short = self.prepare(*both, "--weight", "b:9", "--total-tokens", "100k", "--out", "short").stdout
        self.assertIn("! b has ", short)
        self.assertIn("--repeat gives it more than once", short)

    def test_a_source_of_weight_0_is_left_out(self):
        self.file("a.txt", text_of(100))
        self.prepare("--source", "a:a.txt", "--source", "b:a.txt", "--weight", "b:0", "--out", "set")
        self.assertEqual([s["name"] for s in self.dataset()["sources"]], ["a"])

    def test_memory_does_not_grow_with_the_corpus(self):
        line = text_of(1000).encode()
        with gzip.open(self.dir / "large.txt.gz", "wb", compresslevel=1) as file:
            for _ in range(400_000_000 // len(line)):
                file.write(line)
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        self.prepare("--source", "a:large.txt.gz", "--out", "set", "--threads", "8")
        self.assertLess(max(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, before), 300 * 1024)
        self.assertGreater(self.dataset()["splits"]["train"]["tokens"], 300_000_000)


class BadInput(Case):
    def test_wrong_command_lines(self):
        self.file("a.txt", "text")
        good = ["--source", "a:a.txt", "--out", "set"]
        self.refused(2, ["--source", "a:a.txt"], "needs --out")
        self.refused(2, ["--out", "set"], "either --source NAME:GLOB or --mix DIR:RATIO")
        self.refused(2, [*good, "--mix", "x:1"], "either --source")
        self.refused(2, ["--source", "a b:a.txt", "--out", "set"], "NAME:GLOB")
        self.refused(1, ["--source", "a:none*", "--out", "set"], "no file matches none*")
        self.refused(2, [*good, "--source", "a:a.txt"], "two sources are called a")
        self.refused(2, [*good, "--weight", "b:1"], "there is no --source b")
        self.refused(2, [*good, "--weight", "a:0"], "sum to zero")
        for weight in ("a", "a:", "a:x", "a:-1", "a:nan", "a:inf", "a:1e400", ":1"):
            self.refused(2, [*good, "--weight", weight], "--weight")
        self.refused(2, [*good, "--total-tokens", "many"], "--total-tokens")
        self.refused(2, [*good, "--val-fraction", "1"], "--val-fraction")
        self.refused(2, [*good, "--min-bytes", "9", "--max-bytes", "8"], "--min-bytes is above --max-bytes")
        self.refused(2, [*good, "--sauce", "x"], "did you mean --source?")
        self.refused(1, [*good, "--tokenizer", "none"], "none")
        self.refused(2, [*good, "--append", "--tokenizer", "bytes"], "--append takes the tokenizer of the dataset")

    def test_empty_and_tiny_files(self):
        self.file("empty.txt", "")
        self.file("one.txt", "x")
        self.refused(1, ["--source", "a:empty.txt", "--out", "set"], "nothing is left to train on")
        out = self.prepare("--source", "a:one.txt", "--out", "set").stdout
        self.assertIn("a gives nothing for validation", out)
        self.assertEqual(bytes(self.tokens()), b"x\n")

    def test_text_that_is_hard(self):
        for name, content in {"crlf": b"a\r\nb\r\n", "nul": b"a\0b\n", "no newline": b"a b", "emoji": "😀".encode() * 9}.items():
            with self.subTest(name):
                self.file("x.txt", content)
                self.prepare("--source", "a:x.txt", "--out", name, "--val-fraction", "0")
                self.assertEqual(bytes(self.tokens(name)), content + b"\n")
        self.file("bom.txt", b"\xef\xbb\xbftext")
        self.prepare("--source", "a:bom.txt", "--out", "bom", "--val-fraction", "0")
        self.assertEqual(bytes(self.tokens("bom")), b"text\n")

    def test_invalid_utf8_is_named_by_line_and_offset(self):
        self.file("bad.txt", b"good\nbad \xff\n")
        self.refused(1, ["--source", "a:bad.txt", "--out", "set"], "bad.txt:2: it is not UTF-8 at offset 9", "iconv")

    def test_a_bad_row_is_named_by_its_number(self):
        rows = [json.dumps({"text": f"row {i}"}) for i in range(1, 1001)]
        rows[776] = "{\"text\": 7}"
        self.file("a.jsonl", "\n".join(rows))
        self.refused(1, ["--source", "a:a.jsonl", "--out", "set"], "a.jsonl:777: its 'text' is not a text")
        out = self.prepare("--source", "a:a.jsonl", "--out", "set", "--skip-bad").stdout
        self.assertIn("! left out of a: 1 not readable", out)

    def test_damaged_compression(self):
        whole = gzip.compress(text_of(5000).encode())
        self.file("cut.txt.gz", whole[:len(whole) // 2])
        self.refused(1, ["--source", "a:cut.txt.gz", "--out", "set"], "cut.txt.gz", "ends too early")

    def test_a_line_of_a_gigabyte(self):
        with gzip.open(self.dir / "line.txt.gz", "wb", compresslevel=1) as file:
            for _ in range(1 << 10):
                file.write(b"a" * (1 << 20))
        self.prepare("--source", "a:line.txt.gz", "--out", "set", "--val-fraction", "0.01")
        splits = self.dataset()["splits"]
        self.assertGreaterEqual(splits["train"]["tokens"] + splits["val"]["tokens"], 1 << 30)

    def test_places_that_cannot_be_written(self):
        self.file("a.txt", "text")
        self.file("full/x", "y")
        self.refused(1, ["--source", "a:a.txt", "--out", "a.txt"], "is a file")
        self.refused(1, ["--source", "a:a.txt", "--out", "full"], "is not empty")
        self.refused(1, ["--source", "a:a.txt", "--out", "/proc/set"], "/proc")

    def test_what_is_there_is_not_overwritten(self):
        self.file("a.txt", text_of(50))
        self.prepare("--source", "a:a.txt", "--out", "set")
        before = self.contents("set")
        self.refused(1, ["--source", "a:a.txt", "--out", "set"], "already holds a dataset", "--append")
        self.assertEqual(self.contents("set"), before)
        self.refused(1, ["--source", "a:a.txt", "--out", "other", "--append"], "holds no dataset")

    def test_a_full_disk_loses_nothing(self):
        self.file("a.txt", text_of(40000))
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
        result = run("prepare", "--source", "a:a.txt", "--out", "set", cwd=self.dir, preexec_fn=limit)
        if result.returncode >= 0:  # the signal SIGXFSZ may end it
            self.assertEqual(result.returncode, 1)
            self.assertIn("ulimit", result.stderr)
        self.assertFalse((self.dir / "set").exists())
        self.prepare("--source", "a:a.txt", "--out", "set")


class Interruptions(Case):
    def setUp(self):
        super().setUp()
        self.file("a.txt", text_of(400_000))
        self.command = ["prepare", "--source", "a:a.txt", "--out", "set", "--threads", "1", "--deduplicate"]

    def start(self):
        return subprocess.Popen([PROGRAM, *self.command], cwd=self.dir, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True)

    def test_killed_at_any_time_it_goes_on_to_the_same_dataset(self):
        began = time.monotonic()
        self.prepare(*self.command[1:-3], "--deduplicate")
        whole = time.monotonic() - began
        straight = self.contents("set")
        subprocess.run(["rm", "-r", "set"], cwd=self.dir, check=True)
        draw = random.Random(1)
        kills = 0
        while kills < 30:
            process = self.start()
            try:
                process.communicate(timeout=draw.uniform(0, 1.2 * whole))
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                kills += 1
                self.assertTrue(not (self.dir / "set").exists() or self.contents("set") == straight)
            if (self.dir / "set").exists():
                self.assertEqual(self.contents("set"), straight)
                subprocess.run(["rm", "-r", "set"], cwd=self.dir, check=True)
        self.prepare(*self.command[1:])
        self.assertEqual(self.contents("set"), straight)
        self.assertEqual({p.name for p in self.dir.iterdir()}, {"a.txt", "set"})

    def test_ctrl_c_keeps_what_is_done_and_says_so(self):
        process = self.start()
        time.sleep(0.15)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=HANGS)
        if process.returncode != 0:  # it may have been done already
            self.assertEqual(process.returncode, 130, out + err)
            self.assertIn("the same command goes on", out)
            self.prepare(*self.command[1:])
        self.assertTrue((self.dir / "set" / "dataset.json").exists())


class AppendAndMix(Case):
    def setUp(self):
        super().setUp()
        self.file("a.txt", text_of(3000))
        self.file("b.txt", text_of(3000, 2))

    def test_append_adds_shards_and_keeps_the_old_ones(self):
        self.prepare("--source", "a:a.txt", "--out", "set", "--tokenizer", "characters")
        before, tokens = self.contents("set"), self.tokens()
        self.prepare("--source", "b:b.txt", "--out", "set", "--append")
        after = self.contents("set")
        self.assertEqual(after["train_000000.bin"], before["train_000000.bin"])
        self.assertEqual(after["tokenizer.json"], before["tokenizer.json"])
        self.assertEqual(self.tokens()[:len(tokens)], tokens)
        self.assertEqual([s["name"] for s in self.dataset()["sources"]], ["a", "b"])
        again = self.tokens()
        twice = self.prepare("--source", "a:a.txt", "--out", "set", "--append", "--deduplicate", "--json")
        source = json.loads(twice.stdout)["sources"][0]
        self.assertEqual(source["duplicates"], source["documents"])
        self.assertEqual(self.tokens(), again)

    def test_append_refuses_characters_that_the_tokenizer_does_not_know(self):
        self.prepare("--source", "a:a.txt", "--out", "set", "--tokenizer", "characters")
        before = self.contents("set")
        self.file("c.txt", "the day\nÄÖÜ\n")
        self.refused(1, ["--source", "c:c.txt", "--out", "set", "--append"],
                     "c.txt:1: the tokenizer has no token for the character 'Ä'", "--skip-bad")
        self.file("c.jsonl", '{"text": "day"}\n{"text": "Ä"}\n')
        self.refused(1, ["--source", "c:c.jsonl", "--out", "set", "--append"], "c.jsonl:2: the tokenizer has no token")
        self.assertEqual(self.contents("set"), before)
        self.prepare("--source", "c:c.jsonl", "--out", "set", "--append", "--skip-bad")
        self.assertEqual(self.dataset()["sources"][1]["bad"], 1)

    def test_mix(self):
        self.prepare("--source", "a:a.txt", "--out", "a")
        self.prepare("--source", "b:b.txt", "--out", "b")
        self.prepare("--mix", "a:1", "--mix", "b:3", "--out", "mixed")
        a, b = self.dataset("mixed")["sources"]
        self.assertAlmostEqual(b["train_tokens"] / a["train_tokens"], 3, delta=0.3)
        self.assertAlmostEqual(b["val_tokens"] / a["val_tokens"], 3, delta=1)
        self.prepare("--source", "b:b.txt", "--out", "other", "--tokenizer", "characters")
        self.refused(1, ["--mix", "a:1", "--mix", "other:1", "--out", "x"], "another tokenizer")
        self.refused(1, ["--mix", "none:1", "--out", "x"], "there is no dataset none")
        self.refused(2, ["--mix", "a:0", "--out", "x"], "sum to zero")

    def test_mix_says_what_validates_in_one_and_trains_in_the_other(self):
        rows = "".join(json.dumps({"text": f"row {i}"}) + "\n" for i in range(300))
        self.file("r.jsonl", rows)
        self.prepare("--source", "r:r.jsonl", "--out", "a", "--val-fraction", "0.1")
        self.prepare("--source", "r:r.jsonl", "--out", "b", "--val-fraction", "0.5")
        self.assertIn("texts are for training in one", self.prepare("--mix", "a:1", "--mix", "b:1", "--out", "m").stdout)


class DataInfo(Case):
    def info(self, *arguments, code=0):
        result = run("data", "info", *arguments, cwd=self.dir)
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        return result

    def test_what_a_dataset_holds(self):
        self.file("a.txt", text_of(3000))
        self.prepare("--source", "a:a.txt", "--out", "set")
        info = json.loads(self.info("set", "--json", "--tokens", "1M").stdout)
        self.assertEqual(info["splits"]["train"]["tokens"], len(self.tokens()))
        self.assertEqual(info["bytes_per_token"], 1)
        self.assertAlmostEqual(info["coverage"]["times"], 1e6 / len(self.tokens()))
        self.assertEqual(len(info["samples"]), 2)
        self.assertIn(info["samples"][0], text_of(3000))
        shown = self.info("set", "--preset", "tiny_char").stdout
        self.assertIn("prepared by tinygpt; bytes, 256 tokens", shown)
        self.assertIn("a run of 10,240,000 tokens sees each", shown)

    def test_coverage_is_told_in_bands(self):
        self.file("a.txt", text_of(3000))
        self.prepare("--source", "a:a.txt", "--out", "set")
        there = len(self.tokens())
        for times, advice in ((0.5, "no token is seen twice"), (3, "costs little"), (10, "add data if you can"),
                              (30, "add data"), (100, "teaches nothing")):
            self.assertIn(advice, self.info("set", "--tokens", int(times * there)).stdout)

    def test_shards_of_others(self):
        (self.dir / "nano").mkdir()
        for split in ("train", "val"):
            self.file(f"nano/{split}.bin", struct.pack("<100H", *range(100)))
        self.assertIn("nanoGPT", self.info("nano").stdout)

    def test_bad_datasets_are_one_sentence(self):
        for arguments, needle in ((["none"], "there is no dataset none"), ([], "needs the directory")):
            result = run("data", "info", *arguments, cwd=self.dir)
            self.assertIn(result.returncode, (1, 2))
            self.assertIn(needle, result.stderr)
        self.file("a.txt", text_of(300))
        self.prepare("--source", "a:a.txt", "--out", "set")
        shard = self.dir / "set" / "train_000000.bin"
        data = bytearray(shard.read_bytes())
        struct.pack_into("<H", data, 1024 + 2 * 77, 256)
        shard.write_bytes(data)
        self.assertIn("token 77, at byte 1178, is 256", self.info("set", code=1).stderr)


if __name__ == "__main__":
    unittest.main()
