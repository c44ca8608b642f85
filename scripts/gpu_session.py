"""What scripts/test-gpu.sh and scripts/bench-gpu.sh share: a build for a bare machine, steps with time limits, a report
of which nothing is lost when the machine is taken away, and the facts of the machine."""
import datetime
import json
import os
import pathlib
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
DEFAULT_BINARIES = ROOT / "build/gpu/bin"  # where what is there may be older than the sources
NOT_FOUND = 127


def output_of(*command):
    """What a command prints; empty where there is no such command."""
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return run.stdout.strip() if run.returncode == 0 else ""


def nvcc():
    """The toolkit's compiler; empty where there is none."""
    home = os.environ.get("CUDAToolkit_ROOT") or os.environ.get("CUDA_HOME") or "/usr/local/cuda"
    return shutil.which("nvcc") or shutil.which("nvcc", path=f"{home}/bin") or ""


def tool(name):
    """A program of CUDA's, which may lie beside nvcc and not on the path."""
    folder = os.path.dirname(os.path.realpath(nvcc())) if nvcc() else ""
    return shutil.which(name) or shutil.which(name, path=folder) or ""


class Session:
    """Runs steps one after the other, each within its own limit and all within `limit` seconds, and writes after each
    of them what is known by then: results.jsonl, report.md and log.txt in `out`."""

    def __init__(self, title, out, limit):
        self.title, self.out = title, pathlib.Path(out).resolve()
        self.out.mkdir(parents=True, exist_ok=True)
        self.begun, self.limit = time.monotonic(), limit
        self.results, self.notes = [], []
        self.log = open(self.out / "log.txt", "w", encoding="utf-8", errors="replace")
        self.facts = {
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            "command": shlex.join(sys.argv),
            "commit": output_of("git", "-C", str(ROOT), "describe", "--always", "--dirty") or "not a git checkout",
            "gpu": output_of("nvidia-smi", "--query-gpu=name,memory.total,compute_cap", "--format=csv,noheader") or "none",
            "driver": output_of("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader") or "none",
            "nvcc": (re.findall(r"V[\d.]+", output_of(nvcc(), "--version")) or ["none"])[-1] if nvcc() else "none",
            "c++": (output_of("c++", "--version") or "none").splitlines()[0],
            "processor": f"{os.cpu_count()} x " + next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo")
                                                        if line.startswith("model name")), platform.machine()),
        }
        self.write()

    def left(self):
        return self.limit - (time.monotonic() - self.begun)

    def has_gpu(self):
        return self.facts["gpu"] != "none"

    def step(self, part, name, command, limit, environment=None, cwd=None):
        """(exit status, output); records passed, failed, timed out, or not reached. None where it did not end."""
        if self.left() < 5:
            self.record(part, name, "not reached", 0, "the session's time is over")
            return None, ""
        limit = min(limit, self.left())
        print(f"-- {part}: {name} (at most {limit:.0f} s)", flush=True)
        self.log.write(f"\n==== {part}: {name}\n$ {shlex.join(map(str, command))}\n")
        self.log.flush()
        begun, said = time.monotonic(), ""
        try:
            process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                       errors="replace", env={**os.environ, **(environment or {})}, cwd=cwd,
                                       start_new_session=True)
        except OSError as error:
            self.record(part, name, "failed", 0, str(error))
            return NOT_FOUND, ""
        try:
            said, _ = process.communicate(timeout=limit)
            status = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with all that it started
            said, _ = process.communicate()
            status = None
        seconds = time.monotonic() - begun
        self.log.write(said)
        self.log.flush()
        if status == 0:
            self.record(part, name, "passed", seconds, last_line(said))
        elif status is None:
            self.record(part, name, "timed out", seconds, f"not done after {limit:.0f} s")
        else:
            self.record(part, name, "failed", seconds, f"exit status {status}: {last_line(said)}")
            print("\n".join(said.splitlines()[-15:]), flush=True)
        return status, said

    def record(self, part, name, result, seconds, detail):
        self.results.append({"part": part, "name": name, "result": result, "seconds": round(seconds, 1), "detail": detail})
        self.write()

    def table(self):
        rows = [[r["part"], r["name"], r["result"], f"{r['seconds']:.1f}", r["detail"].replace("|", "/")[:90]]
                for r in self.results]
        return aligned([["part", "step", "result", "s", "detail"], *rows], right={3})

    def write(self):
        with open(self.out / "results.jsonl", "w") as lines:
            lines.writelines(json.dumps(line) + "\n" for line in [{"facts": self.facts}, *self.results])
        facts = "\n".join(f"- {name}: {value}" for name, value in self.facts.items())
        notes = "".join(f"\n{note}\n" for note in self.notes)
        (self.out / "report.md").write_text(f"# {self.title}\n\n{facts}\n{notes}\n## Steps\n\n{self.table()}\n")

    def end(self):
        """Prints the table; the exit status."""
        self.write()
        print("\n" + self.table())
        bad = [r for r in self.results if r["result"] in ("failed", "timed out")]
        missed = [r for r in self.results if r["result"] == "not reached"]
        passed = sum(r["result"] == "passed" for r in self.results)
        print(f"\n{passed} passed, {len(bad)} failed, {len(missed)} not reached, in "
              f"{time.monotonic() - self.begun:.0f} s on {self.facts['gpu']}; the report is in {self.out}")
        return 1 if bad or missed else 0

    def build(self, folder, binaries, targets, headers, architectures):
        """Programs into `binaries`, by CMake, in `folder`. Is everything there?"""
        missing = [t for t in targets if not (binaries / t).exists()]
        if not missing and not architectures and binaries != DEFAULT_BINARIES:
            self.record("build", "programs", "passed", 0, f"taken from {binaries}")
            return True
        if not nvcc():
            self.record("build", "programs", "failed", 0, f"{binaries} lacks {', '.join(missing)}, and there is no nvcc: "
                        "install CUDA 13, or build elsewhere and give --binaries")
            return False
        jobs = os.cpu_count() or 1
        configure = ["cmake", "-S", ROOT, "-B", folder, "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_FLAGS_RELEASE=-O3 -DNDEBUG",
                     "-DTINYGPT_GPU=ON", "-DTINYGPT_ON_GPU_ALONE=ON", "-DTINYGPT_BUILD_TESTS=ON", "-DTINYGPT_BUILD_BENCHMARKS=ON",
                     f"-DTINYGPT_NATIVE={'OFF' if architectures else 'ON'}", f"-DCMAKE_CUDA_COMPILER={nvcc()}",
                     f"-DCMAKE_RUNTIME_OUTPUT_DIRECTORY={binaries}"]
        if headers:
            configure.append(f"-DCMAKE_PREFIX_PATH={pathlib.Path(headers).resolve()}")
        if architectures:
            configure.append(f"-DTINYGPT_GPU_ARCHITECTURES={architectures}")
        if shutil.which("ninja"):
            configure += ["-G", "Ninja"]
        if self.step("build", "configure", configure, 120)[0] != 0:
            return False
        status, _ = self.step("build", "programs", ["cmake", "--build", folder, "-j", str(jobs), "--target", *targets], 1800)
        return status == 0


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def aligned(rows, right=()):
    """A markdown table; the first row is its head; columns in `right` are numbers."""
    widths = [max(3, *(len(row[i]) for row in rows)) for i in range(len(rows[0]))]
    cells = [[cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths))] for row in rows]
    rule = ["-" * (w - 1) + ":" if i in right else "-" * w for i, w in enumerate(widths)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [cells[0], rule, *cells[1:]])
