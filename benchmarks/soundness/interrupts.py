"""Ctrl-C at a random moment of every verb, for a built-in problem and for a solver of one's own.

Every command is run whole once, which gives its time, and then again and again, interrupted (SIGINT to the process
alone) at moments drawn uniformly between the end of its imports and its end. An end is clean if the exit code is 130,
one line says what was kept and that is there, nothing else that looks like a failure was printed, and no process is
left behind.

    python -m assay.benchmarks.soundness.interrupts [--quick] [--json]
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from ...solvers.snapshots.sample import load_snapshots
from ...verify.boxes.map_file import load_trust_map
from .. import command
from .scratch import environment, write_own_module

MOMENTS = 10  # per command
FAULTS = re.compile(
    r"Traceback|Fatal Python|Segmentation|CpuCallback|Exception ignored|internal error|resource_tracker"
)
CHILD = """
import os, signal, sys, threading, time
from assay.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may hand an ignored one down
delay, began = float(sys.argv[1]), time.monotonic()
if delay:
    timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
    timer.daemon = True
    timer.start()
sys.argv[:2] = ["assay"]
try:
    main()
finally:
    print(f"took {time.monotonic() - began}", file=sys.stderr)
"""

BUILT_IN = ("thermal-block", "--set", "cells=8", "--set", "blocks=[2,1]")
MINE = ("mine:problem",)
OUT = "r"
SMALL = ("--surrogate", "pod-mlp", "--option", "widths=[8,8]", "--steps", "100")


class Case(NamedTuple):
    """A command that is interrupted; ``kept`` says in one word what is wrong with what it left, empty if nothing."""

    name: str
    words: tuple[str, ...]
    kept: Callable[[Path, str], str]
    needs: tuple[str, ...] = ()  # files and folders of the prepared folder that it needs
    quick: bool = False


def anything(folder: Path, line: str) -> str:
    return ""


def nothing_written(folder: Path, line: str) -> str:
    return "" if "nothing" in line else "says that something was kept"


def run_kept(folder: Path, line: str) -> str:
    return "" if f"kept in {OUT}" in line and (folder / OUT / "run.json").exists() else "no run.json"


def snapshots_kept(folder: Path, line: str) -> str:
    said = re.search(r"(\d+) of \d+ snapshots are kept", line)
    if said is None:
        return "says nothing of snapshots"
    there = len(load_snapshots(folder / "s.h5")) if int(said[1]) else 0
    return "" if there >= int(said[1]) else f"{said[1]} said, {there} there"


def map_kept(folder: Path, line: str) -> str:
    path = folder / "run" / "trust-map.json"
    if "as it was" in line:
        return "" if not path.exists() else "a map that was not there"
    return "" if "kept in" in line and load_trust_map(path).boxes else "no map"


def cases() -> list[Case]:
    """Every verb, for both kinds of problems where that makes a difference."""
    table = ("--surrogate", "linear", "--snapshots", "8", "--seeds", "1", "--batch", "4", "--draws", "4", "--out", OUT)
    both = []
    for kind, problem, run, named in (
        ("built-in", BUILT_IN, "run", ()),
        ("own solver", MINE, "own", ("--problem", *MINE)),
    ):
        sample = ("sample", *problem, "--n", "200", "--out", "s.h5")
        train = ("train", *problem, "--snapshots", "24", "--test", "8", "--out", OUT, *SMALL)
        falsify = ("falsify", run, *named, "--tolerance", "1e-9", "--budget", "60")
        replay = ("replay", f"{run}/counterexamples.jsonl#0", *named)
        both += [
            Case(f"sample, {kind}", sample, snapshots_kept, quick=True),
            Case(f"train, {kind}", train, run_kept, quick=bool(named)),
            Case(f"falsify, {kind}", falsify, anything, (run,)),
            Case(f"certify, {kind}", ("certify", run, *named, "--random", "64", "--truth"), nothing_written, (run,)),
            Case(
                f"guard, {kind}",
                ("guard", run, *named, "--random", "64", "--tolerance", "1e-9"),
                nothing_written,
                (run,),
            ),
            Case(f"solve, {kind}", ("solve", *problem), nothing_written),
            Case(f"replay, {kind}", replay, nothing_written, (run,)),
            Case(f"bench, {kind}", ("bench", *problem, *table), anything),
        ]
    boxes = ("certify", "run", "--box", "all", "--seconds", "10", "--tolerance", "1e-6")
    return [
        *both,
        Case("certify --box", boxes, map_kept, ("run",)),
        Case("audit", ("audit", "trust-map.json", "--surrogate", "run"), nothing_written, ("run", "trust-map.json")),
        Case("demo", ("demo", "--quick", "--out", OUT), run_kept),
    ]


def prepare(folder: Path, needed: set[str]) -> None:
    """The runs, maps and records that commands start from."""
    write_own_module(folder, pause=0.02, size=None)
    for run, problem, named in (("run", BUILT_IN, ()), ("own", MINE, ("--problem", *MINE))):
        if run not in needed:
            continue
        _whole(("train", *problem, "--snapshots", "16", "--test", "4", "--out", run, *SMALL), folder)
        _whole(("falsify", run, *named, "--tolerance", "1e-9", "--budget", "8"), folder)
    if "trust-map.json" in needed:
        _whole(("certify", "run", "--box", "all", "--seconds", "5", "--tolerance", "1e-2"), folder)
        (folder / "run" / "trust-map.json").replace(folder / "trust-map.json")


def _start(words: tuple[str, ...], folder: Path, delay: float) -> subprocess.Popen[str]:
    program = [sys.executable, "-c", CHILD, str(delay), *words]
    return subprocess.Popen(
        program,
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _whole(words: tuple[str, ...], folder: Path) -> tuple[float, int, str]:
    """Seconds after the imports, exit code, what it said."""
    with _start(words, folder, 0.0) as process:
        said, _ = process.communicate()
    took = re.search(r"took ([\d.]+)", said)
    if took is None or process.returncode not in (0, 1, 3):
        raise RuntimeError(f"assay {' '.join(words)} ended with {process.returncode}: {said[-500:]}")
    return float(took[1]), process.returncode, said


def interrupted(case: Case, folder: Path, delay: float) -> str:
    """What was wrong; empty for a clean end, "finished" where the command was faster."""
    with _start(case.words, folder, delay) as process:
        said, _ = process.communicate(timeout=300)
    for _ in range(20):  # helpers that end with their parent may take a moment
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        os.killpg(process.pid, signal.SIGKILL)
        return "a process was left"
    fault = FAULTS.search(said)
    if fault is not None:
        return f"{fault[0]}: {said[-2000:]}"
    lines = [line for line in said.splitlines() if line.startswith("assay: interrupted;")]
    if process.returncode in (0, 1, 3) and not lines:
        return "finished"
    if process.returncode != 130:
        return f"exit code {process.returncode}: {said[-2000:]}"
    if len(lines) != 1:
        return f"{len(lines)} lines of what was kept"
    return case.kept(folder, lines[0])


def measure_case(case: Case, source: Path, moments: int, rng: np.random.Generator) -> dict[str, Any]:
    """One command, whole once and then interrupted at so many moments."""
    with tempfile.TemporaryDirectory() as scratch:
        took, _, _ = _whole(case.words, _fresh(case, source, Path(scratch) / "whole"))
        found = []
        for k in range(moments):
            folder = _fresh(case, source, Path(scratch) / str(k))
            found.append(interrupted(case, folder, float(rng.uniform(0.01, took))))
    wrong = [what for what in found if what not in ("", "finished")]
    return {
        "command": case.name,
        "seconds": took,
        "interrupted": len(found) - found.count("finished"),
        "finished before": found.count("finished"),
        "clean": found.count(""),
        "wrong": "; ".join(wrong)[:4000],
    }


def _fresh(case: Case, source: Path, folder: Path) -> Path:
    folder.mkdir(parents=True)
    shutil.copy(source / "mine.py", folder)
    for name in case.needs:
        copy = shutil.copytree if (source / name).is_dir() else shutil.copy
        copy(source / name, folder / name)
    return folder


def measure(quick: bool) -> dict[str, Any]:
    rng = np.random.default_rng(time.time_ns())
    wanted = os.environ.get("ASSAY_INTERRUPTS", "")  # part of a case's name, to run it alone
    chosen = [case for case in cases() if wanted in case.name and (case.quick or not quick)]
    rows = []
    with tempfile.TemporaryDirectory() as source:
        prepare(Path(source), {name for case in chosen for name in case.needs})
        for case in chosen:
            rows.append(measure_case(case, Path(source), 2 if quick else MOMENTS, rng))
            command.progress(f"{rows[-1]['command']}: {rows[-1]['clean']} of {rows[-1]['interrupted']} clean")
    return {"rows": rows, "holds": {"every interruption ends cleanly": not any(row["wrong"] for row in rows)}}


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("Ctrl-C at random moments", result["rows"]))


if __name__ == "__main__":
    sys.exit(command.run(__doc__, measure, show))
