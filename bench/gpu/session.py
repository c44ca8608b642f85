"""The steps of scripts/bench-gpu.sh, which says what they are."""
import argparse
import json
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "scripts"))
from gpu_session import DEFAULT_BINARIES, ROOT, Session, aligned, output_of  # noqa: E402

# name: (program, train or decode, batch). Batches fill a card of 80 GB without recomputation, and are PyTorch's too.
BENCHES = {
    "small_char": ("small_char", "train", 128),
    "gpt2": ("gpt2", "train", 32),
    "decode-gpt2": ("gpt2", "decode", 1),
    "350M_1024": ("350M_1024", "train", 16),
    "gpt2_xl": ("gpt2_xl", "train", 4),
    "decode-gpt2_xl": ("gpt2_xl", "decode", 1),
    "modern_180M": ("modern_180M", "train", 8),
}
QUICK = ["ceilings", "small_char", "gpt2", "decode-gpt2"]
MODES = {"train": ["compile", "max-autotune", "eager"], "decode": ["reduce-overhead", "max-autotune", "graph"]}
SKIPPED = 77


def ways(what, program, quick):
    """The ways to run PyTorch of which the fastest counts, the likeliest first, as arguments."""
    odd = program.startswith("gpt2") and what == "train"  # a vocabulary of 50,257
    for mode in MODES[what][:1] if quick else MODES[what]:
        for attention in ["default", "cudnn"] if what == "train" and not quick else ["default"]:
            yield ["--mode", mode, "--attention", attention, *(["--pad-vocab"] if odd else [])]
            if odd and not quick and attention == "default":
                yield ["--mode", mode, "--attention", attention]


def lines_of(said):
    return [json.loads(line) for line in said.splitlines() if line.startswith('{"side"')]


class Bench:
    def __init__(self, session, python):
        self.session, self.python, self.measured = session, python, []

    def step(self, name, command, limit):
        _, said = self.session.step("bench", name, command, limit)
        self.measured += lines_of(said)
        self.session.notes = [self.ceilings(), self.table()]
        with open(self.session.out / "measured.jsonl", "w") as out:
            out.writelines(json.dumps(line) + "\n" for line in self.measured)
        self.session.write()

    def ceilings(self):
        rows = [[m["name"], f"{m['flops'] / 1e12:.1f} TFLOP/s" if "flops" in m else f"{m['bytes_per_second'] / 1e12:.3f} TB/s"]
                for m in self.measured if m["what"] == "ceiling"]
        return "## What the card can do at most, measured\n\n" + aligned([["operation", "rate"], *rows], right={1}) if rows else ""

    def table(self):
        """tinygpt's row of each bench, then PyTorch's fastest, then its others."""
        rows = []
        for name, (program, what, batch) in BENCHES.items():
            of_this = [m for m in self.measured if (m["name"], m["what"]) == (program, what)]
            ours = next((m for m in of_this if m["side"] == "tinygpt"), None)
            theirs = sorted((m for m in of_this if m["side"] == "pytorch"), key=lambda m: m["seconds"])
            for m in ([ours] if ours else []) + theirs:
                ratio = m["tokens_per_second"] / ours["tokens_per_second"] if ours else None
                rows.append([name, str(batch), "tinygpt" if m is ours else f"PyTorch {m['way']}",
                             f"{1e3 * m['seconds'] / (m['tokens'] if what == 'decode' else 1):.2f}",
                             f"{m['tokens_per_second']:,.0f}", f"{ratio:.2f}" if ratio else "",
                             f"{100 * m['mfu']:.1f} %" if m.get("mfu") else "", f"{m['peak_bytes'] / 2**30:.2f}"])
        if not rows:
            return ""
        head = ["preset", "batch", "side", "ms a step or token", "tokens/s", "of tinygpt's", "MFU", "GiB"]
        return ("## Beside PyTorch, bf16\n\nPyTorch's fastest way comes first.\n\n" +
                aligned([head, *rows], right={1, 3, 4, 5, 6, 7}))


def main():
    names = ["ceilings", *BENCHES]
    p = argparse.ArgumentParser(prog="bench-gpu.sh", description=__doc__)
    p.add_argument("--quick", action="store_true")
    p.add_argument("--only", action="append", choices=names)
    p.add_argument("--headers")
    p.add_argument("--binaries", type=pathlib.Path, default=DEFAULT_BINARIES)
    p.add_argument("--architectures", default="")
    p.add_argument("--build-only", action="store_true")
    p.add_argument("--no-pytorch", action="store_true")
    p.add_argument("--out", type=pathlib.Path, default=ROOT / "build/gpu/bench")
    a = p.parse_args()
    wanted = a.only or (QUICK if a.quick else names)
    session = Session("Speed on a GPU", a.out, 570 if a.quick else 6 * 3600)
    python = os.environ.get("TINYGPT_TORCH_PYTHON", "python3")
    binaries = a.binaries.resolve()
    programs = list(dict.fromkeys("ceilings" if n == "ceilings" else BENCHES[n][0] for n in wanted))
    if not session.build(ROOT / "build/gpu/tree", binaries, [f"tinygpt-bench-gpu-{p}" for p in programs], a.headers,
                         a.architectures) or a.build_only:
        return session.end()
    if not session.has_gpu():
        print("SKIPPED, nothing was measured: nvidia-smi lists no GPU")
        session.notes.append("Nothing was measured: nvidia-smi lists no GPU.")
        session.end()
        return SKIPPED
    torch = output_of(python, "-c", "import torch; print(torch.__version__, torch.cuda.is_available())")
    session.facts["pytorch"] = "left out" if a.no_pytorch else torch or f"none: {python} does not import it"
    bench = Bench(session, python)
    if "ceilings" in wanted:
        bench.step("ceilings", [binaries / "tinygpt-bench-gpu-ceilings"], 120)
    for name in (n for n in wanted if n != "ceilings"):
        program, what, batch = BENCHES[name]
        bench.step(f"{name} tinygpt", [binaries / f"tinygpt-bench-gpu-{program}", what, "--batch", batch], 180)
        if a.no_pytorch or not torch.endswith("True"):
            continue
        for way in ways(what, program, a.quick):
            bench.step(f"{name} PyTorch {' '.join(way[1:4:2])}{' padded' if '--pad-vocab' in way else ''}",
                       [python, HERE.parent / "pytorch/gpu_train_step.py", what, "--preset", program, "--batch", batch, *way],
                       120 if a.quick else 600)
    return session.end()


if __name__ == "__main__":
    sys.exit(main())
