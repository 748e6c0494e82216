"""What a method of falsification is: a function that spends a search's solves where it expects failures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ....solvers.box import Box
from ..confirmation import Confirmation
from ..signal import Signal


@dataclass
class Search:
    """What a method has: solves (``confirm.check(P, how)``, of which ``confirm.left`` are left, or through
    ``TrueError``), signals that cost none, and chance. Everything random comes from ``rng`` or ``seed``, so that a
    seed says all.

    A method adds to ``notes`` what its user has to know of it, and to ``evaluations`` how often it asked the signal.
    """

    confirm: Confirmation
    signal: Signal
    seed: int
    starts: int  # points that a climb of the signal begins with
    rng: np.random.Generator
    report: Callable[[str, int, int], None]  # stage in words, done, of how much
    notes: list[str] = field(default_factory=list)
    evaluations: int = 0
    others: tuple[Signal, ...] = ()  # further signals, the sharpest first, for where ``signal`` says nothing

    @property
    def box(self) -> Box:
        return self.confirm.problem.inputs


Method = Callable[[Search], None]
