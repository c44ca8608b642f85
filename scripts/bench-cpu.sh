#!/usr/bin/env bash
# The cpu backend's speed on this machine beside PyTorch's, in one run, in turn, medians: training steps, decoding and the
# processing of a prompt, and the start of a process; with the machine's own limits measured beside them, and with equal
# loss curves checked. For true figures nothing else should run.
#
#   scripts/bench-cpu.sh [--rounds N] [--only ROW]... [--mode MODE]... [--quick] [--no-pytorch] [--no-build] [--out DIR]
#                        [--text FILE]
#
#   --rounds N     how often each row is measured (3); after the first round only PyTorch's fastest ways go on
#   --only ROW     train-tiny_char, train-small_char, train-small, train-150M, train-modern_125M, train-gpt2, decode-small,
#                  decode-150M, decode-gpt2, prompt-small, prompt-gpt2, start, or a word before the dash; may be repeated
#   --mode MODE    PyTorch's alone that are eager, compile or freeze; may be repeated (all)
#   --quick        one round of few steps at batch 1: whether everything works, and no figures
#   --no-pytorch   tinygpt alone
#   --no-build     takes the programs that are there
#   --out DIR      results.json, report.md and log.txt (build/bench-cpu); written after every row
#   --text FILE    what is trained on (build/text/kjv.txt, which scripts/quickstart.sh prepares)
#
# PyTorch is that of $TINYGPT_TORCH_PYTHON, else from PyPI in a scratch environment, build/pytorch-env; it is no part of the
# product. The exit status is 1 where a step fails or losses differ, not where a goal is missed.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
case "${1-}" in
  -h | --help)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' scripts/bench-cpu.sh
    exit 0
    ;;
esac
python=${TINYGPT_TORCH_PYTHON-}
if [ -z "$python" ]; then
  python=build/pytorch-env/bin/python
  case " $* " in
    *" --no-pytorch "*) python=python3 ;;
    *) [ -x "$python" ] || { python3 -m venv build/pytorch-env && build/pytorch-env/bin/pip install --quiet torch numpy; } ;;
  esac
fi
exec python3 bench/cpu/session.py --python "$python" "$@"
