#!/usr/bin/env bash
# Trains the same models with tinygpt and with PyTorch on this machine's CPU, alternating, and prints the ratio.
# PyTorch comes from PyPI into a scratch environment under build/ and is no part of the product.
#
#   scripts/bench-pytorch.sh [ROUNDS]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
rounds=${1:-3}
env=${TINYGPT_TORCH_ENV:-build/pytorch-env}
text=build/text/kjv.txt

[ -x "$env/bin/python" ] || { python3 -m venv "$env" && "$env/bin/pip" install --quiet torch numpy; }
[ -s "$text" ] || { echo "bench-pytorch: $text is missing: run scripts/quickstart.sh once, which prepares it" >&2; exit 1; }
cmake --preset release -DTINYGPT_BUILD_BENCHMARKS=ON > /dev/null
cmake --build --preset release --target tinygpt-bench-step > /dev/null

exec "$env/bin/python" bench/pytorch/compare.py --rounds "$rounds" --text "$text" \
  --ours build/release/bench/tinygpt-bench-step
