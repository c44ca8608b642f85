#!/usr/bin/env bash
# Compares tinygpt with other people's code, live and in both directions: Hugging Face transformers, safetensors and
# tokenizers, PyTorch, and whatever else tests/oracles/*.py asks.
#
#   scripts/test-oracles.sh [NAME...]      NAME: of tests/oracles/NAME.py; all of them by default
#
# The first run makes a Python environment in build/oracles with the packages of tests/oracles/requirements.txt (some
# 3 GB); TINYGPT_ORACLES names another that has them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/packages.sh

case "${1-}" in
  -h | --help)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' scripts/test-oracles.sh
    exit 0
    ;;
esac

install_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}" python3-venv
environment=${TINYGPT_ORACLES:-build/oracles}
if [ ! -x "$environment/bin/python" ]; then
  echo "== Environment of the oracles in $environment"
  python3 -m venv "$environment"
  "$environment/bin/pip" install --quiet --extra-index-url https://download.pytorch.org/whl/cpu \
    -r tests/oracles/requirements.txt
fi

echo "== Build"
cmake --preset dev
cmake --build --preset dev --target tinygpt-oracle tinygpt-tool

failed=0
for script in tests/oracles/*.py; do
  name=$(basename "$script" .py)
  if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
  echo "== $name"
  "$environment/bin/python" "$script" build/dev/tests/oracles/tinygpt-oracle || failed=1
done
exit $failed
