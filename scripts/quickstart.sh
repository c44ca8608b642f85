#!/usr/bin/env bash
# From a bare Debian 12 to text written by a GPT that was trained in front of you.
#
#   scripts/quickstart.sh [FILE] [flags of train, such as --max-iters 300]
#
# FILE is a UTF-8 text of your own; without it the King James Bible is used. What is there already is not done again:
# a finished model is not trained again, an interrupted one is resumed.
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/packages.sh

preset=tiny_char
iterations=1200
tool=build/release/presets/tinygpt
text=build/text/kjv.txt
prompt='In the beginning '

case "${1-}" in
  -h | --help)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' scripts/quickstart.sh
    exit 0
    ;;
  '' | --*) ;;
  *)
    text=$(cd "$called_from" && realpath -m -- "$1")
    prompt=
    shift
    if [ ! -f "$text" ]; then
      echo "quickstart.sh: there is no file $text: check the path, or leave it out to train on the King James Bible" >&2
      exit 1
    fi
    ;;
esac

echo "== Packages"
install_packages "${BUILD_PACKAGES[@]}"
if [ -n "$prompt" ]; then install_packages "${TEXT_PACKAGES[@]}"; fi

echo "== Build tinygpt and tinygpt-$preset"
mkdir -p build
cmake --preset release > build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
cmake --build --preset release --target tinygpt-tool "tinygpt-$preset"

if [ -n "$prompt" ] && [ ! -s "$text" ]; then
  echo "== Prepare the King James Bible: $text"
  mkdir -p "$(dirname "$text")"
  # bible prints "Ge1:1 In the beginning ...": a verse per line, of which the label goes. Written whole or not at all.
  PATH=$PATH:/usr/games bible -f 'gen1:1-rev22:21' | sed -E 's/^[0-9]?[A-Za-z]+[0-9]+:[0-9]+ //' > "$text.tmp"
  mv "$text.tmp" "$text"
fi

out=build/models/$preset-$(basename "$text" | tr -c 'A-Za-z0-9\n' '-')-$(cksum < "$text" | cut -d' ' -f1)
echo "== The model"
"$tool" info --preset "$preset"
echo "== Train: Ctrl-C stops and saves; this command goes on from there"
resume=()
if compgen -G "$out/step-*" > /dev/null; then resume=(--resume); fi
"$tool" train --preset "$preset" --input-file "$text" --out "$out" "${resume[@]}" --max-iters "$iterations" \
  --learning-rate 1e-3 --dropout 0 "$@"  # a short run: faster and without dropout, unlike the preset's 5,000 steps

echo "== A sample"
"$tool" generate --model "$out" ${prompt:+--prompt "$prompt"} --max-new-tokens 500

cat << END

== What to try next, in $PWD
  $tool generate --model $out --temperature 1.0 --seed 7${prompt:+ --prompt 'And he said '}
  $tool train --input-file $text --out $out --resume --max-iters $((2 * iterations))
  $tool train --preset small_char --input-file $text --out build/models/small   # larger; compiled once
  $tool help
  scripts/quickstart.sh your-own-text.txt
  scripts/test.sh
END
