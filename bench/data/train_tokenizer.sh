#!/usr/bin/env bash
# Learning a tokenizer, beside Hugging Face's: train_tokenizer.sh PYTHON TEXT..., as scripts/bench-data.sh calls it.
set -euo pipefail
python=$1
shift
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
echo "== Training a tokenizer"
for text in "$@"; do
  "$python" bench/data/train_tokenizer.py build/dev/presets/tinygpt "$text"
  echo
done
