"""200 samples of a UM-Bridge model whose server is killed ten times meanwhile: 200 rows, none twice, the same bits.

The model is served by the UM-Bridge project's own package, killed (SIGKILL) at random moments while ``assay sample``
runs, and started again after up to half a second. A row that was being solved then is asked for again: the server's own
list of solves that ended says how many answers were lost on the way.

    python -m assay.benchmarks.connections.killed_server [--quick] [--json]
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ...solvers.snapshots.sample import load_snapshots
from .. import command
from .servers import BOX, TheirServer, assay
from .umbridge_worker import rod

ROWS, KILLS, PAUSE = 200, 10, 0.05
QUICK = (40, 3)


class Killer(threading.Thread):
    """Kills the server at random moments, as often as it is to, and starts it again."""

    def __init__(self, server: TheirServer, rows: int, kills: int) -> None:
        super().__init__(daemon=True)
        self._server, self.kills = server, 0
        rng = np.random.default_rng(0)
        self._moments = np.sort(rng.choice(np.arange(1, rows - 1), kills, replace=False))  # counted in solves
        self._waits = rng.uniform(0, PAUSE, kills), rng.uniform(0, 0.5, kills)

    def run(self) -> None:
        for moment, wait, rest in zip(self._moments, *self._waits, strict=True):
            while len(self._server.solved()) < moment:
                time.sleep(0.005)
            time.sleep(wait)
            self._server.kill()
            self.kills += 1
            time.sleep(rest)
            self._server.start()


def measure(quick: bool) -> dict[str, Any]:
    rows, kills = QUICK if quick else (ROWS, KILLS)
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base)
        with TheirServer(folder, PAUSE) as server:
            killer = Killer(server, rows, kills)
            killer.start()
            words = ("sample", f"umbridge:{server.url}#forward", "--set", BOX, "--n", str(rows), "--out", "s.h5")
            code, found, seconds = assay(folder, *words)
            killer.join()
            solved = server.solved()
        stored = load_snapshots(folder / "s.h5")
    expected = np.array([rod(p) for p in stored.inputs])
    distinct = len({p.tobytes() for p in stored.inputs})
    return {
        "rows": len(stored),
        "failed": found["failed"],
        "distinct": distinct,
        "kills": killer.kills,
        "solves that ended": len(solved),
        "of which again": len(solved) - len(set(solved)),
        "seconds": seconds,
        "exit code": code,
        "holds": {
            f"{rows} rows in the end, none failed, none twice": (len(stored), found["failed"], distinct)
            == (rows, 0, rows),
            f"the server was killed {kills} times": killer.kills == kills,
            "every row is the model's own, to the bit": bool((stored.fields == expected).all()),
        },
    }


def show(result: dict[str, Any], console: Console) -> None:
    shown = {key: value for key, value in result.items() if key not in ("holds", "load_average")}
    console.print(command.table("A server that is killed", [shown]))


if __name__ == "__main__":
    sys.exit(command.run(__doc__, measure, show))
