"""A box proof on 1, 2 and 4 devices of JAX: the same map, and the seconds.

The same to the bit on 2 and on 4. XLA compiles another program for one device than for several, so that last bits of
bounds may differ between one and more: the tree, the verdicts and the confirmed errors are compared to the bit, the
bounds to 1e-14 of themselves.

The devices are this machine's processors, as many as XLA is told (--xla_force_host_platform_device_count), each count
in a process of its own. Where there are fewer cores than devices, or other programs use them, more devices cannot be
faster: what is shown is that the map does not depend on them, and what they cost. The box is proved as a whole, so that
the map does not depend on when it was stopped.

    python -m assay.benchmarks.clusters.devices [--quick] [--json]
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from typing import Any

import jax
import numpy as np
from rich.console import Console

from ...verify.boxes import batches
from ...verify.certify_box import certify_box
from .. import command
from ..soundness.faulty import Quadratic
from .subjects import BLOCK

TOLERANCE = {True: 0.6, False: 0.5}  # the largest error is 0.474; the nearer, the more leaves


def proved(quick: bool) -> dict[str, Any]:
    """The map in this process."""
    trust = certify_box(BLOCK, Quadratic(BLOCK), TOLERANCE[quick], seconds=600, order=2)
    arrays = (trust.axis, trust.children, trust.verdicts, trust.witness, trust.witness_lower)
    return {
        "devices": len(jax.devices()),
        "certified": trust.certified_volume,
        "leaves": trust.boxes,
        "error from": trust.relative_lower,
        "to": trust.relative_upper,
        "map": hashlib.sha256(b"".join(x.tobytes() for x in arrays)).hexdigest()[:16],
        "bounds": [float(x) for x in trust.bound],
        "seconds": trust.seconds,
        "boxes a second": trust.evaluated / trust.seconds,
    }


def on_devices(count: int, quick: bool) -> dict[str, Any]:
    """The same in a process with so many devices."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
    words = [sys.executable, "-m", __spec__.name, "--here", *["--quick"] * quick]
    done = subprocess.run(words, env={**os.environ, "XLA_FLAGS": flags}, stdout=subprocess.PIPE, text=True, check=True)
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def measure(quick: bool) -> dict[str, Any]:
    rows = []
    for count in (1, 2, 4):
        rows.append(on_devices(count, quick))
        command.progress({key: value for key, value in rows[-1].items() if key != "bounds"})
    one, two = (np.array(row["bounds"]) for row in rows[:2])
    apart = float(np.abs(two / one - 1).max()) if one.shape == two.shape else np.inf
    return {
        "cores": batches.processors(),
        "rows": rows,
        "holds": {
            "as many devices as asked for": [row["devices"] for row in rows] == [1, 2, 4],
            "the box is certified": all(row["certified"] == 1 for row in rows),
            "tree, verdicts and confirmed errors are the same to the bit": len({row["map"] for row in rows}) == 1,
            "bounds are the same to the bit on 2 and on 4": rows[1]["bounds"] == rows[2]["bounds"],
            f"bounds are those of one device to 1e-14 of themselves ({apart:.1e})": apart <= 1e-14,
        },
    }


def show(result: dict[str, Any], console: Console) -> None:
    rows = [{key: value for key, value in row.items() if key != "bounds"} for row in result["rows"]]
    console.print(command.table(f"A box proof on several devices, {result['cores']} cores", rows))


if __name__ == "__main__":
    if "--here" in sys.argv:
        print(json.dumps(proved("--quick" in sys.argv)))
    else:
        sys.exit(command.run(__doc__, measure, show))
