"""The time that a table may take: what would not fit is left out, and said.

Nothing that is compiled or solved can be broken off, so a step is begun only where what it is expected to take is left.
"""

from __future__ import annotations

import os
import time


class Clock:
    """Without a limit there is time for everything."""

    def __init__(self, limit: float | None = None) -> None:
        self.limit, self.start = limit, time.perf_counter()
        self.cut: dict[str, None] = {}  # what was left out, in order

    @property
    def spent(self) -> float:
        """Seconds since the clock was made."""
        return time.perf_counter() - self.start

    def allows(self, what: str, work: float, share: float = 1.0, wait: float = 0.0) -> bool:
        """Whether a step is expected to end within a share of the limit; where it is not, ``what`` is noted in ``cut``.

        Args:
            work: seconds that the step computes on an idle machine; a busy one takes longer (``busy``).
            wait: seconds that are the same on every machine.
        """
        if self.limit is None or self.spent + work * busy() + wait <= share * self.limit:
            return True
        self.cut[what] = None
        return False


def busy() -> float:
    """How much longer everything takes because others are at work, too."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
