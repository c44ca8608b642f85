#!/usr/bin/env python3
"""Writes gguf_blocks.json: numbers, and the bytes that gguf-py makes of them, or the numbers that it makes of bytes.

    gguf_blocks.py [--out FILE]      needs `pip install gguf`
"""
import argparse
import importlib.metadata
import json
import pathlib

import gguf
import numpy as np

HERE = pathlib.Path(__file__).resolve().parent


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "gguf_blocks.json")
    out = parser.parse_args().out
    random = np.random.default_rng(1)
    # Normal numbers of several sizes, halves between two steps, zeros, and a block of one number.
    x = np.concatenate([random.normal(0, s, 256) for s in (1, 0.02, 1e-6, 300)] +
                       [np.arange(-16, 16) / 2, np.zeros(32), np.full(32, -0.75), np.arange(32) * 8 - 127.0]).astype(np.float32)
    Q = gguf.GGMLQuantizationType
    files = {"gguf-py": importlib.metadata.version("gguf"), "numpy": np.__version__, "x": [float(v) for v in x]}
    for kind in (Q.Q8_0, Q.Q5_0, Q.Q4_0, Q.BF16):
        files[kind.name] = gguf.quants.quantize(x, kind).tobytes().hex()
    # Q4_K has no writer there: bytes of any kind but infinite scales are read.
    data = random.integers(0, 256, (4, 144), dtype=np.uint8)
    data[:, 1] &= 0x3B
    data[:, 3] &= 0x3B
    files["Q4_K"] = data.tobytes().hex()
    files["Q4_K numbers"] = [float(v) for v in gguf.quants.dequantize(data, Q.Q4_K).reshape(-1)]
    out.write_text(json.dumps(files) + "\n")


if __name__ == "__main__":
    main()
