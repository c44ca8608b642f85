#!/usr/bin/env bash
# The gpu backend's speed on this machine's card, beside PyTorch on the same card in the same run: what the card can do at
# most (a copy, matrix products), then training steps and decoding of the presets.
#
#   scripts/bench-gpu.sh [--quick] [--only NAME] [--headers DIR] [--binaries DIR] [--no-pytorch] [--out DIR]
#
#   --quick          small_char, gpt2 and its decoding, the likeliest ways of PyTorch, in at most 570 s
#   --only NAME      ceilings, small_char, gpt2, 350M_1024, gpt2_xl, modern_180M, decode-gpt2 or decode-gpt2_xl; may be
#                    given several times
#   --headers DIR, --binaries DIR, --architectures LIST   as in scripts/test-gpu.sh
#   --build-only     makes the programs
#   --no-pytorch     tinygpt alone
#   --out DIR        results.jsonl, report.md and log.txt (build/gpu/bench); written after every step
#
# PyTorch is that of $TINYGPT_TORCH_PYTHON, else of python3; it is no part of the product.
set -euo pipefail
exec python3 "$(dirname "${BASH_SOURCE[0]}")/../bench/gpu/session.py" "$@"
