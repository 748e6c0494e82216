"""stdout for what was asked for alone, stderr for everything else. Imports nothing that takes time."""

from __future__ import annotations

import sys
from typing import TextIO

LONGEST = 1200  # characters of a message
_stdout: list[TextIO] = []  # the real one, while --json sends everything else that prints to stderr


def reserve_stdout() -> None:
    """From here on only ``emit`` writes to stdout: what a user's own module prints goes to stderr."""
    if not _stdout:
        _stdout.append(sys.stdout)
        sys.stdout = sys.stderr


def release_stdout() -> None:
    """The end of ``reserve_stdout``."""
    if _stdout:
        sys.stdout = _stdout.pop()


def stdout() -> TextIO:
    """Where results go."""
    return _stdout[-1] if _stdout else sys.stdout


def say(message: str) -> None:
    """One line to stderr. Part of it may come from a file: it is cut where nobody would read on, and no terminal obeys
    it.
    """
    if len(message) > LONGEST:
        message = f"{message[: LONGEST - 300]} ... {message[-280:]}"
    print("".join(c if c.isprintable() else repr(c)[1:-1] for c in message), file=sys.stderr, flush=True)
