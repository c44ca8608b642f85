#!/usr/bin/env bash
# Everything that only a GPU can show, on a machine that has one and little else: nvcc, cmake, g++, python3; no network.
#
#   scripts/test-gpu.sh [--quick] [--only PART] [--headers DIR] [--binaries DIR] [--architectures LIST] [--out DIR]
#
#   build       the programs, for this machine's GPU
#   parity      every kernel and whole models against the reference, at 200 random shapes a kernel
#   training    the program itself: equal bits in three runs and after a resume, bf16 beside float32, gpu beside cpu
#   sanitizer   compute-sanitizer's memcheck, racecheck, initcheck and synccheck over the tests at few shapes
#
#   --quick           all parts, less of each, in at most 570 s
#   --only PART       one part; may be given several times
#   --headers DIR     made by scripts/gpu-headers.sh where there are packages; not needed where Eigen, Catch2,
#                     nlohmann-json and CLI11 are installed
#   --binaries DIR    where the programs are, or are built to (build/gpu/bin)
#   --architectures   builds for these compute capabilities and for any x86-64 processor, on a machine without a GPU:
#                     scripts/test-gpu.sh --only build --architectures 90 --binaries bin
#   --out DIR         report.md, results.jsonl and log.txt (build/gpu/report); written after every step, so that what
#                     was found stays when the machine is taken away
#
# Exit status 0: all passed; 1: something failed, ran out of time or was not reached; 77: there is no GPU.
set -euo pipefail
exec python3 "$(dirname "${BASH_SOURCE[0]}")/../tests/gpu/session.py" "$@"
