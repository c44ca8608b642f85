#!/usr/bin/env python3
"""export, import, config-from and train --init-from-model, as a user types them.

    exchange_test.py PROGRAM TOOL [unittest arguments...]      a built tinygpt-tiny_char and the built tinygpt
"""
import json
import os
import pathlib
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

PROGRAM, TOOL = (os.path.abspath(sys.argv.pop(1)) for _ in range(2)) if len(sys.argv) > 2 else (None, None)
HANGS = 3600  # seconds, against what never ends: no machine on which it works needs as long
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # these tests are of the cpu, whatever the machine has
TYPE = "GPT<Layers<4>, Embd<192>, Heads<4>, Ctx<128>, Vocab<256>>"


def run(*arguments):
    return subprocess.run([*map(str, arguments)], capture_output=True, text=True, timeout=HANGS)


def tensors(directory):
    """Name: (type, bytes) of model.safetensors."""
    data = (directory / "model.safetensors").read_bytes()
    end = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:end])
    return {n: (t["dtype"], data[end + t["data_offsets"][0]:end + t["data_offsets"][1]])
            for n, t in header.items() if n != "__metadata__"}


def llmc_checkpoint(V=131, T=7, L=2, H=3, C=12):
    """As llm.c's train_gpt2.py lays it out, of random numbers."""
    rng, Vp = random.Random(3), (V + 127) // 128 * 128
    numbers = [rng.gauss(0, 0.1) for _ in range(V * C)] + [0.0] * ((Vp - V) * C)
    numbers += [rng.gauss(0, 0.1) for _ in range(T * C + L * (12 * C + 13) * C + 2 * C)]
    return struct.pack("<256i", 20240326, 3, T, V, L, H, C, Vp, *[0] * 248) + struct.pack(f"<{len(numbers)}f", *numbers)


def nanogpt_state(V=19, T=7, L=2, C=12):
    """nanoGPT's state dict of a model without biases, as the safetensors library stores it."""
    shapes = {"transformer.wte.weight": (V, C), "transformer.wpe.weight": (T, C), "transformer.ln_f.weight": (C,)}
    for layer in range(L):
        h = f"transformer.h.{layer}."
        shapes |= {h + "ln_1.weight": (C,), h + "attn.c_attn.weight": (3 * C, C), h + "attn.c_proj.weight": (C, C),
                   h + "ln_2.weight": (C,), h + "mlp.c_fc.weight": (4 * C, C), h + "mlp.c_proj.weight": (C, 4 * C)}
    header, data, rng = {}, b"", random.Random(4)
    for name, shape in shapes.items():
        size = shape[0] * (shape[1] if len(shape) == 2 else 1)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * size]}
        data += struct.pack(f"<{size}f", *[rng.gauss(0, 0.1) for _ in range(size)])
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


class Exchange(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.class_directory = tempfile.TemporaryDirectory(prefix="tinygpt-exchange-")
        cls.base = pathlib.Path(cls.class_directory.name)
        rng = random.Random(7)
        words = "the quick brown fox jumps over a lazy dog and sings its song of seven seas".split()
        cls.text = cls.base / "text.txt"
        cls.text.write_text("\n".join(" ".join(rng.choice(words) for _ in range(12)) for _ in range(400)) + "\n")
        cls.model = cls.base / "model"
        cls.trained = cls.train(cls.model)

    @classmethod
    def tearDownClass(cls):
        cls.class_directory.cleanup()

    @classmethod
    def train(cls, out, *arguments):
        result = run(PROGRAM, "train", "--input-file", cls.text, "--out", out, "--batch-size", 1, "--eval-iters", 2,
                     "--max-iters", 3, "--eval-interval", 3, *arguments)
        if result.returncode != 0 and not arguments:
            raise AssertionError(result.stderr)
        return result

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(dir=self.base))

    def done(self, *arguments):
        result = run(*arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def refused(self, result, code, *needles):
        """One sentence on standard error, with the right exit code."""
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        for needle in needles:
            self.assertIn(needle, result.stderr)

    def written(self, model):
        return self.done(PROGRAM, "generate", "--model", model, "--greedy", "--max-new-tokens", 40)

    def foreign(self, **changes):
        """As somebody else's program would write the model: no word of ours, no manifest."""
        out = self.dir / "foreign"
        self.done(TOOL, "export", "--model", self.model, "--out", out)
        config = json.loads((out / "config.json").read_text())
        del config["tinygpt"]
        (out / "config.json").write_text(json.dumps({**config, **changes}))
        return out

    def test_a_model_goes_out_and_comes_back(self):
        for index, program in enumerate((PROGRAM, TOOL)):
            out, back = self.dir / f"out{index}", self.dir / f"back{index}"
            said = self.done(program, "export", "--model", self.model, "--out", out)
            self.assertIn(TYPE, said)
            self.assertIn("1,846,656 parameters", said)
            self.assertEqual(sorted(p.name for p in out.iterdir()), [
                "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
            self.assertEqual(json.loads((out / "config.json").read_text())["architectures"], ["GPT2LMHeadModel"])
            self.assertEqual(self.written(out), self.written(self.model))
            self.assertIn(TYPE, self.done(program, "import", "--from", out, "--out", back))
            self.assertTrue((back / "manifest.json").exists())
            self.assertEqual(self.written(back), self.written(self.model))
            self.assertEqual(tensors(back), tensors(self.newest(self.model)))

    def newest(self, model):
        return sorted(model.glob("step-*"))[-1]

    def test_numbers_of_16_bits(self):
        whole = tensors(self.newest(self.model))
        for word, dtype in (("bf16", "BF16"), ("float16", "F16")):
            out = self.dir / word
            self.done(TOOL, "export", "--model", self.model, "--out", out, "--dtype", word)
            for name, (kind, data) in tensors(out).items():
                self.assertEqual((kind, 2 * len(data)), (dtype, len(whole[name][1])))
            self.written(out)

    def test_somebody_elses_model(self):
        theirs = self.foreign()
        self.assertEqual(self.written(theirs), self.written(self.model))
        said = self.done(TOOL, "config-from", theirs, "--name", "my-theirs")
        type_text = TYPE[:-1] + ", Bias<all>>"
        self.assertIn(f'tinygpt_add_preset(my_theirs TYPE "{type_text}")', said)
        facts = json.loads(self.done(TOOL, "config-from", theirs, "--json"))
        self.assertEqual((facts["name"], facts["type"], facts["architecture"]["bias"]), ("foreign", type_text, "all"))
        self.done(PROGRAM, "import", "--from", theirs, "--out", self.dir / "mine")
        self.assertEqual(self.written(self.dir / "mine"), self.written(self.model))
        other = self.foreign_again(theirs, n_layer=5)
        self.refused(run(PROGRAM, "import", "--from", other, "--out", self.dir / "no"), 1, "layers 5, here 4",
                     "tinygpt config-from")
        other = self.foreign_again(theirs, layer_norm_epsilon=1e-6)
        self.refused(run(PROGRAM, "generate", "--model", other), 1, "norm_eps 1e-06, here 1e-05", "tinygpt config-from")
        self.assertIn(TYPE[:-1] + ", Norm<layer, 1e-6>, Bias<all>>", self.done(TOOL, "config-from", other))
        self.refused(run(TOOL, "export", "--model", other, "--format", "llmc", "--out", self.dir / "no"), 1,
                     "llm.c needs Norm<layer> with the epsilon 1e-5")
        other = self.foreign_again(theirs, layer_norm_epsilon=1)
        self.refused(run(TOOL, "config-from", other), 1, "'layer_norm_epsilon' must be a number from 1e-12 to 0.1")
        self.assertFalse((self.dir / "no").exists())

    def foreign_again(self, theirs, **changes):
        other = pathlib.Path(tempfile.mkdtemp(dir=self.dir)) / "other"
        shutil.copytree(theirs, other)
        config = json.loads((other / "config.json").read_text())
        (other / "config.json").write_text(json.dumps({**config, **changes}))
        return other

    def test_config_from_a_run(self):
        self.assertIn(f'tinygpt_add_preset(tiny_char TYPE "{TYPE}")', self.done(TOOL, "config-from", self.model))

    def test_training_begins_with_the_weights_of_a_model(self):
        last = re.search(r"step 3: (train loss .*, val loss .*)", self.trained.stdout).group(1)
        for index, model in enumerate((self.model, self.foreign())):
            result = self.train(self.dir / f"m{index}", "--init-from-model", model)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn(f"step 0: {last}\n", result.stdout)
            self.assertIn("step 3: ", result.stdout)
        state = json.loads((self.newest(self.dir / "m0") / "trainer_state.json").read_text())
        self.assertEqual((state["iteration"], state["updates"]), (3, 3))
        result = run(PROGRAM, "train", "--input-file", self.text, "--out", self.dir / "m0", "--resume", "--max-iters", 4)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_another_text_is_read_by_the_models_tokenizer(self):
        other = self.dir / "other.txt"
        other.write_text("a dog and a fox and the sea\n" * 200)
        result = run(PROGRAM, "train", "--input-file", other, "--out", self.dir / "m", "--init-from-model", self.model,
                     "--max-iters", 1, "--batch-size", 1, "--eval-iters", 1)
        self.assertEqual(result.returncode, 0, result.stderr)
        name = "tokenizer.json"
        self.assertEqual((self.newest(self.dir / "m") / name).read_bytes(), (self.newest(self.model) / name).read_bytes())
        other.write_text("a dog & a fox\n" * 300)
        self.refused(run(PROGRAM, "train", "--input-file", other, "--out", self.dir / "n", "--init-from-model", self.model), 1,
                     "'&'")

    def test_checkpoints_of_llmc(self):
        theirs, mine = self.dir / "model.bin", self.dir / "mine"
        theirs.write_bytes(llmc_checkpoint())
        said = self.done(TOOL, "import", "--from", theirs, "--out", mine)
        self.assertIn("GPT<Layers<2>, Embd<12>, Heads<3>, Ctx<7>, Vocab<131>, Activation<gelu_tanh>, Bias<all>>", said)
        self.assertIn("without a tokenizer", said)
        self.assertIn("Vocab<131>", self.done(TOOL, "config-from", mine))
        for index, word in enumerate(("float32", "bf16")):
            self.done(TOOL, "export", "--model", mine, "--format", "llmc", "--dtype", word, "--out", self.dir / word)
            version = struct.unpack("<2i", (self.dir / word).read_bytes()[:8])
            self.assertEqual(version, (20240326, (3, 5)[index]))
        self.assertEqual((self.dir / "float32").read_bytes(), theirs.read_bytes())
        self.refused(run(PROGRAM, "import", "--from", theirs, "--out", self.dir / "no"), 1, "another architecture")
        theirs.write_bytes(theirs.read_bytes()[:-1])
        self.refused(run(TOOL, "import", "--from", theirs, "--out", self.dir / "no"), 1, "the sizes in its header")
        export = (TOOL, "export", "--model", self.model, "--format", "llmc", "--out", self.dir / "no")
        self.refused(run(*export), 1, "llm.c needs Activation<gelu_tanh>")
        self.assertFalse((self.dir / "no").exists())

    def test_state_dicts_of_nanogpt(self):
        theirs, mine = self.dir / "ckpt.safetensors", self.dir / "mine"
        theirs.write_bytes(nanogpt_state())
        command = (TOOL, "import", "--from", theirs, "--out", mine)
        self.refused(run(*command), 1, "how many heads")
        self.refused(run(*command, "--heads", 5), 1, "5 heads do not divide")
        self.refused(run(*command, "--heads", 3, "--activation", "silu"), 2, "--activation must be one of")
        self.assertFalse(mine.exists())
        said = self.done(*command, "--heads", 3, "--activation", "gelu_tanh")
        self.assertIn("GPT<Layers<2>, Embd<12>, Heads<3>, Ctx<7>, Vocab<19>, Activation<gelu_tanh>>", said)
        names = set(tensors(mine))
        self.assertIn("transformer.h.1.attn.c_attn.weight", names)

    def test_graphs_for_onnx_runtime(self):
        sizes = {}
        for word, dtype in (("onnx", "float32"), ("onnx-with-past", "float32"), ("onnx", "float16")):
            out = self.dir / f"{word}-{dtype}"
            self.done(TOOL, "export", "--model", self.model, "--format", word, "--dtype", dtype, "--out", out)
            data = out.read_bytes()
            self.assertEqual(data[:2], b"\x08\x08")  # the version of the format, before all else
            self.assertEqual(b"past_key_values.3.value" in data, word == "onnx-with-past")
            sizes[word, dtype] = len(data)
        self.assertGreater(sizes["onnx", "float32"], 4 * 1846656)
        self.assertLess(sizes["onnx", "float16"], 2.1 * 1846656)
        self.refused(run(TOOL, "import", "--from", self.dir / "onnx-float32", "--out", self.dir / "no"), 1, "unknown format")

    def test_what_is_wrong_is_one_sentence(self):
        out = self.dir / "out"
        export = (TOOL, "export", "--model", self.model)
        self.refused(run(*export), 2, "--out")
        self.refused(run(TOOL, "export", "--out", out), 2, "--model")
        self.refused(run(TOOL, "import", "--out", out), 2, "--from")
        self.refused(run(TOOL, "import", "--from", self.model), 2, "--out")
        self.refused(run(TOOL, "config-from"), 2, "directory")
        self.refused(run(*export, "--out", out, "--format", "onyx"), 2, "--format must be one of hf", "onyx")
        self.refused(run(*export, "--out", out, "--dtype", "int8"), 2, "--dtype must be one of float32, bf16, float16")
        self.refused(run(TOOL, "import", "--from", self.dir / "none", "--out", out), 1, "there is no")
        self.refused(run(TOOL, "import", "--from", self.text, "--out", out), 1, "unknown format")
        self.refused(run(TOOL, "import", "--from", self.dir, "--out", out), 1, "not a whole model")
        self.refused(run(TOOL, "config-from", self.dir / "none"), 1, "no model directory")
        self.refused(self.train(self.model, "--resume", "--init-from-model", self.model), 2, "contradict")
        self.refused(self.train(out, "--init-from-model", self.dir / "none"), 1, "no model directory")
        self.assertFalse(out.exists())
        out.mkdir()
        self.done(*export, "--out", out)
        before = (out / "config.json").read_bytes()
        for command in (export, (TOOL, "import", "--from", self.foreign())):
            self.refused(run(*command, "--out", out), 1, "is there already")
        self.assertEqual((out / "config.json").read_bytes(), before)
        self.assertEqual([p.name for p in self.dir.iterdir() if p.name.startswith(".")], [])


if __name__ == "__main__":
    unittest.main()
