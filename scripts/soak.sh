#!/usr/bin/env bash
# Trains for hours and says whether memory or open files grow, or a loss is no number.
#
#   scripts/soak.sh [HOURS]      HOURS: 1 by default; the program must be built (scripts/quickstart.sh builds it)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
case "${1-}" in
  -h | --help)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' scripts/soak.sh
    exit 0
    ;;
esac
exec python3 tests/cli/soak_test.py build/release/presets/tinygpt-tiny_char --hours "${1-1}"
