"""How much is spent on a table, and the quick kind: small grids, one seed, a limit to the time.

The sizes below are small enough that a table takes half a minute on two idle cores; what a slow or busy machine has no
time for is left out, and the table says what (``clock.py``). How many solves a slow solver is asked for follows from
what one takes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .clock import Clock
from .solver_curve import TOLERANCES


@dataclass(frozen=True)
class Effort:
    """What a table may spend. To stay within ``limit`` a table is made smaller, but never in what the user asked for:
    ``fixed`` names those of these fields (and "surrogates", where the user named them).
    """

    seeds: tuple[int, ...] = (0, 1, 2)  # networks are trained once per seed; the row shows the worst over them
    snapshots: int = 512
    seconds: float = 60.0  # of training one network
    batch: int = 256  # queries
    draws: int = 48  # test inputs from the sampling law
    search: bool = True  # falsify what has a basis, so that "worst" is the worst found by a search
    tolerances: tuple[float, ...] = TOLERANCES  # of the solver
    limit: float | None = None  # seconds of the whole table
    fixed: frozenset[str] = frozenset()

    def within(self, clock: Clock, each: float) -> Effort:
        """With as many snapshots and queries as solves of ``each`` seconds leave time for.

        Raises:
            ValueError: not even the smallest table fits the limit.
        """
        if clock.limit is None:
            return self
        if 40 * each > clock.limit:
            raise ValueError(f"a solve takes {each:.2g} s: no table fits {clock.limit:g} s, leave --quick out")
        room = clock.limit / max(each, 1e-9)
        wanted = {"snapshots": min(self.snapshots, int(0.2 * room)), "batch": min(self.batch, int(0.02 * room))}
        fewer: dict[str, Any] = {k: max(n, LEAST[k]) for k, n in wanted.items() if k not in self.fixed}
        for what, n in fewer.items():
            if n < getattr(self, what):
                clock.cut[f"{what} {n} instead of {getattr(self, what)}"] = None
        return replace(self, **fewer)


LEAST = {"snapshots": 8, "batch": 1}
LIMIT = 60.0
AROUND = 8.0  # seconds of it, for starting and for printing
QUICK = Effort(
    seeds=(0,), snapshots=128, seconds=6.0, batch=32, draws=12, search=False, tolerances=(1e-2,), limit=LIMIT - AROUND
)
GRIDS: dict[str, dict[str, Any]] = {
    "thermal-block": {"cells": 16},
    "lognormal-diffusion": {"cells": 16},
    "elasticity": {"cells": 8},
    "helmholtz": {"cells": 32},  # coarser ones do not see the source
    "advection-diffusion": {"cells": 16},
    "bratu": {"cells": 16},
    "cavity": {"cells": 16},
    "hyperelastic": {"cells": 8},
    "heat": {"cells": 8, "steps": 16},
    "allen-cahn": {"cells": 32, "steps": 48},
    "burgers": {"cells": 32, "steps": 20},
    "wave": {"cells": 8, "steps": 16},
}


def quick_settings(name: str, asked: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The problem's settings for a quick table, what was asked for before all, and what of it is coarse."""
    coarse = {k: v for k, v in GRIDS.get(name, {}).items() if k not in asked}
    return {**coarse, **asked}, [f"{k}={v}" for k, v in coarse.items()]
