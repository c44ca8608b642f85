#!/usr/bin/env python3
"""ONNX files of small random models of every family: onnx.checker, and ONNX Runtime's logits against this project's.

    onnx_runtime.py PROGRAM        PROGRAM is build/dev/tests/oracles/tinygpt-oracle; -exchange lies beside it

Prints the worst difference of each model; exits 1 where one is over 1e-4.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort

TOLERANCE = 1e-4
SEED = "seed:7"
program = sys.argv[1].removesuffix("-exchange") + "-exchange"


def run(*args, stdin=b""):
    return subprocess.run([program, *map(str, args)], input=stdin, check=True, stdout=subprocess.PIPE).stdout


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class Model:
    def __init__(self, entry):
        self.number, self.type, config = entry["number"], entry["type"], entry["config"]
        self.vocab, self.ctx, self.layers = config["vocab"], config["ctx"], config["layers"]
        self.kv_heads, self.head_dim = config["kv_heads"], config["head_dim"]

    def ours(self, ids):
        out = run(self.number, "logits", SEED, *ids.shape, stdin=ids.astype(np.int32).tobytes())
        return np.frombuffer(out, np.float32).reshape(*ids.shape, self.vocab)

    def write(self, path, cache, *more):
        run(self.number, "onnx", SEED, path, cache, *more)
        onnx.checker.check_model(str(path), full_check=True)
        return session(path)

    def empty(self, batch):
        none = np.zeros((batch, self.kv_heads, 0, self.head_dim), np.float32)
        return {f"past_key_values.{n}.{k}": none for n in range(self.layers) for k in ("key", "value")}


def step(runtime, ids, past):
    """Logits, and what is past for the next call."""
    names = [o.name for o in runtime.get_outputs()]
    out = dict(zip(names, runtime.run(None, {"input_ids": ids, **past})))
    logits = out.pop("logits")
    return logits, {name.replace("present", "past_key_values"): value for name, value in out.items()}


def check(model, folder):
    """The worst difference of each comparison by name."""
    random = np.random.default_rng(model.number)
    plain = model.write(folder / "plain.onnx", "without")
    cached = model.write(folder / "cached.onnx", "with")
    outside = model.write(folder / "outside.onnx", "without", "float32", 100)
    assert (folder / "outside.onnx.data").exists() and not list(folder.glob(".*tinygpt*"))
    half = model.write(folder / "half.onnx", "without", "float16")
    worst = dict.fromkeys(("whole", "cached", "steps", "outside", "float16"), 0.0)

    def compare(name, theirs, ours):
        assert theirs.shape == ours.shape, (name, theirs.shape, ours.shape)
        assert np.isfinite(theirs).all(), name
        worst[name] = max(worst[name], float(np.abs(theirs - ours).max()))

    for batch in (1, 3):
        for time in (1, 7, model.ctx):
            ids = random.integers(0, model.vocab, (batch, time))
            ours = model.ours(ids)
            compare("whole", plain.run(None, {"input_ids": ids})[0], ours)
            compare("outside", outside.run(None, {"input_ids": ids})[0], ours)
            compare("float16", half.run(None, {"input_ids": ids})[0], ours)  # which holds these weights exactly
            logits, past = step(cached, ids, model.empty(batch))
            compare("cached", logits, ours)
            for cuts in ([1] * time, [time // 2, 1, time - time // 2 - 1]):
                past, at, rows = model.empty(batch), 0, []
                for n in cuts:
                    if n == 0:
                        continue
                    logits, past = step(cached, ids[:, at:at + n], past)
                    at += n
                    rows.append(logits)
                    for value in past.values():
                        assert value.shape == (batch, model.kv_heads, at, model.head_dim)
                compare("steps", np.concatenate(rows, 1), ours)
    if "Positions<none>" not in model.type:
        try:
            plain.run(None, {"input_ids": np.zeros((1, model.ctx + 1), np.int64)})
            raise AssertionError("a token beyond the context was taken")
        except Exception as error:  # ONNX Runtime's own types
            assert not isinstance(error, AssertionError), error
    return worst


def main():
    print(f"onnx {onnx.__version__}, onnxruntime {ort.__version__}")
    bad = 0
    for line in run("list").decode().splitlines():
        model = Model(json.loads(line))
        with tempfile.TemporaryDirectory() as folder:
            worst = check(model, pathlib.Path(folder))
        wrong = any(value > TOLERANCE for value in worst.values())
        bad += wrong
        print(("WRONG " if wrong else "") + " ".join(f"{name} {value:.1e}" for name, value in worst.items()), model.type)
    print("all models agree" if bad == 0 else f"{bad} models do not agree")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
