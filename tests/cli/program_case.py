"""What the tests of a model's program share: running it, a text to train on, and one sentence for what goes wrong."""
import json
import os
import pathlib
import random
import select
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 else None
HANGS = 3600  # seconds, against what never ends: no machine on which it works needs as long
TINY = ["--batch-size", "1", "--eval-iters", "1", "--warmup-iters", "2"]  # steps of a few milliseconds

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # these tests are of the cpu, whatever the machine has


def run(*arguments, timeout=HANGS, **options):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, timeout=timeout, **options)


def write_text(path, lines=400):
    rng = random.Random(7)
    words = "the quick brown fox jumps over a lazy dog and sings its song of seven seas".split()
    path.write_text("\n".join(" ".join(rng.choice(words) for _ in range(12)) for _ in range(lines)) + "\n")
    return path


TABLE = []
for i in range(256):
    for _ in range(8):
        i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
    TABLE.append(i)


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ TABLE[(value ^ byte) & 255]
    return f"{value ^ 0xFFFFFFFF:08x}"


def rewrite(step, name, content):
    """Another file in a checkpoint, with its right checksum."""
    (step / name).write_bytes(content)
    manifest = json.loads((step / "manifest.json").read_text())
    manifest.pop("crc32c", None)  # as before it had a sum of its own
    manifest["files"][name] = {"bytes": len(content), "crc32c": crc32c(content)}
    (step / "manifest.json").write_text(json.dumps(manifest))


def state_of(step):
    return json.loads((step / "trainer_state.json").read_text())


def wait_for(stream, needle, seconds=HANGS):
    """Reads until the needle has come."""
    end, seen = time.monotonic() + seconds, b""
    while needle not in seen:
        if time.monotonic() > end or not select.select([stream], [], [], 1)[0] and time.monotonic() > end:
            raise TimeoutError(seen)
        piece = os.read(stream.fileno() if hasattr(stream, "fileno") else stream, 4096)
        if not piece:
            raise EOFError(seen)
        seen += piece
    return seen


class ProgramCase(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.class_directory = tempfile.TemporaryDirectory(prefix="tinygpt-cli-")
        cls.base = pathlib.Path(cls.class_directory.name)
        cls.text = write_text(cls.base / "text.txt")

    @classmethod
    def tearDownClass(cls):
        cls.class_directory.cleanup()

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(dir=self.base))

    def train(self, out, *arguments, code=0, text=None, tiny=TINY, **options):
        result = run("train", "--input-file", text or self.text, "--out", out, *tiny, *arguments, **options)
        self.assertEqual(result.returncode, code, result.stderr.decode() + result.stdout.decode())
        return result

    def start(self, out, *arguments, text=None, **options):
        return subprocess.Popen([PROGRAM, "train", "--input-file", text or self.text, "--out", out, *TINY, *map(str, arguments)],
                                stdout=options.pop("stdout", subprocess.PIPE), stderr=subprocess.PIPE, cwd=self.dir, **options)

    def refused(self, result, code, *needles):
        """One sentence on standard error, with the right exit code."""
        error = result.stderr.decode()
        self.assertEqual(result.returncode, code, error)
        self.assertEqual(error.count("\n"), 1, error)
        self.assertTrue(error.startswith("tinygpt-"), error)
        for needle in needles:
            self.assertIn(needle, error)

    def steps(self, out):
        return [p.name for p in sorted(out.glob("step-*"))]


def main(doc):
    if PROGRAM is None:
        sys.exit(doc)
    unittest.main(verbosity=2)
