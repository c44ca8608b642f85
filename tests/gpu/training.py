#!/usr/bin/env python3
"""Trains with a preset's program and compares the models that it leaves.

    training.py PROGRAM --backend gpu|cpu [--scratch DIR] [--steps N]

  - three runs of N steps (200) leave the same bits;
  - a run that was stopped halfway and resumed leaves the same bits;
  - the same with bf16, where the backend has it, whose loss after half of the steps is within 1 % of float32's;
  - a model of this backend goes on training and writes on the other, and the other way round.

With --backend cpu it shows that the comparisons themselves hold, on any machine; "the other" is then the cpu too.
"""
import argparse
import hashlib
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

WORDS = """the and of that to in he shall unto for i his a lord they be is him not them it with all thou thy was god
which my me said but ye their have thee from as are when this out were upon man you by israel king son up there hath then
people came had house into on her come one we before your also day land men let go against""".split()


def write_text(path, words=60_000):
    """Sentences in which a word depends on the one before it, so that there is something to learn."""
    chance = random.Random(1611)
    follows = {word: chance.sample(WORDS, 6) for word in WORDS}
    word, lines, line = WORDS[0], [], []
    for _ in range(words):
        word = chance.choice(follows[word])
        line.append(word)
        if len(line) > 8 and chance.random() < 0.15:
            lines.append(" ".join(line).capitalize() + ".")
            line = []
    path.write_text("\n".join(lines) + "\n")
    return path


class Runs:
    def __init__(self, program, scratch, text, steps):
        self.program, self.scratch, self.text, self.steps = program, scratch, text, steps
        self.failures = 0

    def call(self, *arguments):
        # A cache of its own: the first run on a GPU times matrix products, and the others find what it chose.
        run = subprocess.run([self.program, *map(str, arguments)], capture_output=True, text=True,
                             env={**os.environ, "TINYGPT_CACHE": str(self.scratch / "cache")})
        if run.returncode != 0:
            sys.exit(f"{self.program.name} {' '.join(map(str, arguments))}\nended with {run.returncode}: {run.stderr}")
        return run.stdout

    def train(self, name, *arguments, resume=False, steps=None):
        """Trains the run `name` to `steps`, and gives its newest checkpoint. The learning rate falls until `steps`."""
        out = self.scratch / name
        common = ["--max-iters", steps or self.steps]
        first = ["--batch-size", 8, "--warmup-iters", 20, "--eval-iters", 4, "--dropout", 0.1,
                 "--learning-rate", "1e-3", "--eval-interval", self.steps // 2]
        self.call("train", "--input-file", self.text, "--out", out, *common, *([] if resume else first),
                  *(["--resume"] if resume else []), *arguments)
        return sorted(out.glob("step-*"))[-1]

    def losses(self, name):
        lines = [json.loads(line) for line in open(self.scratch / name / "metrics.jsonl")]
        return {line["step"]: line["loss"] for line in lines if "loss" in line}

    def says(self, sentence, holds, detail=""):
        print(f"{'ok     ' if holds else 'FAILED '}{sentence}{': ' + detail if detail else ''}", flush=True)
        self.failures += not holds


def bits(checkpoint):
    """What a run has learned, and all that its optimizer remembers."""
    digest = hashlib.sha256()
    for name in ("model.safetensors", "optimizer.safetensors"):
        digest.update((checkpoint / name).read_bytes())
    return digest.hexdigest()[:16]


def same_bits(runs, backend, precision):
    """Three runs, and one that is stopped halfway; their common name."""
    flags = ["--backend", backend, "--precision", precision]
    name = f"{backend}-{precision}"
    models = [bits(runs.train(f"{name}-{i}", *flags)) for i in range(3)]
    runs.says(f"three runs of {runs.steps} steps on the {backend} in {precision} leave the same bits", len(set(models)) == 1,
              " ".join(models))
    half = runs.steps // 2
    stopped = runs.scratch / f"{name}-resumed"
    shutil.copytree(runs.scratch / f"{name}-0", stopped)
    for checkpoint in sorted(stopped.glob("step-*"))[1:]:
        shutil.rmtree(checkpoint)
    left = sorted(stopped.glob("step-*"))[-1].name
    runs.says(f"a checkpoint of step {half} was kept", left == f"step-{half:06}", left)
    resumed = bits(runs.train(f"{name}-resumed", *flags, resume=True))
    runs.says(f"a run that goes on from step {half} ends with the same bits", resumed == models[0], resumed)
    return f"{name}-0"


def near(runs, a, b, sentence):
    """Is the mean loss of the last tenth of the first half of the steps within 1 %? One batch's alone is noise."""
    half, first, second = runs.steps // 2, runs.losses(a), runs.losses(b)
    span = range(half - max(1, half // 10) + 1, half + 1)
    x, y = (sum(losses[i] for i in span) / len(span) for losses in (first, second))
    runs.says(sentence, abs(x - y) <= 0.01 * y, f"{x:.4f} and {y:.4f}, {100 * abs(x - y) / y:.2f} % apart")


def exchange(runs, here, there):
    """A model of one backend trains on and writes on the other, and the likeliest text is the same on both."""
    for a, b in sorted({(here, there), (there, here)}):
        name = f"from-{a}-to-{b}"
        half = runs.steps // 2
        runs.train(name, "--backend", a, "--precision", "float32", steps=half)
        model = runs.scratch / name
        written = [runs.call("generate", "--model", model, "--prompt", "The ", "--greedy", "--max-new-tokens", 100,
                             "--backend", backend, "--precision", "float32") for backend in (a, b)]
        runs.says(f"a model of the {a} writes the same greedy text on the {b}", written[0] == written[1], repr(written[1][:40]))
        runs.train(name, "--backend", b, "--precision", "float32", resume=True)
        losses = runs.losses(name)
        before, after = losses[half], losses[runs.steps]
        runs.says(f"a run of the {a} goes on on the {b} and learns", after < 1.02 * before, f"{before:.4f}, then {after:.4f}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program", type=pathlib.Path)
    p.add_argument("--backend", choices=["gpu", "cpu"], required=True)
    p.add_argument("--scratch", type=pathlib.Path)
    p.add_argument("--steps", type=int, default=200)
    a = p.parse_args()
    with tempfile.TemporaryDirectory(prefix="tinygpt-training-") as temporary:
        scratch = a.scratch or pathlib.Path(temporary)
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        runs = Runs(a.program.resolve(), scratch, write_text(scratch / "text.txt"), a.steps)
        plain = same_bits(runs, a.backend, "float32")
        if a.backend == "gpu":
            half = same_bits(runs, "gpu", "bf16")
            near(runs, half, plain, f"bf16 is within 1 % of float32 after {a.steps // 2} steps")
        runs.train("cpu", "--backend", "cpu", "--precision", "float32")
        near(runs, plain, "cpu", f"the {a.backend} in float32 is within 1 % of the cpu after {a.steps // 2} steps")
        exchange(runs, a.backend, "cpu")
    print(f"{runs.failures} comparisons failed" if runs.failures else "all comparisons hold")
    return 1 if runs.failures else 0


if __name__ == "__main__":
    sys.exit(main())
