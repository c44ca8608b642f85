#!/usr/bin/env python3
"""Drives the commands of a model through tinygpt alone: it finds the program of a type, or compiles it once.

    programs_test.py PROGRAM [unittest arguments...]

PROGRAM is the built tinygpt. What is compiled goes to a folder of the test's own, and is one small type: all other tests have
a script for a compiler.
"""
import json
import os
import pathlib
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = pathlib.Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else None
SMALL = "GPT<Layers<1>, Embd<8>, Heads<2>, Ctx<8>, Vocab<256>>"
BASE = "GPT<Layers<1>, Embd<8>, Heads<2>, Ctx<8>"
COMPILERS = ("c++", "g++", "clang++")


class Case(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory(prefix="tinygpt-programs-")
        cls.addClassCleanup(directory.cleanup)
        cls.cache = pathlib.Path(directory.name)
        cls.text = cls.cache / "text.txt"
        cls.text.write_text("the quick brown fox --jumps over the lazy dog\n" * 50)

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="tinygpt-programs-")
        self.addCleanup(directory.cleanup)
        self.dir = pathlib.Path(directory.name)

    def environment(self, **changes):
        environment = {**os.environ, "XDG_CACHE_HOME": str(self.cache), **changes}
        return {name: value for name, value in environment.items() if value is not None}

    def run_tool(self, *arguments, program=None, **changes):
        # No fixed limit that a slow machine could miss: a compiler that hangs is ended by the test's own.
        return subprocess.run([program or PROGRAM, *map(str, arguments)], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, env=self.environment(**changes), cwd=self.dir)

    def good(self, *arguments, **changes):
        result = self.run_tool(*arguments, **changes)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def refused(self, code, arguments, *needles, **changes):
        """One sentence on standard error, with the right exit code."""
        result = self.run_tool(*arguments, **changes)
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)
        for needle in needles:
            self.assertIn(needle, result.stderr)
        return result.stderr

    def fake_compiler(self, body, name="g++"):
        """A folder for PATH that has only this compiler, which says the version of the real one."""
        folder = self.dir / f"bin-{len(list(self.dir.iterdir()))}"
        folder.mkdir()
        file = folder / name
        file.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then echo fake 1.0; exit; fi\n{body}\n')
        file.chmod(0o755)
        return {"PATH": f"{folder}:/usr/bin:/bin", "CXX": str(file)}

    def programs(self, cache=None):
        return json.loads(self.good("programs", "--json", XDG_CACHE_HOME=str(cache or self.cache)))

    def half_made(self, cache):
        return [path.name for path in (cache / "tinygpt").rglob("*.tmp-*")]


class Whole(Case):
    """One type from training to text, by one compilation."""

    def test_a_type_is_trained_resumed_and_written_by_without_a_build(self):
        run = self.dir / "run"
        before = len(self.programs())
        first = self.run_tool("train", "--type", SMALL, "--input-file", self.text, "--out", run, "--max-iters", 2,
                              "--batch-size", 2, "--eval-iters", 1)
        self.assertEqual(first.returncode, 0, first.stderr)
        self.assertIn("the model is in", first.stdout)
        made = self.programs()
        self.assertEqual([p["type"] for p in made if p["type"] == SMALL], [SMALL], "it is compiled once")
        self.assertEqual(len(made), before + 1)

        # All later commands need the directory only, and compile nothing.
        text = self.good("generate", "--model", run, "--max-new-tokens", 5, "--seed", 1)
        self.assertEqual(self.good("generate", f"--model={run}", "--max-new-tokens", 5, "--seed", 1), text)
        resumed = self.good("train", "--resume", "--out", run, "--input-file", self.text, "--max-iters", 4)
        self.assertIn("iterations 3 to 4", resumed)
        self.assertIn(SMALL, self.good("info", "--model", run))
        further = self.good("train", "--model", run, "--input-file", self.text, "--out", self.dir / "further",
                            "--max-iters", 1, "--batch-size", 2, "--eval-iters", 1)
        self.assertIn(SMALL, further)
        # A prompt may look like a flag of the tool.
        self.assertIn("--type x", self.good("generate", "--model", run, "--max-new-tokens", 1, "--prompt", "--type x"))
        self.assertEqual(len([p for p in self.programs() if p["type"] == SMALL]), 1)
        # The commands that it suggests are its own.
        self.assertIn(f"{PROGRAM} generate --model", first.stdout)

        hardened(self, pathlib.Path(next(p for p in made if p["type"] == SMALL)["program"]))

    def test_two_at_once_compile_once(self):
        cache = self.dir / "two"
        count = self.dir / "count"
        environment = self.fake_compiler(
            f'echo x >> {count}\nwhile [ $# -gt 1 ]; do [ "$1" = -o ] && out=$2; shift; done\nsleep 1\n'
            'case $out in *.o.tmp*) echo > "$out";; *) printf \'#!/bin/sh\\necho made\\n\' > "$out"; chmod +x "$out";; esac')
        started = [subprocess.Popen([PROGRAM, "info", "--type", SMALL], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                    text=True, env=self.environment(XDG_CACHE_HOME=str(cache), **environment))
                   for _ in range(4)]
        for process in started:
            out, err = process.communicate()
            self.assertEqual((process.returncode, out), (0, "made\n"), err)
        self.assertEqual(count.read_text(), "x\nx\n", "what they share and the program, each once")
        self.assertEqual(self.half_made(cache), [])

    def test_an_interrupted_compilation_leaves_nothing_half_made(self):
        cache = self.dir / "interrupted"
        begun = self.dir / "begun"
        environment = self.fake_compiler(
            'while [ $# -gt 1 ]; do [ "$1" = -o ] && out=$2; shift; done\n'
            f'echo half > "$out"; chmod +x "$out"; echo $$ > {begun}.tmp; mv {begun}.tmp {begun}\nsleep 1000')
        process = subprocess.Popen([PROGRAM, "info", "--type", SMALL], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=self.environment(XDG_CACHE_HOME=str(cache), **environment))
        while not begun.exists():
            self.assertIsNone(process.poll(), "it must wait for the compiler")
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        process.communicate()
        self.assertEqual(process.returncode, -signal.SIGTERM)
        self.assertEqual(self.half_made(cache), [])
        self.assertEqual(self.programs(cache), [])
        compiler = int(begun.read_text())
        for _ in range(1000):
            if not pathlib.Path(f"/proc/{compiler}").exists():
                break
            time.sleep(0.01)
        self.assertFalse(pathlib.Path(f"/proc/{compiler}").exists(), "the compiler must have been ended too")

        # What kill -9 leaves is cleared by the next one.
        begun.unlink()
        process = subprocess.Popen([PROGRAM, "info", "--type", SMALL], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=self.environment(XDG_CACHE_HOME=str(cache), **environment))
        while not begun.exists():
            self.assertIsNone(process.poll())
            time.sleep(0.01)
        process.kill()
        os.kill(int(begun.read_text()), signal.SIGKILL)
        process.communicate()
        self.assertEqual(len(self.half_made(cache)), 1)
        made = self.fake_compiler('while [ $# -gt 1 ]; do [ "$1" = -o ] && out=$2; shift; done\n'
                                  'printf \'#!/bin/sh\\necho made\\n\' > "$out"; chmod +x "$out"')
        shutil.copy(pathlib.Path(made["CXX"]), environment["CXX"])  # the same compiler by its name and version
        self.assertEqual(self.good("info", "--type", SMALL, XDG_CACHE_HOME=str(cache), **environment), "made\n")
        self.assertEqual(self.half_made(cache), [])

    def test_the_programs_that_were_used_last_are_kept_and_clear_removes_all(self):
        cache = self.dir / "many"
        environment = {"XDG_CACHE_HOME": str(cache), **self.fake_compiler(
            'while [ $# -gt 1 ]; do [ "$1" = -o ] && out=$2; shift; done\n'
            'printf \'#!/bin/sh\\necho made\\n\' > "$out"; chmod +x "$out"')}
        for size in range(1, 36):
            self.assertEqual(self.good("info", "--type", f"{BASE}, Vocab<{size}>>", **environment), "made\n")
        kept = json.loads(self.good("programs", "--json", **environment))
        self.assertEqual(len(kept), 32)
        self.assertEqual(kept[0]["type"], f"{BASE}, Vocab<35>>")
        self.assertIn("32 programs", self.good("programs", **environment))
        self.good("programs", "--clear", **environment)
        self.assertEqual(json.loads(self.good("programs", "--json", **environment)), [])
        self.assertEqual(list((cache / "tinygpt/programs").iterdir()), [])


class Which(Case):
    """Which model a command line means."""

    def shown_type(self, *arguments):
        """The type that would be compiled: by a compiler that only keeps what it was given."""
        kept = self.dir / "kept.cpp"
        environment = self.fake_compiler(
            f'for word; do case $word in */main.cpp) cp "$word" {kept};; esac; done\n'
            'while [ $# -gt 1 ]; do [ "$1" = -o ] && out=$2; shift; done\n'
            'printf \'#!/bin/sh\\necho "$@"\\n\' > "$out"; chmod +x "$out"')
        out = self.good(*arguments, XDG_CACHE_HOME=str(self.dir / "which"), **environment)
        return kept.read_text(), out

    def test_a_preset_of_another_vocabulary_or_context_is_that_type_with_the_presets_defaults(self):
        source, said = self.shown_type("train", "--preset", "factory_small", "--vocab-size", 4096, "--context=64",
                                       "--out", "x")
        self.assertIn("GPT<Layers<6>, Embd<512>, Heads<8>, Ctx<64>, Vocab<4096>, Activation<gelu_tanh>, Bias<all>, "
                      "Head<untied>>", source)
        self.assertIn(".learning_rate = 5e-04", source)
        self.assertIn(".max_iters = 10000", source)
        self.assertEqual(said, "train --out x\n", "what is the tool's is taken away, and nothing else")

    def test_a_bare_type_has_the_defaults_of_the_library(self):
        source, said = self.shown_type("train", "--input-file", "a b", "--type", SMALL, "--out", "x", "--resume")
        self.assertIn("constexpr TrainOptions defaults = {};", source)
        self.assertEqual(said, "train --input-file a b --out x --resume\n")

    def test_training_of_another_preset_with_the_same_type_has_its_own_defaults(self):
        # 750M_1024 has the same type, and other defaults than the one that adapts it.
        source, _ = self.shown_type("train", "--preset", "750M_1024_domain_adapt", "--out", "x")
        self.assertIn(".max_iters = 17900", source)
        source, _ = self.shown_type("train", "--preset", "750M_1024", "--out", "x")
        self.assertIn(".max_iters = 926000", source)

    def test_a_preset_alone_is_a_command_too(self):
        source, said = self.shown_type("750M_1024", "train", "--out", "x")
        self.assertIn("GPT<Layers<24>, Embd<1536>", source)
        self.assertEqual(said, "train --out x\n")

    def test_what_is_missing_or_contradicts_is_one_sentence(self):
        self.refused(2, ["train"], "train needs a model", "--preset NAME", "tinygpt presets")
        self.refused(2, ["train", "--input-file", self.text], "train needs a model")
        self.refused(2, ["generate"], "generate needs a model", "--model DIR")
        self.refused(2, ["eval"], "--model DIR")
        self.refused(2, ["info"], "info needs a model")
        self.refused(2, ["info", "--preset", "tinny"], "tiny")
        self.refused(2, ["info", "--preset", "tiny", "--type", SMALL], "contradict")
        self.refused(2, ["info", "--preset"], "--preset needs")
        self.refused(2, ["generate", "--model"], "--model needs")
        self.refused(2, ["info", "--type", ""], "--type needs")
        self.refused(2, ["info", "--preset", "tiny", "--vocab-size", "many"], "--vocab-size must be a whole number")
        self.refused(2, ["generate", "--model", "x", "--vocab-size", "3"], "--preset NAME")
        self.refused(1, ["generate", "--model", self.dir / "nowhere"], "there is no model directory")
        self.refused(1, ["train", "--resume", "--out", self.dir / "nowhere"], "there is no model directory")
        self.refused(1, ["generate", "--model", self.text], "is a file")
        self.refused(2, ["trian"], "did you mean train")
        self.refused(2, [""], "is no command")
        self.refused(2, ["../x"], "is no command")

    def test_help_and_version_are_words(self):
        self.assertIn("Plan, prepare, train and run small GPTs", self.good("help"))
        self.assertEqual(self.good("help"), self.good("--help"))
        for command in ("train", "generate", "eval", "info", "programs"):
            self.assertIn(f"\n  {command} ", self.good("help"))
        self.assertEqual(self.good("version"), self.good("--version"))
        self.assertIn("--data-size", self.good("help", "fit"))
        self.assertEqual(self.good("help", "fit"), self.good("fit", "--help"))


class Refused(Case):
    """Types that are wrong, and types that are no types: nothing of them is compiled."""

    def test_the_librarys_rules_are_its_sentences(self):
        self.refused(1, ["info", "--type", "GPT<Layers<4>, Embd<190>, Heads<4>, Ctx<128>>"],
                     "tinygpt: Embd<C> must be a multiple of Heads<Hq>: head_dim = C / Hq must be whole, or give HeadDim<D>")
        self.refused(1, ["info", "--type", "GPT<Layers<4>, Embd<192>, Heads<4>>"], "tinygpt: GPT<...> needs Ctx<T>")
        self.refused(1, ["info", "--type", f"{BASE}, Ctx<16>>"], "may be given once")
        self.refused(1, ["info", "--type", f"{BASE}, Vocab<0>>"], "must be 1 or more")
        self.refused(1, ["info", "--type", "GPT<Layers<1>, Embd<1000000>, Heads<1>, Ctx<8>, HeadDim<9000000>>"],
                     "too large together")
        self.assertEqual(self.programs(self.dir / "empty"), [])

    def test_nothing_but_words_and_numbers_reaches_the_compiler(self):
        called = self.dir / "called"
        environment = self.fake_compiler(f"touch {called}; exit 1")
        for text in ("x", "GPT", f"{BASE}>; int evil;", f"{BASE}, Vocab<sizeof(int)>>", f"{BASE}, decltype(0)>",
                     f'{BASE}, Activation<__asm__("")>>', f"{BASE}>>\n#include \"/etc/passwd\"", f"{BASE}, Vocab<1>> /*",
                     f"{BASE}, Vocab<$(touch evil)>>", f"{BASE}, `touch evil`>", f"{BASE}, ::std::string>", "\x1b[2J",
                     f"{BASE}, Vocab<256\\u003e>>", "G" * 100000, "GPT<" * 10000):
            sentence = self.refused(1, ["info", "--type", text], **environment)
            self.assertNotIn("\x1b", sentence)
        self.assertFalse(called.exists())
        self.assertFalse((self.dir / "evil").exists())

    def test_a_model_directory_of_a_stranger_is_only_read(self):
        called = self.dir / "called"
        environment = self.fake_compiler(f"touch {called}; exit 1")
        model = self.dir / "theirs"
        model.mkdir()
        architecture = {"layers": 1, "embd": 8, "query_heads": 2, "kv_heads": 2, "ctx": 8, "head_dim": 4, "vocab": 256,
                        "ffn": 32, "rope_base": 10000, "activation": "gelu", "norm": "layer", "norm_eps": 1e-5,
                        "positions": "none", "qk_norm": False, "bias": "none", "head": "tied"}
        for change in ({"activation": "gelu>, Vocab<1>>; int evil"}, {"layers": "1>"}, {"vocab": 2**40}, {"embd": -8},
                       {"head": "tied\n#include </etc/passwd>"}):
            (model / "config.json").write_text(json.dumps(
                {"model_type": "tinygpt", "tinygpt": {"format_version": 2, "name": "x", "type": "GPT<evil>",
                                                      "architecture": {**architecture, **change}}}))
            self.refused(1, ["info", "--model", model], **environment)
        self.assertFalse(called.exists())
        # Its name is made a plain word before it stands in the source.
        (model / "config.json").write_text(json.dumps(
            {"model_type": "tinygpt", "tinygpt": {"format_version": 2, "name": 'x"); system("touch evil', "type": "",
                                                  "architecture": architecture}}))
        kept = self.dir / "kept.cpp"
        environment = self.fake_compiler(
            f'for word; do case $word in */main.cpp) cp "$word" {kept};; esac; done\n'
            'while [ $# -gt 1 ]; do [ "$1" = -o ] && out=$2; shift; done\n'
            'printf \'#!/bin/sh\\necho made\\n\' > "$out"; chmod +x "$out"')
        self.good("info", "--model", model, XDG_CACHE_HOME=str(self.dir / "which"), **environment)
        self.assertIn('"x____system__touch_evil"', kept.read_text())


class Surroundings(Case):
    """No compiler, no home, a full or read-only place, a compiler that fails."""

    def test_without_a_compiler_it_says_how_to_install_one(self):
        recipe = json.loads((PROGRAM.parent / "tinygpt-programs.json").read_text())
        here = self.dir / "elsewhere"
        here.mkdir()
        shutil.copy(PROGRAM, here / "tinygpt")
        (here / "tinygpt-programs.json").write_text(json.dumps({**recipe, "compiler": "/nonexistent/c++"}))
        result = self.run_tool("info", "--type", SMALL, program=here / "tinygpt", PATH="/nonexistent", CXX=None,
                               XDG_CACHE_HOME=str(self.dir / "empty"))
        self.assertEqual(result.returncode, 1)
        self.assertIn("there is no C++ compiler here: install one, on Debian with apt-get install g++", result.stderr)
        # What a compiler has made before runs without it.
        self.good("info", "--type", SMALL, XDG_CACHE_HOME=str(self.dir / "empty"), **self.fake_compiler(
            'while [ $# -gt 1 ]; do [ "$1" = -o ] && out=$2; shift; done\n'
            'printf \'#!/bin/sh\\necho made\\n\' > "$out"; chmod +x "$out"'))
        result = self.run_tool("info", "--type", SMALL, program=here / "tinygpt", PATH="/nonexistent", CXX=None,
                               XDG_CACHE_HOME=str(self.dir / "empty"))
        self.assertEqual(result.stdout, "made\n", result.stderr)
        (here / "tinygpt-programs.json").unlink()
        result = self.run_tool("info", "--type", SMALL, program=here / "tinygpt")
        self.assertEqual(result.returncode, 1)
        self.assertIn("build or install tinygpt again", result.stderr)

    def test_a_compiler_that_is_named_and_missing(self):
        self.refused(1, ["info", "--type", SMALL], "CXX names the compiler", CXX="no-such-compiler")

    def test_a_compiler_that_fails_is_one_sentence_and_a_log(self):
        cache = self.dir / "fails"
        environment = {"XDG_CACHE_HOME": str(cache), **self.fake_compiler("echo 'x.cpp:1: error: no such thing'; exit 1")}
        result = self.run_tool("info", "--type", SMALL, **environment)
        self.assertEqual(result.returncode, 1)
        sentence = result.stderr.strip().splitlines()[-1]
        self.assertIn("the compiler failed: no such thing: all that it said is in ", sentence)
        self.assertIn("no such thing", pathlib.Path(sentence.rsplit(" in ", 1)[1]).read_text())
        self.assertEqual(self.programs(cache), [])
        full = self.fake_compiler("echo 'fatal error: error writing to x: No space left on device'; exit 1")
        self.assertEqual(self.run_tool("info", "--type", SMALL, XDG_CACHE_HOME=str(cache), **full).returncode, 5)
        killed = self.fake_compiler("echo 'g++: fatal error: Killed signal terminated program cc1plus'; exit 1")
        self.assertEqual(self.run_tool("info", "--type", SMALL, XDG_CACHE_HOME=str(cache), **killed).returncode, 3)

    def test_places_that_cannot_be_written_and_no_home(self):
        self.refused(1, ["info", "--type", SMALL], "set XDG_CACHE_HOME", HOME=None, XDG_CACHE_HOME=None)
        self.refused(1, ["info", "--type", SMALL], "cannot create /dev/null", XDG_CACHE_HOME="/dev/null")
        self.refused(1, ["info", "--type", SMALL], "cannot create /proc", XDG_CACHE_HOME=None, HOME="/proc")
        if os.geteuid() != 0:
            closed = self.dir / "closed"
            closed.mkdir()
            closed.chmod(0o500)
            self.refused(1, ["info", "--type", SMALL], "permission denied", XDG_CACHE_HOME=str(closed))

    def test_changed_headers_make_another_program(self):
        # A copy of what the tool reads, so that nothing of the build is touched.
        recipe = json.loads((PROGRAM.parent / "tinygpt-programs.json").read_text())
        here = self.dir / "copy"
        (here / "include/tinygpt").mkdir(parents=True)
        shutil.copy(PROGRAM, here / "tinygpt")
        (here / "include/tinygpt/a.hpp").write_text("// one\n")
        recipe["include"] = [str(here / "include"), *[p for p in recipe["include"] if p and not
                                                     os.path.exists(os.path.join(p, "tinygpt"))]]
        recipe["library"] = str(here / "missing.a")
        (here / "tinygpt-programs.json").write_text(json.dumps(recipe))
        count = self.dir / "count"
        environment = {"XDG_CACHE_HOME": str(self.dir / "cache"), **self.fake_compiler(
            f'echo x >> {count}\nwhile [ $# -gt 1 ]; do [ "$1" = -o ] && out=$2; shift; done\n'
            'printf \'#!/bin/sh\\necho made\\n\' > "$out"; chmod +x "$out"')}
        for change, compiled in ((None, 2), (None, 2), ("// another\n", 4), (None, 4)):
            if change:
                (here / "include/tinygpt/a.hpp").write_text(change)
            result = self.run_tool("info", "--type", SMALL, program=here / "tinygpt", **environment)
            self.assertEqual(result.stdout, "made\n", result.stderr)
            self.assertEqual(count.read_text().count("x"), compiled)

    def test_without_proc_no_program_of_the_current_folder_is_run(self):
        if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
            self.skipTest("this needs a mount namespace")
        for name in ("tinygpt-tiny_char", "tinygpt-", "tinygpt"):
            file = self.dir / name
            file.write_text("#!/bin/sh\necho HIJACKED\n")
            file.chmod(0o755)
        for words in ("tiny_char info", "info --preset tiny_char", "'' info"):
            result = subprocess.run(["unshare", "-m", "sh", "-c", f"umount -l /proc && exec {PROGRAM} {words}"],
                                    capture_output=True, text=True, cwd=self.dir, env=self.environment())
            self.assertNotIn("HIJACKED", result.stdout)
            self.assertIn(result.returncode, (1, 2), result.stderr)
            self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)


def hardened(case, program):
    """Is the program position-independent, with its tables read-only before it starts and checked stacks and copies?"""
    data = program.read_bytes()
    kind, = struct.unpack_from("<H", data, 16)
    case.assertEqual(kind, 3, f"{program} is not position-independent")
    offset, = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    headers = [struct.unpack_from("<IIQQQQQQ", data, offset + i * size) for i in range(count)]
    case.assertIn(0x6474E552, [h[0] for h in headers], f"{program} has no RELRO")
    case.assertTrue(all(h[1] & 1 == 0 for h in headers if h[0] == 0x6474E551), f"{program} has an executable stack")
    flags = 0
    for kind, _, at, _, _, length, *_ in (h for h in headers if h[0] == 2):
        for i in range(at, at + length, 16):
            tag, value = struct.unpack_from("<QQ", data, i)
            flags |= (tag == 24) | (tag == 30 and value & 8 != 0) | (tag == 0x6FFFFFFB and value & 1 != 0)
    case.assertTrue(flags, f"{program} binds lazily")
    case.assertIn(b"__stack_chk_fail", data, f"{program} has no stack protector")
    case.assertIn(b"_chk\0", data.replace(b"__stack_chk_fail", b""), f"{program} has no fortified call")


class Hardened(Case):
    def test_the_programs_are_hardened(self):
        recipe = json.loads((PROGRAM.parent / "tinygpt-programs.json").read_text())
        if "-fPIE" not in recipe["flags"].split():
            self.skipTest("a build that is not optimised, or under a sanitizer, is not")
        hardened(self, PROGRAM)
        for program in PROGRAM.parent.glob("tinygpt-*"):
            if program.stat().st_mode & stat.S_IXUSR and program.is_file() and not program.suffix:
                hardened(self, program)


if __name__ == "__main__":
    unittest.main()
