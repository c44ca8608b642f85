#!/usr/bin/env python3
"""Makes onnx_logits.json: the logits that ONNX Runtime computes from the ONNX files that this project writes.

    onnx_logits.py PROGRAM > onnx_logits.json        PROGRAM is tinygpt-oracle-exchange

The test has no ONNX Runtime: it sees from the checksums that it writes the very files whose logits these are, and compares
its own logits with them. The versions are in the output.
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import zlib

import numpy as np
import onnxruntime

SEED, TIME = 7, 5
program = sys.argv[1]


def main():
    cases = []
    for line in subprocess.check_output([program, "list"], text=True).splitlines():
        entry = json.loads(line)
        number = str(entry["number"])
        ids = [(7 * t * t + 3 * t + entry["number"]) % entry["config"]["vocab"] for t in range(TIME)]
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "model.onnx")
            subprocess.run([program, number, "onnx", f"seed:{SEED}", path, "without"], check=True)
            logits = onnxruntime.InferenceSession(str(path)).run(None, {"input_ids": np.array([ids], np.int64)})[0]
            # Three columns, of every position: the file stays small.
            columns = [0, 1, entry["config"]["vocab"] - 1]
            cases.append({"number": entry["number"], "type": entry["type"], "bytes": path.stat().st_size,
                          "crc32": zlib.crc32(path.read_bytes()), "ids": ids, "columns": columns,
                          "logits": [[round(float(x), 6) for x in row[columns]] for row in logits[0]]})
    golden = {"made_by": "tests/golden/onnx_logits.py", "onnxruntime": onnxruntime.__version__, "seed": SEED}
    lines = ",\n  ".join(json.dumps(case) for case in cases)
    print(json.dumps(golden)[:-1] + ', "cases": [\n  ' + lines + "\n]}")


if __name__ == "__main__":
    main()
