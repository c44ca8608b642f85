#!/usr/bin/env python3
"""Types what docs/how-to says, and compares what comes with what the pages show.

    how_to_test.py PROGRAM PAGES...      PROGRAM is the built tinygpt

A block ```console is compared whole; `...` in it stands for anything. A block ```text depends on the machine, so its
command must only succeed. A block ```json after a line "`NAME`:" is the file NAME. Where a page asks apt for a text and does
not get it, the rest of the page is passed over, and says so.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile


def check(page, directory, environment):
    """Complaints about one page, and how many commands it has."""
    complaints, commands = [], 0
    blocks = re.findall(r"(?:^`([^`\n]+)`:\n\n)?^```(\w+)\n(.*?)^```$", page.read_text(), re.M | re.S)
    for name, kind, body in blocks:
        if kind == "json" and name:
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(body)
        if kind not in ("console", "text") or not re.match(r"\$ (tinygpt|apt-get|zcat|PATH=)", body):
            continue
        commands += 1
        command, _, shown = body[2:].partition("\n")
        run = subprocess.run(["bash", "-c", command], cwd=directory, env=environment, capture_output=True, text=True)
        output = run.stdout + run.stderr
        if command.startswith(("apt-get", "PATH=")) and run.returncode != 0:
            print(f"{page.name}: passed over from '{command}' on, which failed here: {output.strip()}")
            break
        pattern = ".*".join(re.escape(part) for part in re.split(r"[ ]*\.\.\.", shown))
        if kind == "text" and run.returncode != 0:
            complaints.append(f"{page.name}: {command}: exit code {run.returncode}: {output}")
        if kind == "console" and not re.fullmatch(pattern, output, re.S):
            complaints.append(f"{page.name}: {command}:\n--- shown\n{shown}--- real\n{output}")
    return complaints, commands


def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    complaints = []
    for page in map(pathlib.Path, sys.argv[2:]):
        with tempfile.TemporaryDirectory() as directory:
            found, commands = check(page, pathlib.Path(directory), environment)
        complaints += found
        print(f"{page.name}: {commands} commands")
        if commands == 0:
            complaints.append(f"{page.name} has no commands to type")
    print("\n".join(complaints))
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
