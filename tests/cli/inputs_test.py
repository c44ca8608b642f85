#!/usr/bin/env python3
"""Gives the programs files that are not quite what they seem: other encodings, archives, rows, images, pipes.

    inputs_test.py TOOL PRESET [unittest arguments...]      the built tinygpt, and tinygpt-tiny_char
"""
import gzip
import json
import os
import pathlib
import resource
import struct
import subprocess
import sys
import tempfile
import unittest

TOOL, PRESET = (pathlib.Path(sys.argv.pop(1)).resolve() for _ in range(2)) if len(sys.argv) > 2 else (None, None)

ROWS = b'{"text":"hello"}\n{"text":"world"}\n'
TEXT = "In the beginning God created the heaven and the earth.\n"
# Frames of zstd whose blocks are stored as they are: RFC 8878, 3.1.1. A window of 128 MiB is 0x88, of 2 GiB 0xA8.
FRAME = b"\x28\xB5\x2F\xFD"


def zstd(content, window=0x88):
    """One frame with one stored block."""
    return FRAME + bytes([0, window]) + struct.pack("<I", len(content) << 3 | 1)[:3] + content


def skippable(content, nibble=0):
    return bytes([0x50 + nibble, 0x2A, 0x4D, 0x18]) + struct.pack("<I", len(content)) + content


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="tinygpt-inputs-")
        self.addCleanup(directory.cleanup)
        self.dir = pathlib.Path(directory.name)
        self.number = 0

    def file(self, name, content):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def run_tool(self, *arguments, program=None, **options):
        result = subprocess.run([program or TOOL, *arguments], capture_output=True, timeout=3600, cwd=self.dir, **options)
        result.out, result.err = (o.decode(errors="replace") for o in (result.stdout, result.stderr))
        return result

    def refused(self, arguments, *sentences, code=1, program=None):
        result = self.run_tool(*arguments, program=program)
        self.assertEqual(result.returncode, code, result.out + result.err)
        for sentence in sentences:
            self.assertIn(sentence, result.err)
        self.assertEqual(len(result.err.strip().splitlines()), 1, result.err)
        return result.err

    def prepare(self, *sources, more=()):
        """The report and the directory of a dataset of bytes, all of it to train on."""
        self.number += 1
        out = f"set{self.number}"
        flags = [part for source in sources for part in ("--source", source)]
        result = self.run_tool("prepare", *flags, "--out", out, "--val-fraction", "0", "--json", *more)
        self.assertEqual(result.returncode, 0, result.out + result.err)
        return json.loads(result.out), self.dir / out

    def text_of(self, dataset):
        shard = (dataset / "train_000000.bin").read_bytes()[1024:]
        return bytes(shard[::2])


class Rows(Case):
    def test_json_lines_under_every_usual_name(self):
        for name in ("a.jsonl", "a.JSONL", "a.ndjson", "a.jsonlines", "a.json", "a.JSON", "part-00000", "a.jsonl.1"):
            for suffix, packed in (("", ROWS), (".gz", gzip.compress(ROWS)), (".GZ", gzip.compress(ROWS)),
                                   (".zst", zstd(ROWS))):
                if suffix and name.endswith((".1", "00000")):
                    continue
                with self.subTest(name + suffix):
                    self.file("in/" + name + suffix, packed)
                    report, _ = self.prepare("a:in/" + name + suffix)
                    self.assertEqual(report["sources"][0]["documents"], 2)
                    self.assertEqual(report["sources"][0]["bytes"], 10)

    def test_a_byte_order_mark_before_rows(self):
        self.file("a.json", b"\xEF\xBB\xBF" + ROWS)
        self.assertEqual(self.prepare("a:a.json")[0]["sources"][0]["bytes"], 10)

    def test_json_that_is_no_rows_is_refused_by_name(self):
        for content, what in (('[{"text":"a"}]', "a JSON array"), ('{\n "text": "a"\n}\n', "one JSON document"),
                              ('"a"\n', "not JSON Lines")):
            self.file("a.json", content)
            self.refused(["prepare", "--source", "a:a.json", "--out", "o"], "a.json", what)
            self.refused(["tokenizer", "train", "--input", "a.json", "--vocab-size", "300", "--out", "t"], what)

    def test_rows_that_are_called_text_are_text_and_said_to_be(self):
        self.file("a.txt", ROWS)
        result = self.run_tool("prepare", "--source", "a:a.txt", "--val-fraction", "0", "--out", "o")
        self.assertEqual(result.returncode, 0, result.err)
        self.assertIn("JSON Lines that were read as plain text", result.out)
        self.assertTrue(self.text_of(self.dir / "o").startswith(ROWS))

    def test_members_that_are_not_asked_for_are_passed_over(self):
        rows = ['{"id":1e400,"text":"a"}', '{"score":NaN,"text":"b"}', '{"x":[-Infinity,{"y":' + "9" * 400 + '}],"text":"c"}',
                '{"s":"\\ud800","text":"d"}', '{"te\\u0078t":"e"}', '{"text":"\\ud83d\\ude00\\n\\"","n":-0.5e-3}']
        self.file("a.jsonl", "\n".join(rows))
        report, dataset = self.prepare("a:a.jsonl")
        self.assertEqual(report["sources"][0]["documents"], len(rows))
        self.assertEqual(self.text_of(dataset), "a\nb\nc\nd\ne\n\U0001F600\n\"\n".encode())

    def test_rows_that_are_not_json_are_named(self):
        for row in ('{"text":"a",}', '{"a":01,"text":"a"}', '{"a":1.,"text":"a"}', '{"a":nan,"text":"a"}', '{"text":"a"',
                    "{'text':'a'}", '{"text":"a"}}', '{"a":[1 2],"text":"a"}', '{"text":"\\x41"}', '{"text":"\t"}',
                    '{"text":"\\ud800"}', '{"a":+1,"text":"a"}', '{"a" 1,"text":"a"}', '{,"text":"a"}'):
            with self.subTest(row):
                self.file("a.jsonl", ROWS.decode() + row + "\n")
                self.refused(["prepare", "--source", "a:a.jsonl", "--out", "o"], "a.jsonl:3: it is not JSON at byte")


class Archives(Case):
    def test_frames_that_zstd_passes_over(self):
        text = TEXT.encode()
        for packed in (skippable(b"size") + zstd(text), skippable(b"", 15) + skippable(b"ab", 3) + zstd(text[:9]) +
                       skippable(b"seek table") + zstd(text[9:]) + skippable(b"x" * 300_000)):
            self.file("a.txt.zst", packed)
            self.assertEqual(self.text_of(self.prepare("a:a.txt.zst")[1]), text + b"\n")
            self.file("a.jsonl.zst", skippable(b"1234") + zstd(ROWS))
            self.assertEqual(self.prepare("a:a.jsonl.zst")[0]["sources"][0]["documents"], 2)
        result = self.run_tool("tokenizer", "train", "--input", "a.jsonl.zst", "--vocab-size", "257", "--out", "t", "--json")
        self.assertEqual(json.loads(result.out)["bytes"], 10, result.err)

    def test_a_long_window_is_read_or_named(self):
        self.file("w28.txt.zst", zstd(TEXT.encode(), 0x90))
        self.assertEqual(self.prepare("a:w28.txt.zst")[0]["sources"][0]["bytes"], len(TEXT))
        self.file("w31.txt.zst", zstd(TEXT.encode(), 0xA8))
        limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        result = self.run_tool("prepare", "--source", "a:w31.txt.zst", "--threads", "1", "--out", "o", preexec_fn=limit)
        self.assertEqual(result.returncode, 3, result.err)
        self.assertIn("its zstd window takes 2.1 GB of memory", result.err)
        self.assertNotIn("damaged", result.err)

    def test_zeros_after_the_end_are_no_text_and_other_bytes_are_named(self):
        text = TEXT.encode()
        for name, packed, what in (("a.txt.gz", gzip.compress(text), "gzip member"), ("a.txt.zst", zstd(text), "zstd frame")):
            for zeros in (1, 512, 600_000):
                self.file(name, packed + bytes(zeros))
                self.assertEqual(self.text_of(self.prepare("a:" + name)[1]), text + b"\n")
            for rest in (b"garbage that follows", bytes(100) + b"x", b"\x1f\x8bno member at all", b"\x1f"):
                if name.endswith("gz") and rest == b"\x1f":
                    continue  # the beginning of another member, cut short
                with self.subTest(name, rest=rest):
                    self.file(name, packed + rest)
                    error = self.refused(["prepare", "--source", "a:" + name, "--out", "o"], "other bytes follow its last " + what)
                    self.assertIn("head -c", error)

    def test_an_archive_inside_is_named(self):
        tar = b"name".ljust(257, b"\0") + b"ustar\0" + bytes(249) + TEXT.encode() + bytes(457)
        self.file("a.tar.gz", gzip.compress(tar))
        self.refused(["prepare", "--source", "a:a.tar.gz", "--out", "o"], "a tar archive")


KINDS = [("gzip", gzip.compress(TEXT.encode()), "it is gzip: unpack it"), ("zstd", zstd(TEXT.encode()), "it is zstd: unpack it"),
         ("utf-16", TEXT.encode("utf-16"), "iconv -f UTF-16 -t UTF-8"), ("utf-16le", TEXT.encode("utf-16-le"), "iconv -f UTF-16LE"),
         ("utf-16be", TEXT.encode("utf-16-be"), "iconv -f UTF-16BE"), ("utf-32", TEXT.encode("utf-32"), "iconv -f UTF-32 -t UTF-8"),
         ("utf-32be", TEXT.encode("utf-32-be"), "iconv -f UTF-32BE"), ("png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(50), "a PNG image, not text"),
         ("jpeg", b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(50), "a JPEG image"), ("pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(30), "a PDF"),
         ("zip", b"PK\x03\x04\x14\0" + bytes(50), "a ZIP archive"), ("parquet", b"PAR1\x15\x04\x15\xe0" + bytes(50), "Parquet"),
         ("elf", b"\x7fELF\x02\x01\x01" + bytes(50), "a program (ELF)"), ("xz", b"\xfd7zXZ\0" + bytes(20), "it is xz"),
         ("sqlite", b"SQLite format 3\0" + bytes(80), "an SQLite database"), ("gif", b"GIF89a\x01\0\x01\0\x80" + bytes(9), "a GIF image")]


class Kinds(Case):
    def test_what_a_file_is_instead_of_text_is_said(self):
        for name, content, what in KINDS:
            with self.subTest(name):
                self.file("in.txt", content)
                error = self.refused(["train", "--input-file", "in.txt", "--out", "m"], "in.txt", what, program=PRESET)
                self.assertNotIn("LATIN1", error)
                if name not in ("gzip", "zstd"):
                    self.refused(["prepare", "--source", "a:in.txt", "--out", "o"], "in.txt", what)
                    self.refused(["tokenizer", "train", "--input", "in.txt", "--vocab-size", "300", "--out", "t"], what)

    def test_text_that_begins_like_another_kind_is_text(self):
        for text in ("GIF89a is a format\n", "PAR1 and PAR2\n", "BM\n", "MZ, a novel\n", "%PDF- is how it begins\n", "ID3\n",
                     "caf\u00e9 " * 2000, "BZh\n"):
            self.file("in.txt", text)
            self.assertEqual(self.prepare("a:in.txt")[0]["sources"][0]["bytes"], len(text.encode()))

    def test_latin_1_and_bytes_of_no_encoding(self):
        self.file("in.txt", b"caf\xe9 au lait\n" * 100)
        self.refused(["train", "--input-file", "in.txt", "--out", "m"], "iconv -f LATIN1", program=PRESET)
        self.file("in.txt", b"\x01\x02\xe9\0\xff" * 100)
        error = self.refused(["train", "--input-file", "in.txt", "--out", "m"], "it holds zero bytes", program=PRESET)
        self.assertNotIn("iconv", error)

    def test_a_byte_order_mark_is_no_text_in_any_command(self):
        plain, marked = self.file("plain.txt", TEXT), self.file("marked.txt", b"\xEF\xBB\xBF" + TEXT.encode())
        tokenizers = []
        for path in (plain, marked):
            out = path.stem
            self.run_tool("tokenizer", "train", "--input", path, "--vocab-size", "270", "--out", out)
            tokenizers.append((self.dir / out / "tokenizer.json").read_bytes())
        self.assertEqual(*tokenizers)
        encode = lambda path: self.run_tool("tokenizer", "encode", "--tokenizer", "plain", "--input-file", path).out
        self.assertEqual(encode(plain), encode(marked))
        self.assertTrue(encode(plain))
        piped = self.run_tool("tokenizer", "encode", "--tokenizer", "plain", input=marked.read_bytes())
        self.assertEqual(piped.out, encode(plain))
        self.assertEqual(self.text_of(self.prepare("a:plain.txt")[1]), self.text_of(self.prepare("a:marked.txt")[1]))

    def test_folders_with_other_files(self):
        self.file("blog/a.txt", TEXT)
        self.file("blog/old.html", "<p>old</p>\n")
        self.file("blog/photo.jpg", KINDS[8][1])
        self.file("blog/data.json", "[1]")
        result = self.run_tool("prepare", "--source", "blog", "--exclude", "*.html", "--val-fraction", "0", "--out", "set")
        self.assertEqual(result.returncode, 0, result.err)
        self.assertIn("passed over in blog: 2 files", result.out)
        self.assertIn("photo.jpg (it is a JPEG image, not text)", result.out)
        self.assertEqual(self.text_of(self.dir / "set"), TEXT.encode() + b"\n")
        trained = self.run_tool("tokenizer", "train", "--input", "blog", "--vocab-size", "260", "--out", "tok")
        self.assertIn("photo.jpg (it is a JPEG image, not text)", trained.out, trained.err)
        self.file("blog/latin.txt", b"caf\xe9\n")
        command = ["tokenizer", "train", "--input", "blog", "--vocab-size", "260", "--out"]
        self.refused([*command, "tok2"], "latin.txt:1", "--skip-bad")
        skipped = self.run_tool(*command, "tok2", "--skip-bad")
        self.assertEqual(skipped.returncode, 0, skipped.err)
        self.assertIn("latin.txt:1: it is not UTF-8", skipped.out)
        skipped = self.run_tool("prepare", "--source", "blog", "--skip-bad", "--out", "set2")
        self.assertIn("1 not readable: blog/latin.txt:1: it is not UTF-8", skipped.out)
        self.file("blog/wide.txt", TEXT.encode("utf-16"))
        self.refused(["prepare", "--source", "blog", "--out", "set3"], "wide.txt", "UTF-16")

    def test_pipes_and_devices_are_refused(self):
        os.mkfifo(self.dir / "pipe")
        self.run_tool("tokenizer", "train", "--input", self.file("a.txt", TEXT), "--vocab-size", "260", "--out", "tok")
        for path in ("pipe", "/dev/zero", "/dev/null"):
            self.refused(["train", "--input-file", path, "--out", "m"], "is not a regular file", program=PRESET)
            self.refused(["prepare", "--source", "a:" + path, "--out", "o"], "is not a regular file")
            self.refused(["tokenizer", "train", "--input", path, "--vocab-size", "260", "--out", "t"], "is not a regular file")
            self.refused(["tokenizer", "encode", "--tokenizer", "tok", "--input-file", path], "is not a regular file")


class Names(Case):
    def test_names_that_are_not_utf_8(self):
        folder = os.fsencode(self.dir) + b"/d\xe9"
        os.mkdir(folder)
        with open(folder + b"/caf\xe9.txt", "wb") as file:
            file.write(TEXT.encode())
        _, dataset = self.prepare(b"a:d\xe9", more=["--separator", b"\xff", "--field", b"\xfe"])
        source = json.loads((dataset / "dataset.json").read_text())["sources"][0]
        self.assertEqual(source["inputs"][0]["path"], "d\\xE9/caf\\xE9.txt")
        self.assertEqual(json.loads((dataset / "dataset.json").read_text())["options"]["separator"], "\\xFF")
        self.assertEqual(self.run_tool("data", "info", dataset).returncode, 0)

    def test_a_file_or_folder_alone_is_a_source_of_its_name(self):
        self.file("my blog/a.txt", TEXT)
        self.file("texts.v2.txt", TEXT)
        for source, name in (("my blog", "my_blog"), ("my blog/", "my_blog"), ("texts.v2.txt", "texts"), ("my blog/*.txt", "my_blog")):
            self.assertEqual(self.prepare(source)[0]["sources"][0]["name"], name)
        self.refused(["prepare", "--source", "nothing", "--out", "o"], "no file matches nothing")
        self.refused(["prepare", "--source", "a b:c", "--out", "o"], "NAME:GLOB", code=2)

    def test_a_dataset_without_its_list_of_sources(self):
        self.file("a.txt", TEXT)
        _, dataset = self.prepare("a:a.txt")
        content = json.loads((dataset / "dataset.json").read_text())
        del content["sources"]
        (dataset / "dataset.json").write_text(json.dumps(content))
        self.refused(["prepare", "--source", "b:a.txt", "--append", "--out", dataset], "'sources' must be a list")
        content["sources"] = []
        content["splits"]["train"]["shards"][0]["file"] = "train_000000.bin\0x"
        (dataset / "dataset.json").write_text(json.dumps(content))
        self.refused(["data", "info", dataset], "is not the plain name of a file")


class Tokens(Case):
    def raw(self, code, ids, more={}):
        folder = self.dir / f"raw{self.number}"
        self.number += 1
        folder.mkdir()
        for name, part in (("train.bin", ids), ("val.bin", ids[:500])):
            (folder / name).write_bytes(struct.pack(f"<{len(part)}{code}", *part))
        for name, content in more.items():
            (folder / name).write_text(json.dumps(content))
        return folder

    def info(self, folder):
        result = self.run_tool("data", "info", folder, "--json")
        self.assertEqual(result.returncode, 0, result.err)
        return json.loads(result.out)["splits"]["train"]["tokens"]

    def test_ids_of_four_bytes_are_told_from_those_of_two(self):
        ids = [(i * 7919) % 70_000 for i in range(2000)]
        self.assertEqual(self.info(self.raw("I", ids)), 2000)
        self.assertEqual(self.info(self.raw("I", [i % 256 for i in ids])), 2000)
        self.assertEqual(self.info(self.raw("H", [i % 65_536 for i in ids])), 2000)
        for size in (2, 5, 16, 17, 65, 256):
            self.assertEqual(self.info(self.raw("H", [i % size for i in ids])), 2000, size)
        self.refused(["data", "info", self.raw("I", ids, {"dataset_metadata.json": {"dtype": "uint16"}})],
                     "every second number is the upper half of a uint32")

    def test_the_samples_begin_at_words_and_the_vocabulary_is_compared(self):
        self.file("a.txt", "In the beginning was the word and then another line of words\n" * 400)
        _, dataset = self.prepare("a:a.txt")
        result = self.run_tool("data", "info", dataset, "--preset", "tiny", "--json")
        report = json.loads(result.out)
        for sample in report["samples"]:
            self.assertTrue(sample.startswith("In the beginning"), sample[:40])
        self.assertIn("256 ids", report["remark"])
        self.assertNotIn("remark", json.loads(self.run_tool("data", "info", dataset, "--preset", "tiny_char", "--json").out))


class Costs(Case):
    def test_long_rows_do_not_take_their_multiple_of_memory(self):
        self.file("small.txt", TEXT)
        self.run_tool("tokenizer", "train", "--input", "small.txt", "--vocab-size", "270", "--out", "tok")
        with gzip.open(self.dir / "rows.jsonl.gz", "wb", 1) as file:
            for _ in range(2):
                file.write(b'{"text":"' + b"a" * (40 << 20) + b'"}\n')
        usage = self.dir / "usage"
        code = ("import os, sys; pid = os.spawnv(os.P_NOWAIT, sys.argv[2], sys.argv[2:]); _, status, use = os.wait4(pid, 0);"
                "open(sys.argv[1], 'w').write(str(use.ru_maxrss)); sys.exit(os.waitstatus_to_exitcode(status))")
        result = self.run_tool("-c", code, usage, TOOL, "prepare", "--source", "a:rows.jsonl.gz", "--out", "set",
                               "--tokenizer", "tok", "--threads", "4", program=sys.executable)
        self.assertEqual(result.returncode, 0, result.err)
        self.assertLess(int(usage.read_text()), 300_000, "kB, as the README has it")

    def test_fewer_threads_than_asked_are_fewer_threads(self):
        self.file("a.txt", TEXT * 100)
        self.dir.chmod(0o777)
        nobody = 65534

        def one_thread():
            if os.getuid() == 0:  # whom the limit does not bind
                os.setgid(nobody)
                os.setuid(nobody)
            resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))

        for command in (["prepare", "--source", "a:a.txt", "--out", "set", "--threads", "8"],
                        ["tokenizer", "train", "--input", "a.txt", "--vocab-size", "260", "--out", "tok", "--threads", "8"]):
            try:
                result = self.run_tool(*command, preexec_fn=one_thread)
            except PermissionError:
                self.skipTest("another user may not run the program here")
            self.assertEqual(result.returncode, 0, result.err)

    def test_many_files_take_time_in_proportion(self):
        def seconds(n):
            folder = self.dir / f"many{n}"
            folder.mkdir()
            for i in range(n):
                (folder / f"{i}.txt").write_bytes(b"a\n")
            least = 1e9
            for attempt in range(2):
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                result = self.run_tool("tokenizer", "train", "--input", folder, "--vocab-size", "257", "--out", f"t{n}.{attempt}")
                self.assertEqual(result.returncode, 0, result.err)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                least = min(least, after.ru_utime - before.ru_utime)
            return least

        small, large = seconds(2500), seconds(10_000)
        self.assertLess(large, 10 * small + 0.2)  # user time; what is quadratic takes sixteen times


if __name__ == "__main__":
    unittest.main()
