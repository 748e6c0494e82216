"""`assay bench NAME --quick` on every built-in problem and on three black boxes: exit code, time, verdicts.

Each in a process of its own, as on a command line, so that importing and compiling count. The claim is about an idle
machine; the processor's seconds stand beside, for one that was not.

    python -m assay.benchmarks.tables.every_problem [--quick] [--json]
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections import Counter
from typing import Any

from rich.console import Console

from ...solvers.problems.catalogue import PROBLEMS
from .. import command
from .effort import LIMIT

OWN = tuple(f"assay.benchmarks.subjects.own:{name}" for name in ("scalar", "flow", "corner"))
FEW = ("thermal-block", "burgers", *OWN[2:])


def quick_table(word: str) -> dict[str, Any]:
    """What `assay bench` did with a problem."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    words = [sys.executable, "-m", "assay", "bench", word, "--quick", "--json"]
    done = subprocess.run(words, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    tables = json.loads(done.stdout)["tables"] if done.stdout else []
    rows = [row for table in tables for row in table["rows"]]
    verdicts = {m: Counter(r["verdicts"][m] for r in rows if m in r["verdicts"]) for m in ("discrete", "PDE")}
    words_of = {m: ", ".join(f"{n} {word}" for word, n in found.items()) or "-" for m, found in verdicts.items()}
    cut = [note.split(": ", 1)[1] for table in tables for note in table["notes"] if note.startswith("left out to stay")]
    return {
        "problem": word.split(":")[-1],
        "exit": done.returncode,
        "seconds": seconds,
        "processor s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "rows": len(rows),
        **words_of,
        "left out": "; ".join(cut) or (done.stderr.strip().splitlines() or [""])[-1][:100] * (done.returncode != 0),
        "NaN": done.stdout.count('"nan"'),
    }


def measure(quick: bool) -> dict[str, Any]:
    rows = [quick_table(word) for word in (FEW if quick else (*PROBLEMS, *OWN))]
    slowest = max(rows, key=lambda r: r["seconds"])
    return {
        "rows": rows,
        "holds": {
            "every table is made: exit code 0, at least one row": all(r["exit"] == 0 and r["rows"] for r in rows),
            f"each within {LIMIT:g} s ({slowest['problem']}: {slowest['seconds']:.0f} s)": slowest["seconds"] <= LIMIT,
            "no number of any table is NaN": not any(r["NaN"] for r in rows),
        },
    }


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("assay bench NAME --quick", result["rows"]))


if __name__ == "__main__":
    sys.exit(command.run(__doc__, measure, show))
