#!/usr/bin/env python3
"""Writes include/tinygpt/data/unicode_tables.hpp from the Unicode Character Database of Debian's package unicode-data.

    scripts/unicode-tables.py            writes the header
    scripts/unicode-tables.py --check    fails where the header is not what it would write
    --database DIR                       where UnicodeData.txt and PropList.txt are (default /usr/share/unicode)

What is asked of a code point is its class alone: letter (general category L*), number (N*), space (the property
White_Space, which is what \\s means to the engines of tiktoken and of Hugging Face's tokenizers), or something else.
"""
import argparse
import pathlib
import re
import sys

HEADER = pathlib.Path(__file__).resolve().parent.parent / "include/tinygpt/data/unicode_tables.hpp"
CODE_POINTS = 0x110000
BLOCK = 128
OTHER, LETTER, NUMBER, SPACE = range(4)


def classes(database):
    """The class of every code point."""
    of = bytearray(CODE_POINTS)
    first = None
    for line in (database / "UnicodeData.txt").read_text().splitlines():
        code, name, category = line.split(";")[:3]
        code = int(code, 16)
        if name.endswith(", First>"):
            first = code
            continue
        begin = first if name.endswith(", Last>") else code
        kind = {"L": LETTER, "N": NUMBER}.get(category[0], OTHER)
        of[begin:code + 1] = bytes([kind]) * (code + 1 - begin)
    for line in (database / "PropList.txt").read_text().splitlines():
        found = re.match(r"([0-9A-F]+)(?:\.\.([0-9A-F]+))?\s*;\s*White_Space\b", line)
        if found:
            begin, last = int(found[1], 16), int(found[2] or found[1], 16)
            assert not any(of[begin:last + 1]), "a space that is a letter or a number"
            of[begin:last + 1] = bytes([SPACE]) * (last + 1 - begin)
    return of


def rows(numbers):
    """Numbers in lines of at most 120 columns."""
    lines, line = [], "   "
    for number in numbers:
        word = f" {number},"
        if len(line) + len(word) > 120:
            lines.append(line)
            line = "   "
        line += word
    return "\n".join([*lines, line])


def header(database):
    version = re.search(r"PropList-([0-9.]+)\.txt", (database / "PropList.txt").read_text())[1]
    of = classes(database)
    blocks, places = {}, []
    for begin in range(0, CODE_POINTS, BLOCK):
        places.append(blocks.setdefault(bytes(of[begin:begin + BLOCK]), len(blocks)))
    assert len(blocks) <= 256
    packed = [sum(kind << 2 * i for i, kind in enumerate(block[at:at + 4]))
              for block in blocks for at in range(0, BLOCK, 4)]
    counts = [of.count(kind) for kind in range(4)]
    return f"""// Classes of Unicode's code points. Written by scripts/unicode-tables.py from Unicode {version}: do not edit.
#pragma once

#include <cstdint>

// clang-format off
namespace tinygpt::unicode_tables {{

/// The version of the Unicode Character Database that the tables are made from.
inline constexpr const char* version = "{version}";

/// How many code points are letters (general category L*), numbers (N*) and spaces (property White_Space).
inline constexpr int letters = {counts[LETTER]}, numbers = {counts[NUMBER]}, spaces = {counts[SPACE]};

/// Code points in a block. Blocks that are alike are stored once.
inline constexpr int block = {BLOCK};

/// For each block of code points, the place of its classes in `classes`, in blocks.
inline constexpr std::uint8_t places[{len(places)}] = {{
{rows(places)}
}};

/// Classes, four in a byte with the first in the lowest bits: 0 other, 1 letter, 2 number, 3 space.
inline constexpr std::uint8_t classes[{len(packed)}] = {{
{rows(packed)}
}};

}}  // namespace tinygpt::unicode_tables
// clang-format on
"""


def main():
    parser = argparse.ArgumentParser(description="Writes the tables of Unicode's classes.")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--database", type=pathlib.Path, default=pathlib.Path("/usr/share/unicode"))
    options = parser.parse_args()
    if not (options.database / "UnicodeData.txt").exists():
        print(f"{options.database} has no UnicodeData.txt: apt-get install unicode-data", file=sys.stderr)
        return 77
    text = header(options.database)
    if not options.check:
        HEADER.write_text(text)
        return 0
    if HEADER.read_text() == text:
        return 0
    print(f"{HEADER} is not what this script writes from {options.database}: run scripts/unicode-tables.py, or look "
          "which version of Unicode is there", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
