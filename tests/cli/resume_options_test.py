#!/usr/bin/env python3
"""Every flag of train is kept by --resume, or is on the list of those that are not, with its reason.

    resume_options_test.py PROGRAM [unittest arguments...]      PROGRAM is a built tinygpt-tiny_char
"""
import json
import re
import struct

from program_case import ProgramCase, main, rewrite, run, state_of

# A value that is not the default, and where trainer_state.json keeps it.
KEPT = {
    "--max-iters": ("3", ["options", "max_iters"], 3),
    "--batch-size": ("2", ["options", "batch_size"], 2),
    "--grad-accum-steps": ("2", ["options", "grad_accum_steps"], 2),
    "--recompute": ("blocks", ["options", "recompute"], "blocks"),
    "--learning-rate": ("0.002", ["options", "learning_rate"], 0.002),
    "--min-learning-rate": ("0.0015", ["options", "min_learning_rate"], 0.0015),
    "--warmup-iters": ("1", ["options", "warmup_iters"], 1),
    "--weight-decay": ("0.25", ["options", "weight_decay"], 0.25),
    "--beta1": ("0.5", ["options", "beta1"], 0.5),
    "--beta2": ("0.75", ["options", "beta2"], 0.75),
    "--grad-clip": ("0.5", ["options", "grad_clip"], 0.5),
    "--dropout": ("0.25", ["options", "dropout"], 0.25),
    "--eval-interval": ("2", ["options", "eval_interval"], 2),
    "--eval-iters": ("1", ["options", "eval_iters"], 1),
    "--seed": ("42", ["options", "seed"], 42),
    "--checkpoint-interval": ("7", ["checkpoint_interval"], 7),
    "--patience": ("9", ["patience"], 9),
    "--sampling": ("random", ["data", "sampling"], "random"),
    "--precision": (None, ["precision"], None),  # the one that is not the machine's own
    "--eval-dataset-dir": (None, ["eval_datasets"], None),
}
NOT_KEPT = {
    "--help": "prints the flags",
    "--input-file": "what is trained on may have moved; it is compared by its checksum",
    "--dataset-dir": "the same",
    "--tokenizer": "the checkpoint has the tokenizer itself",
    "--init-from-model": "only the beginning of a run has it",
    "--out": "where the run is",
    "--resume": "what asks for it",
    "--backend": "of this machine: a run may go on on another",
    "--device": "of this machine",
    "--threads": "of this machine, and changes no number",
    "--disk-wait": "of this machine, and changes no number",
}


def at(state, path):
    for key in path:
        state = state[key]
    return state


class Options(ProgramCase):
    def prepared(self, name=b"more"):
        directory = self.dir.__class__(str(self.dir) + "/" + name.decode("utf-8", "surrogateescape"))
        directory.mkdir()
        for part, times in (("train", 400), ("val", 100)):
            (directory / f"{part}.bin").write_bytes(struct.pack("<4H", 0, 1, 2, 3) * times)
        return directory

    def test_every_flag_is_kept_or_listed(self):
        flags = set(re.findall(r"(?m)^\s+(?:-\w, ?)?(--[a-z][a-z0-9-]*)", run("train", "--help").stdout.decode()))
        self.assertGreater(len(flags), 25)
        self.assertEqual(flags, set(KEPT) | set(NOT_KEPT))

    def test_all_options_come_back(self):
        own = json.loads(run("info", "--json").stdout)["precision"]
        precision = "float32" if own == "bf16" else "bf16"
        more = self.prepared()
        said = {flag: value for flag, (value, *_) in KEPT.items()}
        said["--precision"] = precision
        said["--eval-dataset-dir"] = f"extra:{more}"
        out = self.dir / "m"
        self.train(out, *[word for pair in said.items() for word in pair], tiny=[])
        first = state_of(out / "step-000003")
        for flag, (_, path, expected) in KEPT.items():
            if expected is not None:
                self.assertEqual(at(first, path), expected, flag)
        self.assertEqual(first["precision"], precision)
        self.assertEqual(first["eval_datasets"], [{"name": "extra", "directory": str(more)}])

        # Nothing but --max-iters is said: everything else is as it was, and nothing else is told to be changed.
        result = self.train(out, "--resume", "--max-iters", 4, tiny=[])
        second = state_of(out / "step-000004")
        for flag, (_, path, _) in KEPT.items():
            if flag != "--max-iters":
                self.assertEqual(at(second, path), at(first, path), flag)
        text = result.stdout.decode()
        self.assertRegex(text, r"(?m)^  changed on resuming: max iters 4 instead of 3$")
        self.assertRegex(text, rf"(?m)^backend: cpu, \d+ threads?, {precision} ")
        self.assertIn(", extra loss ", text)

    def test_what_is_changed_is_used_kept_and_said(self):
        out = self.dir / "m"
        self.train(out, "--max-iters", 2)
        own = state_of(out / "step-000002")["precision"]
        other = "float32" if own == "bf16" else "bf16"
        result = self.train(out, "--resume", "--max-iters", 3, "--learning-rate", "0.001", "--precision", other, "--sampling",
                            "random", "--patience", 5, "--checkpoint-interval", 1, tiny=[])
        told = re.search(r"changed on resuming: (.*)", result.stdout.decode())[1].split("; ")
        self.assertEqual(set(told), {"max iters 3 instead of 2", "learning rate 0.001 instead of 0.0003",
                                     "min learning rate 0.0001 instead of 3e-05 (a tenth of the learning rate)",
                                     f"precision {other} instead of {own}", "sampling random instead of epoch",
                                     "patience 5 instead of 0", "checkpoint interval 1 instead of 250"})
        state = state_of(out / "step-000003")
        self.assertEqual((state["precision"], state["patience"], state["checkpoint_interval"]), (other, 5, 1))

    def test_a_resumed_run_has_the_bits_of_a_whole_one_in_the_precision_that_is_not_the_machines(self):
        own = json.loads(run("info", "--json").stdout)["precision"]
        precision = "float32" if own == "bf16" else "bf16"
        whole, parts = self.dir / "whole", self.dir / "parts"
        for out in (whole, parts):
            self.train(out, "--max-iters", 4, "--eval-interval", 2, "--precision", precision)
        for file in (parts / "step-000004").iterdir():
            file.unlink()
        (parts / "step-000004").rmdir()
        self.train(parts, "--resume", tiny=[])
        for file in ("model.safetensors", "optimizer.safetensors", "trainer_state.json"):
            self.assertEqual((whole / "step-000004" / file).read_bytes(), (parts / "step-000004" / file).read_bytes(), file)

    def test_datasets_to_evaluate_are_replaced_or_dropped(self):
        out = self.dir / "m"
        odd = self.prepared(b"caf\xe9")  # a name is bytes
        self.train(out, "--max-iters", 1, "--eval-dataset-dir", f"a:{odd}")
        self.assertIn(b", a loss ", self.train(out, "--resume", "--max-iters", 2).stdout)
        self.assertNotIn(b", a loss ", self.train(out, "--resume", "--max-iters", 3, "--eval-dataset-dir", "none").stdout)
        self.assertNotIn(b", a loss ", self.train(out, "--resume", "--max-iters", 4).stdout)

    def test_checkpoints_from_before_these_options(self):
        out = self.dir / "m"
        self.train(out, "--max-iters", 2)
        step = out / "step-000002"
        state = state_of(step)
        for key in ("precision", "patience", "eval_datasets", "best_step", "last_evaluation", "without_improvement"):
            del state[key]
        rewrite(step, "trainer_state.json", json.dumps(state).encode())
        self.train(out, "--resume", "--max-iters", 3)
        self.refused(run("generate", "--model", out / "step-000002", "--best"), 1, "--best")

    def test_options_out_of_range_are_damage(self):
        out = self.dir / "m"
        self.train(out, "--max-iters", 2, "--checkpoint-interval", 1)
        step = out / "step-000002"
        good = state_of(step)
        for path, value in ((["options", "eval_iters"], 2147483647), (["options", "grad_accum_steps"], 2147483647),
                            (["options", "beta1"], 5), (["options", "beta2"], -0.1), (["options", "learning_rate"], -1),
                            (["options", "min_learning_rate"], 1), (["options", "warmup_iters"], -1), (["options", "grad_clip"], -1),
                            (["options", "weight_decay"], 1e300), (["options", "eval_interval"], -1), (["updates"], 2**63 - 1),
                            (["data", "windows_drawn"], 2**63 - 1), (["iteration"], 2**62), (["patience"], -1),
                            (["best_step"], 3), (["precision"], "fp8"), (["eval_datasets"], [1]),
                            (["eval_datasets"], [{"name": "a", "directory": [300]}])):
            state = json.loads(json.dumps(good))
            where = state
            for key in path[:-1]:
                where = where[key]
            where[path[-1]] = value
            if path == ["updates"]:
                state["skipped"] = 2**63 - 1
            rewrite(step, "trainer_state.json", json.dumps(state).encode())
            result = self.train(out, "--resume", "--max-iters", 2)
            self.assertIn("trainer_state.json is damaged", result.stderr.decode(), path)
            self.assertIn("iterations 2 to 2", result.stdout.decode(), path)


if __name__ == "__main__":
    main(__doc__)
