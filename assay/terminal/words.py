"""The words of the command that runs, for results that say what they were asked with."""

from __future__ import annotations

import shlex
from contextvars import ContextVar

typed: ContextVar[tuple[str, ...]] = ContextVar("typed", default=())


def command_line() -> str:
    """The command as it was typed; empty where it is none."""
    return shlex.join(["assay", *typed.get()]) if typed.get() else ""


def counted(count: int, what: str) -> str:
    """A number of things, in words."""
    return f"{count} {what}{'' if count == 1 else 's'}"
