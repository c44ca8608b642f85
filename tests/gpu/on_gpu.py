#!/usr/bin/env python3
"""Runs a program on this machine's GPU; where there is none, says so in one sentence and exits with 77.

    on_gpu.py PROGRAM [arguments...]      CTest counts 77 as skipped
"""
import os
import shutil
import subprocess
import sys

SKIPPED = 77


def why_no_gpu():
    """A reason, or nothing where NVIDIA's driver lists a card."""
    if shutil.which("nvidia-smi") is None:
        return "there is no nvidia-smi, so no NVIDIA driver"
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    if listed.returncode != 0 or "GPU 0" not in listed.stdout:
        return "nvidia-smi lists no GPU: " + (listed.stdout + listed.stderr).strip().replace("\n", "; ")
    return ""


def main():
    program = sys.argv[1]
    if reason := why_no_gpu():
        print(f"SKIPPED, nothing ran on a GPU: {reason}")
        return SKIPPED
    if not os.path.exists(program):
        print(f"{program} is not built: cmake --build build/dev --target {os.path.basename(program)}")
        return 1
    return subprocess.run(sys.argv[1:]).returncode


if __name__ == "__main__":
    sys.exit(main())
