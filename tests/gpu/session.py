"""The parts of scripts/test-gpu.sh, which says what they are."""
import argparse
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "scripts"))
from gpu_session import DEFAULT_BINARIES, ROOT, Session, tool  # noqa: E402

PARTS = ["build", "parity", "training", "sanitizer"]
TOOLS = ["memcheck", "racecheck", "initcheck", "synccheck"]
TARGETS = ["tinygpt-test-gpu", "tinygpt-tiny_char"]
SKIPPED = 77


def files_of(program):
    """The names of the test files in a Catch2 program, those of single kernels before whole models."""
    said = subprocess.run([program, "--filenames-as-tags", "--list-tags"], capture_output=True, text=True).stdout
    files = sorted(set(re.findall(r"\[#(\w+)\]", said)))
    return sorted(files, key=lambda name: name == "model_test")


def parity(session, binaries, quick):
    program = binaries / "tinygpt-test-gpu"
    for name in files_of(program):
        session.step("parity", name, [program, "--filenames-as-tags", "--warn", "NoTests", "--durations", "yes", f"[#{name}]"],
                     90 if quick else 600,
                     {"TINYGPT_TEST_SHAPES": "40" if quick else "200", "TINYGPT_CACHE": str(session.out / "cache")})


def training(session, binaries, quick):
    scratch = session.out.parent / "training-runs"
    session.step("training", "the program's runs", [sys.executable, HERE / "training.py", binaries / "tinygpt-tiny_char",
                                                    "--backend", "gpu", "--scratch", scratch], 150 if quick else 600)


def sanitizer(session, binaries, quick):
    checker = tool("compute-sanitizer")
    if not checker:
        session.record("sanitizer", "compute-sanitizer", "failed", 0, "it was not found: it comes with the CUDA toolkit")
        return
    program = binaries / "tinygpt-test-gpu"
    for check in TOOLS[:2] if quick else TOOLS:
        for name in files_of(program):
            session.step("sanitizer", f"{check} {name}",
                         [checker, "--tool", check, "--error-exitcode", "9", "--print-limit", "5", program,
                          "--filenames-as-tags", "--warn", "NoTests", f"[#{name}]"],
                         40 if quick else 300,  # without a place for plans, matrix products are not timed
                         {"TINYGPT_TEST_SHAPES": "1" if quick else "3", "TINYGPT_CACHE": ""})


def main():
    p = argparse.ArgumentParser(prog="test-gpu.sh", description=__doc__)
    p.add_argument("--quick", action="store_true")
    p.add_argument("--only", action="append", choices=PARTS)
    p.add_argument("--headers")
    p.add_argument("--binaries", type=pathlib.Path, default=DEFAULT_BINARIES)
    p.add_argument("--architectures", default="")
    p.add_argument("--out", type=pathlib.Path, default=ROOT / "build/gpu/report")
    a = p.parse_args()
    parts = a.only or PARTS
    session = Session("Tests on a GPU", a.out, 570 if a.quick else 6 * 3600)
    binaries = a.binaries.resolve()

    # The other parts build what is missing.
    if not session.build(ROOT / "build/gpu/tree", binaries, TARGETS, a.headers, a.architectures):
        return session.end()
    if parts == ["build"]:
        return session.end()
    if not session.has_gpu():
        print("SKIPPED, nothing ran on a GPU: nvidia-smi lists none")
        session.notes.append("Nothing ran on a GPU: nvidia-smi lists none.")
        session.end()
        return SKIPPED
    for part in (parity, training, sanitizer):
        if part.__name__ in parts:
            part(session, binaries, a.quick)
    return session.end()


if __name__ == "__main__":
    sys.exit(main())
