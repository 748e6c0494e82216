"""kill -9 at a random moment of sample, train, falsify, certify --box and bench: what is lost, and what resuming gives.

Every command runs whole once, which gives its time and its result. Then it is killed at moments drawn uniformly between
the end of its imports and its end, and the same command given again, up to three times in one folder, before it may
end. After every kill each file is read: it is whole or not there, and of the solves that had ended at most one is not
in it. At the end the result is that of the run that nobody killed, and nothing else is left over. After that: two
processes in one folder, a folder that cannot be written, and a full disk (a small tmpfs, where mounting is allowed).

    python -m assay.benchmarks.soundness.kill_at_random [--times N] [--quick] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from ...solvers.snapshots.sample import load_snapshots
from ...surrogates import Surrogate, load
from ...verify.boxes.map_file import load_trust_map
from ...verify.search.records import read_records
from .. import command
from .scratch import environment, own_problem, write_own_module

TOGETHER = 3  # kills in one folder
MINE = ("--problem", "mine:problem")
SMALL = ("--surrogate", "pod-mlp", "--option", "widths=[8,8]", "--snapshots", "24", "--test", "4")


class Case(NamedTuple):
    """A command; ``result`` is what is compared in the end."""

    name: str
    share: int  # of the kills: fewer for what takes long
    words: tuple[str, ...]
    result: Callable[[Path], Any]
    look: Callable[[Path], int]  # solves that ended and are not kept; raises where a file is not whole
    again: tuple[str, ...] = ()  # added once there is something to go on with
    needs: str = ""  # the prepared run that it needs


def cases() -> list[Case]:
    """The commands that leave something behind, and what is compared of it."""
    table = ("--surrogate", "linear", "--surrogate", "mean", "--snapshots", "16", "--batch", "4", "--draws", "4")
    sample = ("sample", "mine:problem", "--n", "60", "--out", "s.h5")
    train = ("train", "mine:problem", *SMALL, "--steps", "400", "--out", "r")
    search = ("falsify", "own", *MINE, "--tolerance", "1e-6", "--budget", "40")
    box = ("certify", "block", "--box", "all", "--tolerance", "0.1", "--seconds", "15")
    bench = ("bench", "mine:problem", *table, "--no-search", "--out", "b")
    return [
        Case("sample", 14, sample, _samples, _rows_lost),
        Case("train", 12, train, _model, _run_whole),
        Case("falsify", 12, search, _records, _whole, (), "own"),
        Case("certify --box", 4, box, _volume, _whole, ("--resume",), "block"),
        Case("bench", 8, bench, _table, _whole),
    ]


def _samples(folder: Path) -> Any:
    return load_snapshots(folder / "s.h5").hash


def _rows_lost(folder: Path) -> int:
    log = folder / "solved"
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    ended = {tuple(float(x) for x in line.replace("np.float64(", "").replace(")", "").split()) for line in lines}
    there = (folder / "s.h5").exists() or (folder / "s.h5.journal").exists()
    try:
        kept = {tuple(p) for p in load_snapshots(folder / "s.h5").inputs.tolist()} if there else set()
    except ValueError as error:
        if "there are no snapshots" not in str(error):
            raise
        kept = set()
    return len(ended - kept)


def _model(folder: Path) -> Any:
    model = load(folder / "r" / "model.safetensors", own_problem())
    assert isinstance(model, Surrogate)
    tests = load_snapshots(folder / "r" / "test.h5").hash
    return tests, model.data_hash, {key: a.tobytes().hex() for key, a in model.arrays.items()}


def _run_whole(folder: Path) -> int:
    for name in ("snapshots.h5", "test.h5"):
        if (folder / "r" / name).exists():
            load_snapshots(folder / "r" / name)
    if (folder / "r" / "model.safetensors").exists():
        _model_whole(folder)
    return _whole(folder)


def _model_whole(folder: Path) -> None:
    from safetensors.numpy import load_file

    load_file(folder / "r" / "model.safetensors")


def _records(folder: Path) -> Any:
    return [record.to_json() for record in read_records(folder / "own" / "counterexamples.jsonl")]


def _volume(folder: Path) -> Any:
    return load_trust_map(folder / "block" / "trust-map.json").certified_volume


def _table(folder: Path) -> Any:
    data = json.loads((folder / "b" / "mine-problem.json").read_text())
    return [[row["name"], row["errors"]] for row in data["rows"]]


def _whole(folder: Path) -> int:
    for path in folder.rglob("*.json"):
        json.loads(path.read_text())
    for path in folder.rglob("counterexamples.jsonl"):
        read_records(path)
    for path in folder.rglob("trust-map.json"):
        load_trust_map(path)
    return 0


def _write_own(folder: Path) -> None:
    write_own_module(folder, pause=0.03, size=5)  # the size: a solve that finds it out would be lost in a kill


class Runner:
    """Commands in scratch folders, with this library and one thread."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.environment = environment()
        self.imports = self._timed(["-c", "import assay.cli"], base)

    def start(self, words: tuple[str, ...] | list[str], folder: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *words],
            cwd=folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _timed(self, words: list[str], folder: Path) -> float:
        began = time.monotonic()
        self.start(words, folder).communicate()
        return time.monotonic() - began

    def fresh(self, name: str) -> Path:
        folder = Path(tempfile.mkdtemp(prefix=f"{name.replace(' ', '')}-", dir=self.base))
        _write_own(folder)
        if (self.base / name).is_dir():
            shutil.copytree(self.base / name, folder / name)
        return folder

    def run(self, words: tuple[str, ...], folder: Path, moment: float | None = None) -> tuple[int | None, str]:
        """Exit code and what was said; None where it was killed at ``moment``."""
        process = self.start(["-m", "assay", *words], folder)
        try:
            said = process.communicate(timeout=moment)[1]
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return None, ""
        return process.returncode, said.strip().splitlines()[-1] if said.strip() else ""


def strike(runner: Runner, case: Case, times: int, rng: np.random.Generator) -> dict[str, Any]:
    """One case, killed ``times`` times."""
    folder = _prepared(runner, case)
    began = time.monotonic()
    _done(runner.run(case.words, folder), case)
    seconds, expected = time.monotonic() - began, case.result(folder)
    row: dict[str, Any] = {
        "command": case.name,
        "seconds": seconds,
        "kills": 0,
        "lost": 0,
        "resumed": 0,
        "other": 0,
        "left": 0,
    }
    while row["kills"] < times:
        folder = _prepared(runner, case)
        for _ in range(TOGETHER):
            if row["kills"] >= times:
                break
            moment = runner.imports + rng.uniform(0, 1) * max(seconds - runner.imports, 0.5)
            code, _ = runner.run(_words(case, folder), folder, moment)
            if code is not None:
                break
            row["kills"] += 1
            row["lost"] = max(row["lost"], case.look(folder))
        else:
            code = None
        if code is None:
            ended = runner.run(_words(case, folder), folder)
            if "holds this very run, complete" not in ended[1]:  # killed when all was done
                _done(ended, case)
            row["resumed"] += 1
        row["other"] += case.result(folder) != expected
        row["left"] += len(list(folder.rglob("*.partial")))
        shutil.rmtree(folder)
    command.progress(row)
    return row


def _prepared(runner: Runner, case: Case) -> Path:
    folder = runner.fresh(case.needs or case.name)
    (folder / "solved").unlink(missing_ok=True)
    return folder


def _words(case: Case, folder: Path) -> tuple[str, ...]:
    return (*case.words, *(case.again if (folder / "block" / "trust-map.json").exists() else ()))


def _done(ended: tuple[int | None, str], case: Case) -> None:
    if ended[0] not in (0, 1, 3):
        raise RuntimeError(f"{case.name} ended with {ended[0]}: {ended[1]}")


def prepare(runner: Runner) -> None:
    """The runs that falsify and certify need."""
    _write_own(runner.base)
    block = ("thermal-block", "--set", "cells=8", "--set", "blocks=[2,1]", *SMALL, "--steps", "200", "--out", "block")
    for words in (("mine:problem", *SMALL, "--steps", "50", "--out", "own"), block):
        code, said = runner.run(("train", *words), runner.base)
        if code:
            raise RuntimeError(f"train {words[0]} ended with {code}: {said}")


def together(runner: Runner) -> dict[str, Any]:
    """Two processes in one folder: one works, the other is told so in one line, and nothing is harmed."""
    found = {}
    for case in cases()[:2]:
        folder = runner.fresh(case.name)
        pair = [runner.start(["-m", "assay", *case.words], folder) for _ in range(2)]
        said = [process.communicate()[1] for process in pair]
        codes = sorted(process.returncode for process in pair)
        case.result(folder)
        line = next((s.strip().splitlines()[-1] for s, p in zip(said, pair, strict=True) if p.returncode == 2), "")
        found[case.name] = {"codes": codes, "said": line}
    return found


def unwritable(runner: Runner) -> dict[str, Any]:
    """A full disk, and a folder that cannot be written: one line, exit code 2, the file named, nothing left over."""
    found: dict[str, Any] = {}
    disk = runner.fresh("disk") / "full"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True).returncode:
        found["full disk"] = {"codes": "not tried: mounting is not allowed"}
    else:
        try:
            words = ("sample", "thermal-block", "--set", "cells=32", "--n", "8", "--out", "full/s.h5")
            code, line = runner.run(words, disk.parent)
            left = [path.name for path in disk.glob("*.partial")]
            found["full disk"] = {"codes": [code], "said": line, "left": left}
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    closed = runner.fresh("closed") / "closed"
    closed.mkdir(mode=0o500)
    if os.geteuid() == 0:
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(closed)], capture_output=True)
        if made.returncode:
            return {**found, "read-only folder": {"codes": "not tried: as root everything can be written"}}
    try:
        code, line = runner.run(("sample", "mine:problem", "--n", "2", "--out", "closed/s.h5"), closed.parent)
        found["read-only folder"] = {"codes": [code], "said": line}
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", str(closed)], check=True)
    return found


def measure(times: int) -> dict[str, Any]:
    """All of it."""
    with tempfile.TemporaryDirectory() as base:
        runner = Runner(Path(base))
        prepare(runner)
        chosen = cases()
        whole = sum(case.share for case in chosen)
        counts = [max(1, round(times * case.share / whole)) for case in chosen]
        seeds = [np.random.default_rng([0, i]) for i in range(len(chosen))]
        with ThreadPoolExecutor(2) as pool:
            rows = list(pool.map(lambda c: strike(runner, *c), zip(chosen, counts, seeds, strict=True)))
        pairs, disks = together(runner), unwritable(runner)
    both = {name: about for name, about in {**pairs, **disks}.items() if isinstance(about["codes"], list)}
    return {
        "rows": rows,
        "together": pairs,
        "disks": disks,
        "holds": {
            "at most the solve in progress is lost": all(row["lost"] <= 1 for row in rows),
            "resumed runs end as those that nobody killed": not any(row["other"] for row in rows),
            "nothing is left over": not any(row["left"] for row in rows) and not disks["full disk"].get("left"),
            "two at once, full disks and closed folders are told in one line": all(
                set(about["codes"]) <= {0, 2} and (2 not in about["codes"] or about["said"].startswith("assay: "))
                for about in both.values()
            ),
        },
    }


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("kill -9 at random moments", result["rows"]))
    for name, about in {**result["together"], **result["disks"]}.items():
        console.print(f"{name}: {about['codes']}; {about.get('said', '')}", highlight=False)


def main() -> int:
    """The entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=50, help="kills in all")
    parser.add_argument("--quick", action="store_true", help="five kills")
    parser.add_argument("--json", action="store_true", help="the numbers as JSON instead of a table")
    options = parser.parse_args()
    return command.finish(measure(5 if options.quick else options.times), show, "-" if options.json else None)


if __name__ == "__main__":
    sys.exit(main())
