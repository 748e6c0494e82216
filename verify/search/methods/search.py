"""What a method of falsification is: a function that spends a search's solves where it expects failures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ....solvers.box import Box
from ..confirmation import Confirmation
from ..signal import Signal

IDLE = 3  # turns in a row that spent no solve, until a method ends


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

    _calls: int = -1  # at the last turn
    _idle: int = 0

    @property
    def box(self) -> Box:
        return self.confirm.problem.inputs

    def goes_on(self) -> bool:
        """Before a turn: whether solves are left, and the last turns spent some. None is spent where the box is so
        narrow that float64 tells few inputs apart, and all of them are known.
        """
        calls = self.confirm.calls
        self._idle = self._idle + 1 if calls == self._calls else 0
        self._calls = calls
        if self.confirm.left and self._idle >= IDLE:
            self.notes.append(
                f"{self.confirm.left} solver calls of the budget were not spent: no input was found that was not known"
            )
            return False
        return self.confirm.left > 0


Method = Callable[[Search], None]
