#!/usr/bin/env bash
# Measures what makes data beside the tools that people use for it, on this machine, and prints tables. tiktoken and Hugging
# Face tokenizers come from PyPI into a scratch environment under build/ and are no part of the product.
#
#   scripts/bench-data.sh [TEXT...]          TEXT: files of text; the King James Bible where none is given
#
# The tokenizer is GPT-2's, where TINYGPT_GPT2_VOCABULARY names the directory of its files, else one of 32,000 tokens that is
# trained on the first text. For true figures nothing else should run.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
case "${1-}" in
  -h | --help)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' scripts/bench-data.sh
    exit 0
    ;;
esac
env=${TINYGPT_DATA_ENV:-build/data-env}
texts=("$@")
[ ${#texts[@]} -gt 0 ] || texts=(build/text/kjv.txt)
for text in "${texts[@]}"; do
  [ -s "$text" ] || { echo "bench-data: $text is missing: scripts/quickstart.sh prepares build/text/kjv.txt" >&2; exit 1; }
done

[ -x "$env/bin/python" ] || { python3 -m venv "$env" && "$env/bin/pip" install --quiet tokenizers tiktoken; }
cmake --preset dev > /dev/null
cmake --build --preset dev --target tinygpt-bench-encode tinygpt-tool > /dev/null

tinygpt=build/dev/presets/tinygpt
tokenizer=build/data-tokenizer
if [ -n "${TINYGPT_GPT2_VOCABULARY-}" ]; then
  "$tinygpt" tokenizer convert --tokenizer "$TINYGPT_GPT2_VOCABULARY" --out "$tokenizer"
else
  rm -rf "$tokenizer"  # train overwrites none
  "$tinygpt" tokenizer train --input "${texts[0]}" --vocab-size 32000 --out "$tokenizer"
fi

echo "== Encoding"
for text in "${texts[@]}"; do
  "$env/bin/python" bench/data/encode.py build/dev/bench/tinygpt-bench-encode "$tokenizer/tokenizer.json" "$text"
  echo
done

echo "== From files to shards"
bench/data/prepare.py "$tinygpt" build/dev/bench/tinygpt-bench-encode "$tokenizer" "${texts[0]}"
echo

# Other measurements of this folder bring a script of their own.
for other in bench/data/train_tokenizer.sh; do
  if [ -x "$other" ]; then
    "$other" "$env/bin/python" "${texts[@]}"
  fi
done
