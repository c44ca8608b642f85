#!/usr/bin/env python3
"""Special tokens from text, on purpose and never by accident; and what lies beside a model, through import, export,
training and generate.

    special_tokens_test.py PROGRAM TOOL [unittest arguments...]      a built tinygpt-tiny_char and the built tinygpt
"""
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest

PROGRAM, TOOL = (os.path.abspath(sys.argv.pop(1)) for _ in range(2)) if len(sys.argv) > 2 else (None, None)
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # these tests are of the cpu, whatever the machine has
SPECIAL = ["<|endoftext|>", "<|user|>", "<|end|>"]
CHAT = "{{ bos_token }}{% for m in messages %}<|user|>{{ m['content'] }}<|end|>\r\n{% endfor %} \u00e9"
# Bytes that the tokenizer below has: tiny_char has Vocab<256>, so three bytes give way to the special tokens.
BYTES = [b for b in range(256) if b not in (0xC0, 0xC1, 0xFF)]


def run(*arguments, **options):
    return subprocess.run([*map(str, arguments)], capture_output=True, text=True, timeout=3600, **options)


def byte_characters():
    """How tokenizer.json writes each byte."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = iter(range(256, 512))
    return {b: chr(b) if b in plain else chr(next(rest)) for b in range(256)}


def tokenizer_json(**members):
    names = byte_characters()
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {"version": "1.0", "truncation": {"max_length": 9}, "padding": {"strategy": "BatchLongest"},
            "added_tokens": [{"id": i, "content": s, "special": True} for i, s in enumerate(SPECIAL)],
            "normalizer": None, "pre_tokenizer": level, "post_processor": None, "decoder": level,
            "model": {"type": "BPE", "vocab": {**{s: i for i, s in enumerate(SPECIAL)},
                                               **{names[b]: 3 + i for i, b in enumerate(BYTES)}}, "merges": []},
            **members}


def ids_of(text):
    return [3 + BYTES.index(b) for b in text.encode()]


class SpecialTokens(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="tinygpt-special-")
        cls.base = pathlib.Path(cls.temporary.name)
        cls.tokenizer = cls.base / "tokenizer"
        cls.tokenizer.mkdir()
        (cls.tokenizer / "tokenizer.json").write_text(json.dumps(tokenizer_json()))
        cls.text = cls.base / "text.txt"
        cls.text.write_text("the quick brown fox\njumps over <|user|>\n" * 80)
        cls.model = cls.base / "model"
        trained = run(PROGRAM, "train", "--input-file", cls.text, "--tokenizer", cls.tokenizer, "--out", cls.model,
                      "--batch-size", 1, "--eval-iters", 1, "--max-iters", 1, "--eval-interval", 1)
        if trained.returncode != 0:
            raise AssertionError(trained.stderr)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(dir=self.base))

    def done(self, *arguments, **options):
        result = run(*arguments, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def foreign(self, in_config=2, generation=None):
        """As somebody else's program writes a model: no word of ours, no manifest; ids, a template, a tokenizer's file."""
        out = self.dir / "foreign"
        self.done(TOOL, "export", "--model", self.model, "--out", out)
        config = json.loads((out / "config.json").read_text())
        del config["tinygpt"]
        config |= {"eos_token_id": in_config, "bos_token_id": 1, "pad_token_id": 0, "resid_pdrop": 0.1}
        (out / "config.json").write_text(json.dumps(config))
        generation = {"eos_token_id": [2, 0], "bos_token_id": 1, "top_p": 0.9} if generation is None else generation
        (out / "generation_config.json").write_text(json.dumps(generation))
        (out / "tokenizer_config.json").write_text(json.dumps({"chat_template": CHAT, "eos_token": "<|end|>"}))
        (out / "special_tokens_map.json").write_text('{"eos_token": "<|end|>"}')
        return out

    def test_encode_takes_special_tokens_only_where_that_is_asked_for(self):
        text = "a<|user|>b<|user|"
        encode = (TOOL, "tokenizer", "encode", "--tokenizer", self.tokenizer)
        self.assertEqual([*map(int, self.done(*encode, text).split())], ids_of(text))
        expected = [*ids_of("a"), 1, *ids_of("b<|user|")]
        self.assertEqual([*map(int, self.done(*encode, "--allow-special", text).split())], expected)
        self.assertEqual(json.loads(self.done(*encode, "--allow-special", "--json", input=text))["ids"], expected)
        pieces = self.done(*encode, "--allow-special", "--pieces", "\n<|end|>")
        self.assertEqual(pieces, f"{ids_of(chr(10))[0]}\t'\\n'\n2\t<|end|>\n")

    def test_prepare_takes_them_only_where_that_is_asked_for(self):
        tokens = {}
        for flags in ((), ("--allow-special",)):
            out = self.dir / f"data{len(flags)}"
            self.done(TOOL, "prepare", "--source", f"a:{self.text}", "--tokenizer", self.tokenizer, "--out", out,
                      "--val-fraction", 0, "--json", *flags)
            shards = b"".join(p.read_bytes() for p in sorted(out.rglob("*.bin")))
            ids = struct.unpack(f"<{len(shards) // 2}H", shards)
            tokens[len(flags)] = sum(i == 1 for i in ids[512:])
        self.assertEqual(tokens, {0: 0, 1: tokens[1]})
        self.assertGreater(tokens[1], 50)

    def test_a_dataset_says_that_special_tokens_were_taken(self):
        dataset = {}
        for name, flags in (("plain", ()), ("special", ("--allow-special",))):
            out = self.dir / name
            self.done(TOOL, "prepare", "--source", f"a:{self.text}", "--tokenizer", self.tokenizer, "--out", out, *flags)
            dataset[name] = json.loads((out / "dataset.json").read_text())
        self.assertNotIn("allow_special", json.dumps(dataset["plain"]))
        self.assertIn("allow_special", json.dumps(dataset["special"]))

    def test_what_lies_beside_a_model_is_kept(self):
        theirs = self.foreign()
        names = ["generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.json"]
        imported, exported, run_directory = (self.dir / n for n in ("imported", "exported", "run"))
        self.done(PROGRAM, "import", "--from", theirs, "--out", imported)  # as of its type, which has no biases
        self.done(TOOL, "export", "--model", imported, "--out", exported)
        self.done(PROGRAM, "train", "--init-from-model", imported, "--input-file", self.text, "--out", run_directory,
                  "--batch-size", 1, "--eval-iters", 1, "--max-iters", 1, "--eval-interval", 1)
        self.done(PROGRAM, "train", "--resume", "--input-file", self.text, "--out", run_directory, "--max-iters", 2)
        for copy in (imported, exported, run_directory / "step-000001", run_directory / "step-000002"):
            for name in names:
                self.assertEqual((copy / name).read_bytes(), (theirs / name).read_bytes(), copy / name)
            config = json.loads((copy / "config.json").read_text())
            self.assertEqual((config["eos_token_id"], config["bos_token_id"], config["pad_token_id"],
                              config["resid_pdrop"]), (2, 1, 0, 0.1))

    def test_gguf_has_them_and_brings_them_back(self):
        gguf, back = self.dir / "m.gguf", self.dir / "back"
        self.done(TOOL, "export", "--model", self.foreign(), "--format", "gguf", "--out", gguf)
        self.done(TOOL, "import", "--from", gguf, "--out", back)
        self.assertEqual(json.loads((back / "generation_config.json").read_text())["eos_token_id"], [2, 0])
        self.assertEqual((back / "chat_template.jinja").read_bytes(), CHAT.encode())

    def test_generate_stops_at_every_id_that_ends_a_text(self):
        # Every letter that the model may write ends a text: so none is written.
        every = list(range(3, 256))
        for in_config, generation in ((every, {}), (2, {"eos_token_id": every}), (None, {"eos_token_id": every})):
            with self.subTest(in_config=in_config):
                model = self.foreign(in_config, generation)
                written = self.done(PROGRAM, "generate", "--model", model, "--prompt", "the", "--max-new-tokens", 30)
                self.assertLessEqual(len(written.replace("<|user|>", "").replace("<|end|>", "")), len("the\n"))
                subprocess.run(["rm", "-r", str(model)], check=True)

    def test_a_prompt_names_special_tokens_only_where_that_is_asked_for(self):
        generate = (PROGRAM, "generate", "--model", self.model, "--prompt", "<|user|>" * 20, "--max-new-tokens", 1,
                    "--greedy")
        for flags in ((), ("--allow-special",)):
            self.assertTrue(self.done(*generate, *flags).startswith("<|user|>" * 20))

    def test_ids_that_are_none_are_refused(self):
        result = run(TOOL, "import", "--from", self.foreign("two"), "--out", self.dir / "out")
        self.assertEqual(result.returncode, 0, "generation_config.json counts first")
        subprocess.run(["rm", "-r", str(self.dir / "foreign")], check=True)
        result = run(TOOL, "import", "--from", self.foreign(2, {"eos_token_id": "two"}), "--out", self.dir / "no")
        self.assertEqual(result.returncode, 1)
        self.assertIn("'eos_token_id' must be a whole number or a list of them", result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)

    def test_an_export_says_which_ids_are_no_tokens_and_cuts_them(self):
        small = tokenizer_json()
        small["model"]["vocab"] = {s: i for s, i in small["model"]["vocab"].items() if i < 200}
        out, cut = self.dir / "small", self.dir / "cut"
        theirs = self.foreign()
        (theirs / "tokenizer.json").write_text(json.dumps(small))
        self.assertIn("256 ids and the tokenizer 200 tokens",
                      self.done(TOOL, "export", "--model", theirs, "--out", out))
        self.assertIn("Vocab<200>", self.done(TOOL, "export", "--model", theirs, "--cut-vocab", "--out", cut))
        self.assertEqual(json.loads((cut / "config.json").read_text())["vocab_size"], 200)


if __name__ == "__main__":
    unittest.main()
