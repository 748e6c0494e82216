"""What ends a command early: the user's mistakes, what was interrupted, and everything else."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

DONE, FAILED, MISTAKE, UNDECIDED, INTERNAL, INTERRUPTED = 0, 1, 2, 3, 70, 130


class UserError(Exception):
    """The user's mistake, in one line that says what to do."""


_kept: list[Callable[[], str]] = []


@contextmanager
def keeps(what: Callable[[], str]) -> Iterator[None]:
    """While this runs, an interruption, or foreign code that ends the program, reports ``what()``: what was kept and
    how to go on.
    """
    _kept.append(what)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        raise  # the account stays on the list for ``interruption``
    except BaseException:
        _kept.pop()
        raise
    else:
        _kept.pop()


def interruption() -> str:
    """What was kept, from the innermost account; forgets all of them."""
    accounts = [what() for what in _kept]
    _kept.clear()
    return accounts[-1] if accounts else "nothing was written"


def is_users_mistake(error: BaseException) -> bool:
    """Whether an error that came out of the library names something the user can mend.

    A ValueError counts where this library raised it: its own checks speak to the user. One from inside numpy or JAX
    is a fault of ours. Files that cannot be opened are the user's to mend.
    """
    if isinstance(error, UserError):
        return True
    if isinstance(error, OSError):
        return not isinstance(error, BrokenPipeError)
    if not isinstance(error, ValueError):
        return False
    frames = list(traceback.walk_tb(error.__traceback__))
    return bool(frames) and str(frames[-1][0].f_globals.get("__name__", "")).split(".")[0] == "assay"


def one_line(error: BaseException) -> str:
    """The message without line breaks; the kind of error where there is no message."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__
