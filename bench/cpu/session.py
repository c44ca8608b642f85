"""The rows of scripts/bench-cpu.sh, which says what they are."""
import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from gpu_session import aligned, output_of  # noqa: E402

BUILD = ROOT / "build/dev"
TORCH = ROOT / "bench/pytorch/cpu.py"
# name: (preset, as PyTorch's script calls it, batch, warm-up steps, steps, at least so many times PyTorch)
TRAIN = {
    "tiny_char": ("tiny_char", "tiny_char", 16, 5, 45, 2.5),
    "small_char": ("small_char", "small_char", 32, 2, 3, 2.0),
    "small": ("small", "small", 8, 2, 4, 2.0),
    "150M": ("150M", "150M", 4, 2, 4, 2.0),
    "modern_125M": ("modern_125M", "modern_125M", 4, 1, 2, 2.0),
    "gpt2": ("gpt2", "gpt2_256", 4, 2, 4, None),
}
DECODE = ["small", "150M", "gpt2"]
PROMPT = ["small", "gpt2"]
ROWS = [*(f"train-{n}" for n in TRAIN), *(f"decode-{n}" for n in DECODE), *(f"prompt-{n}" for n in PROMPT), "start"]
MODES = {"train": ["eager", "compile"], "decode": ["eager", "compile", "freeze"], "prompt": ["eager", "compile", "freeze"]}
GOALS = {"decode": 3.0, "prompt": 2.0, "start": 20.0}
PRECISIONS = ["float32", "bf16"]
LARGEST_DIFFERENCE = 0.02  # of two loss curves' ends
WORTH_ANOTHER = 1.15  # times the fastest way of PyTorch's, in the first round
# What guides to PyTorch on CPUs ask for: memory that stays in the process from step to step, and huge pages.
TORCH_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(1 << 40), "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
                     "THP_MEM_ALLOC_ENABLE": "1", "TORCHINDUCTOR_CACHE_DIR": str(ROOT / "build/bench-cpu-inductor")}


class Failed(Exception):
    pass


class Run:
    """Commands, what came of them, and the files that say so."""

    def __init__(self, a):
        self.a, self.out = a, a.out.resolve()
        self.out.mkdir(parents=True, exist_ok=True)
        self.log = open(self.out / "log.txt", "w", encoding="utf-8", errors="replace")
        self.measured, self.table, self.checks, self.failures, self.machine = [], [], [], [], {}
        self.begun = time.monotonic()
        model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")),
                     platform.machine())
        flags = next((line for line in open("/proc/cpuinfo") if line.startswith("flags")), "").split()
        cache = (BUILD / "CMakeCache.txt").read_text() if (BUILD / "CMakeCache.txt").exists() else ""
        options = re.findall(r"^CMAKE_CXX_FLAGS_RELEASE:\w+=(.*)$|^(TINYGPT_NATIVE:\w+=.*)$", cache, re.M)
        self.facts = {
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            "command": shlex.join(["scripts/bench-cpu.sh", *sys.argv[3:]]),  # after --python and its value
            "commit": output_of("git", "-C", str(ROOT), "describe", "--always", "--dirty") or "not a git checkout",
            "processor": f"{os.cpu_count()} x {model}; " +
                         " ".join(f for f in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f in flags),
            "memory": next((line.split(":", 1)[1].strip() for line in open("/proc/meminfo")), ""),
            "system": platform.platform(),
            "c++": (output_of("c++", "--version") or "none").splitlines()[0] + "; " + " ".join("".join(o) for o in options),
            "load before": " ".join(f"{x:.2f}" for x in os.getloadavg()),
        }

    def command(self, command, environment=None):
        """What it prints, and how long it took."""
        self.log.write(f"\n$ {shlex.join(map(str, command))}\n")
        self.log.flush()
        begin = time.monotonic()
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, errors="replace",
                              env={**os.environ, **(environment or {})}, cwd=ROOT)
        self.log.write(done.stdout + done.stderr)
        self.log.flush()
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines() or ["nothing"]
            raise Failed(f"exit status {done.returncode} of {shlex.join(map(str, command))}: {said[-1]}")
        return done.stdout, time.monotonic() - begin

    def benchmark(self, program, *flags):
        """Google Benchmark's rows."""
        folder = BUILD / "bench" / ("cpu" if program.startswith("tinygpt-bench-cpu-") else "")
        said, _ = self.command([folder / program, "--benchmark_format=json", *flags])
        rows = json.loads(said[said.index("{"):])["benchmarks"]
        for row in rows:
            if row.get("error_occurred"):
                raise Failed(f"{program}: {row['error_message']}")
        return rows

    def keep(self, row, side, way, round_, result):
        self.measured.append({"row": row, "side": side, "way": way, "round": round_, **result})
        per = result["seconds"] * 1e3 / (result["tokens"] if row.startswith("decode") else 1)
        print(f"   {row} round {round_}: {side} {way} {per:.2f} ms", flush=True)

    def write(self):
        self.facts["seconds"] = round(time.monotonic() - self.begun)
        (self.out / "results.json").write_text(json.dumps(
            {"facts": self.facts, "machine": self.machine, "table": self.table, "checks": self.checks,
             "failures": self.failures, "measured": self.measured}, indent=1) + "\n")
        (self.out / "report.md").write_text(self.report())

    def report(self):
        facts = {**self.facts, **self.machine_text()}
        parts = ["# The cpu backend beside PyTorch", "\n".join(f"- {name}: {value}" for name, value in facts.items())]
        if self.table:
            head = ["row", "side", "way", "ms a step, prompt or token", "tokens/s", "time / tinygpt's",
                    "PyTorch's in this precision", "goal",
                    "GFLOP/s or GB/s", "of the limit"]
            rows = [[r["row"], r["side"], r["way"], f"{r['ms']:.3f}" if r["ms"] < 10 else f"{r['ms']:.1f}",
                     "" if r["row"].startswith("start") else
                     f"{r['tokens_per_second']:,.{1 if r['tokens_per_second'] < 1000 else 0}f}",
                     f"{r['ratio']:.2f}", f"{r['of_same_precision']:.2f}" if r["of_same_precision"] else "", r["goal"],
                     f"{r['rate'] / 1e9:.1f}" if r.get("rate") else "",
                     f"{100 * r['of_limit']:.0f} %" if r.get("of_limit") else ""] for r in self.table]
            parts.append(aligned([head, *rows], right={3, 4, 5, 6, 8, 9}))
        if self.checks:
            head = ["row", "precision", "steps", "tinygpt", "PyTorch", "difference", "largest on the way", "result"]
            rows = [[c["row"], c["precision"], str(c["steps"]), f"{c['tinygpt']:.4f}", f"{c['pytorch']:.4f}",
                     f"{c['difference']:.5f}", f"{c['largest_difference']:.5f}", c["result"]] for c in self.checks]
            parts.append("## Losses\n\n" + aligned([head, *rows], right={2, 3, 4, 5, 6}))
        if self.failures:
            parts.append("## Failed\n\n" + "\n".join(f"- {f}" for f in self.failures))
        return "\n\n".join(parts) + "\n"

    def machine_text(self):
        units = {"multiply_adds": ("GFLOP/s", 1e9), "read_memory": ("GB/s", 1e9), "gemm": ("GFLOP/s", 1e9)}
        return {name: f"{value / units[name.split('/')[0]][1]:.1f} {units[name.split('/')[0]][0]}"
                for name, value in self.machine.items() if isinstance(value, float)}

    # ---- what is measured

    def limits(self):
        """Memory's bandwidth, multiply-adds, and the strongest bf16 product over the shapes of 150M."""
        for row in self.benchmark("tinygpt-bench-machine", "--benchmark_filter=all_threads"):
            name = row["name"].split("/")[0]
            value = row["B/s"] if name == "read_memory" else row["FLOP/s"]
            self.machine[name] = max(value, self.machine.get(name, 0.0))

    def products(self):
        shapes = "2048x(2304x768|3072x768|768x3072)"
        for row in self.benchmark("tinygpt-bench-gemm",
                                  f"--benchmark_filter=^(onednn|tinygpt)(_bf16)?/d?[yxw]/{shapes}/all_threads"):
            side, _, shape = row["name"].split("/")[:3]
            name = f"gemm/{side if side.endswith('bf16') else side + '_float32'}"
            self.machine[name] = max(row["FLOP/s"], self.machine.get(name, 0.0))

    def ours(self, row, what, preset, precision, round_, *flags):
        result = self.benchmark(f"tinygpt-bench-cpu-{preset}", f"--benchmark_filter=^{what}/{precision}/", *flags)[0]
        self.keep(row, "tinygpt", precision, round_, {
            "seconds": result["median_s"], "fastest": result["fastest_s"], "tokens": result["tokens"],
            **{k: result[k] for k in ("FLOP/s", "of_gemm", "loss", "params", "weights_B/s", "weight_bytes", "of_reading") if k in result}})

    def theirs(self, row, what, preset, way, round_, *flags):
        command = [self.a.python, TORCH, what, "--preset", preset, "--way", way, *flags]
        said, seconds = self.command(command, TORCH_ENVIRONMENT)
        self.keep(row, "PyTorch", way, round_, {**json.loads(said.splitlines()[-1]), "process_seconds": seconds})

    def ways(self, row, what, round_):
        """PyTorch's: all in the first round, then those that may be the fastest."""
        if self.a.no_pytorch:
            return []
        first = {m["way"]: m["seconds"] for m in self.measured
                 if (m["row"], m["side"], m["round"]) == (row, "PyTorch", 1)}
        if round_ == 1:
            return [f"{p}-{mode}" for mode in MODES[what] if not self.a.mode or mode in self.a.mode for p in PRECISIONS]
        return [w for w, s in first.items() if s <= WORTH_ANOTHER * min(first.values())]

    def in_turn(self, row, what, preset, torch_preset, our_flags, their_flags):
        for round_ in range(1, self.a.rounds + 1):
            ways = self.ways(row, what, round_)
            for i in range(max(len(ways), len(PRECISIONS))):
                self.ours(row, what, preset, PRECISIONS[i % 2], round_, *our_flags)
                if i < len(ways):
                    try:
                        self.theirs(row, what, torch_preset, ways[i], round_, *their_flags)
                    except Failed as failure:  # the other ways go on
                        self.fail(f"{row}, PyTorch {ways[i]}: {failure}")

    def train(self, name):
        preset, torch_preset, batch, warmup, steps, goal = TRAIN[name]
        row, exchange = f"train-{name}", self.out / "exchange"
        if self.a.quick:
            batch, warmup, steps = 1, 1, 2
        shutil.rmtree(exchange, ignore_errors=True)
        ours = [f"--batch={batch}", f"--warmup={warmup}", f"--steps={steps}", f"--text={self.a.text}",
                f"--exchange={exchange}"]
        theirs = ["--batch", batch, "--warmup", warmup, "--steps", steps, "--exchange", exchange]
        try:
            self.in_turn(row, "train", preset, torch_preset, ours, theirs)
            self.compare_losses(row, exchange)
        finally:
            shutil.rmtree(exchange, ignore_errors=True)
        self.summarise(row, goal)

    def compare_losses(self, row, exchange):
        """The same weights and windows were trained on: the curves end together."""
        for precision in PRECISIONS:
            path = exchange / f"losses-{precision}"
            eager = (row, "PyTorch", f"{precision}-eager")
            theirs = next((m for m in self.measured if (m["row"], m["side"], m["way"]) == eager), None)
            if theirs is None or not path.exists():
                continue
            ours = [float(line) for line in path.read_text().split()]
            if len(ours) != len(theirs["losses"]):
                raise Failed(f"{len(ours)} losses of tinygpt's and {len(theirs['losses'])} of PyTorch's")
            difference = abs(ours[-1] - theirs["losses"][-1])
            equal = difference <= LARGEST_DIFFERENCE
            self.checks.append({"row": row, "precision": precision, "steps": len(ours), "tinygpt": ours[-1],
                                "pytorch": theirs["losses"][-1], "difference": difference,
                                "largest_difference": max(abs(a - b) for a, b in zip(ours, theirs["losses"])),
                                "result": "equal" if equal else f"DIFFERENT: at most {LARGEST_DIFFERENCE}"})
            print(f"   {row} {precision}: loss after {len(ours)} steps differs by {difference:.5f}", flush=True)
            if not equal:
                self.fail(f"{row}: losses in {precision} differ by {difference:.4f} after {len(ours)} steps")

    def inference(self, what, preset):
        steps = 1 if self.a.quick else 5
        self.in_turn(f"{what}-{preset}", what, preset, preset, [f"--steps={steps}"], ["--steps", steps])
        self.summarise(f"{what}-{preset}", GOALS[what])

    def start(self):
        """Seconds from a process's start to that of the first step, to its loss, and to the first character."""
        program, model = BUILD / "presets/tinygpt-tiny_char", self.out / "start-model"
        weights = self.out / "start-weights.pt"
        shutil.rmtree(model, ignore_errors=True)
        words = "In the beginning"
        train = [program, "train", "--input-file", self.a.text, "--max-iters", 1, "--eval-iters", 1, "--out", model]
        generate = [program, "generate", "--model", model, "--prompt", words, "--max-new-tokens", 1]
        their_train = [self.a.python, TORCH, "start-train", "--text", self.a.text]
        their_generate = [self.a.python, TORCH, "start-generate", "--weights", weights]

        def measure(row, side, way, round_, *what):
            self.keep(row, side, way, round_, {"seconds": self.until(*what), "tokens": 1})

        if not self.a.no_pytorch:
            self.command([self.a.python, TORCH, "save", "--weights", weights])
        for round_ in range(1, 1 + (1 if self.a.quick else max(5, self.a.rounds))):
            for row, ours, theirs in (("start-step", b"step 0: ", b"step 0"), ("start-train", b"step 1/1 ", b"step 1/1 ")):
                shutil.rmtree(model, ignore_errors=True)
                measure(row, "tinygpt", "program", round_, train, ours)
                if not self.a.no_pytorch:
                    measure(row, "PyTorch", "eager", round_, their_train, theirs)
            measure("start-generate", "tinygpt", "program", round_, generate, None, len(words) + 1)  # the prompt comes first
            if not self.a.no_pytorch:
                measure("start-generate", "PyTorch", "eager", round_, their_generate, None, 1)
        shutil.rmtree(model, ignore_errors=True)
        weights.unlink(missing_ok=True)
        self.summarise("start-step", GOALS["start"])
        self.summarise("start-train", GOALS["start"])
        self.summarise("start-generate", GOALS["start"])

    def until(self, command, words, count=0):
        """Seconds until the command has written these words, or so many bytes."""
        command = list(map(str, command))
        begin = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
            said, seconds = b"", None
            while piece := os.read(process.stdout.fileno(), 65536):
                said += piece
                if seconds is None and (words in said if words else len(said) >= count):
                    seconds = time.perf_counter() - begin
            complaint = process.stderr.read().decode(errors="replace")
        self.log.write(f"\n$ {shlex.join(command)}\n{said.decode(errors='replace')}{complaint}")
        if process.returncode != 0 or seconds is None:
            last = (complaint.strip().splitlines() or ["nothing"])[-1]
            raise Failed(f"exit status {process.returncode} of {shlex.join(command)}: {last}")
        return seconds

    # ---- what is told of it

    def summarise(self, row, goal):
        """tinygpt's two precisions, and PyTorch's ways from the fastest on; ratios are to tinygpt's fastest."""
        medians = {}
        for side, way in dict.fromkeys((m["side"], m["way"]) for m in self.measured if m["row"] == row):
            of_way = [m for m in self.measured if (m["row"], m["side"], m["way"]) == (row, side, way)]
            medians[side, way] = statistics.median(m["seconds"] for m in of_way), of_way
        ours = min(s for (side, _), (s, _) in medians.items() if side == "tinygpt")
        others = sorted(s for (side, _), (s, _) in medians.items() if side == "PyTorch")
        in_order = sorted(medians.items(), key=lambda item: (item[0][0] == "PyTorch", item[1][0]))
        for (side, way), (seconds, of_way) in in_order:
            tokens = of_way[0]["tokens"]
            rate, limit = 0.0, 0.0
            if side == "tinygpt" and "FLOP/s" in of_way[0]:
                rate = statistics.median(m["FLOP/s"] for m in of_way)
                limit = max((v for k, v in self.machine.items() if k.startswith("gemm/") and k.endswith(way)),
                            default=0.0)
            elif row.startswith("decode"):
                precision = way.split("-")[0]
                weight_bytes = next((m["weight_bytes"] for m in self.measured
                                     if (m["row"], m["way"]) == (row, precision) and "weight_bytes" in m), 0)
                # The memory's bandwidth changes with the neighbours' work, so it is the one measured beside each of ours.
                beside = [m["weights_B/s"] / m["of_reading"] for m in self.measured
                          if (m["row"], m["side"], m["way"]) == (row, "tinygpt", precision)]
                rate, limit = weight_bytes * tokens / seconds, statistics.median(beside)
            # Like beside like: PyTorch's fastest way of this precision.
            alike = [s for (other, w), (s, _) in medians.items() if other == "PyTorch" and w.split("-")[0] == way]
            said = ""
            if goal and side == "PyTorch" and seconds == others[0]:
                said = f"{goal:g}: {'met' if seconds / ours >= goal else 'missed'}"
            if row == "train-150M" and side == "tinygpt" and way == "bf16" and limit:
                said = f"75 % of GEMM: {'met' if rate >= 0.75 * limit else 'missed'}"
            if row.startswith("decode") and side == "tinygpt" and limit:
                said = f"90 % of memory: {'met' if rate >= 0.9 * limit else 'missed'}"
            self.table.append({
                "row": row, "side": side, "way": way, "rounds": len(of_way), "seconds": seconds,
                "ms": 1e3 * seconds / (tokens if row.startswith("decode") else 1), "tokens_per_second": tokens / seconds,
                "ratio": seconds / ours, "of_same_precision": min(alike) / seconds if side == "tinygpt" and alike else 0.0,
                "goal": said, "rate": rate, "of_limit": rate / limit if limit else 0.0})
        self.write()

    def fail(self, what):
        self.failures.append(what)
        print(f"FAILED: {what}", flush=True)

    def attempt(self, what, function, *arguments):
        print(f"-- {what}", flush=True)
        try:
            function(*arguments)
        except Failed as failure:
            self.fail(f"{what}: {failure}")
        self.write()


def chosen(only):
    rows = [r for r in ROWS if not only or any(r == o or r.startswith(o + "-") for o in only)]
    unknown = [o for o in only if not any(r == o or r.startswith(o + "-") for r in ROWS)]
    if unknown or not rows:
        sys.exit(f"bench-cpu: there is no row {', '.join(unknown)}: there are {', '.join(ROWS)}")
    return rows


def build(rows):
    presets = list(dict.fromkeys(r.split("-", 1)[1] for r in rows if "-" in r))
    targets = [f"tinygpt-bench-cpu-{p}" for p in presets] + ["tinygpt-bench-machine", "tinygpt-bench-gemm"]
    if "start" in rows:
        targets.append("tinygpt-tiny_char")
    for command in (["cmake", "--preset", "dev"],
                    ["cmake", "--build", "--preset", "dev", "--target", *targets]):
        if subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL).returncode != 0:
            sys.exit(f"bench-cpu: {shlex.join(command)} failed")


def main():
    p = argparse.ArgumentParser(prog="bench-cpu.sh", description=__doc__)
    p.add_argument("--python", required=True, help=argparse.SUPPRESS)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--only", action="append", default=[])
    p.add_argument("--mode", action="append", default=[], choices=["eager", "compile", "freeze"])
    p.add_argument("--quick", action="store_true")
    p.add_argument("--no-pytorch", action="store_true")
    p.add_argument("--no-build", action="store_true")
    p.add_argument("--out", type=pathlib.Path, default=ROOT / "build/bench-cpu")
    p.add_argument("--text", type=pathlib.Path, default=ROOT / "build/text/kjv.txt")
    a = p.parse_args()
    rows = chosen(a.only)
    a.rounds = 1 if a.quick else max(1, a.rounds)
    a.text = a.text.resolve()
    if not a.text.exists():
        sys.exit(f"bench-cpu: {a.text} is missing: run scripts/quickstart.sh once, which prepares it, or give --text FILE")
    torch = "" if a.no_pytorch else output_of(a.python, "-c", "import torch; print(torch.__version__)")
    if not torch and not a.no_pytorch:
        sys.exit(f"bench-cpu: {a.python} does not import torch: name another by TINYGPT_TORCH_PYTHON, or give --no-pytorch")
    if not a.no_build:
        build(rows)
    run = Run(a)
    environment = " ".join(f"{name}={value}" for name, value in TORCH_ENVIRONMENT.items())
    run.facts["pytorch"] = f"{torch}, environment {environment}" if torch else "left out"
    run.attempt("the machine's limits", run.limits)
    run.attempt("matrix products", run.products)
    for row in rows:
        what, _, name = row.partition("-")
        if what == "train":
            run.attempt(row, run.train, name)
        elif what == "start":
            run.attempt(row, run.start)
        else:
            run.attempt(row, run.inference, what, name)
    run.facts["load after"] = " ".join(f"{x:.2f}" for x in os.getloadavg())
    run.write()
    print("\n" + run.report())
    print(f"in {time.monotonic() - run.begun:.0f} s; the report is in {run.out}")
    return 1 if run.failures else 0


if __name__ == "__main__":
    sys.exit(main())
