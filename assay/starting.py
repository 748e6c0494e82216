"""Ctrl-C where nobody can catch it: one line and exit code 130, as at any other moment.

Importing JAX and a verb takes seconds, in which nothing of that is there yet to say what was kept. Between ``begin``
and ``over``, around the imports, an interruption therefore ends the process at once. Only a process that is the command
line is treated so: in a program that imports assay Ctrl-C stays KeyboardInterrupt.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

AGAIN = 0.05  # seconds until an interruption that was lost comes again


def begin() -> None:
    """Until ``over``: one line, and the end. Where Ctrl-C is ignored or handled by somebody else nothing is changed."""
    main_thread = threading.current_thread() is threading.main_thread()
    if main_thread and _is_command_line() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def over() -> None:
    """Ctrl-C is KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _is_command_line() -> bool:
    """Whether this process was started as `assay ...` or `python -m assay ...`."""
    if sys.argv[:1] == ["-m"]:  # so named while the module, here this package, is being looked for
        words = sys.orig_argv
        return words[words.index("-m") + 1 :][:1] == ["assay"] if "-m" in words else False
    return bool(sys.argv) and Path(sys.argv[0]).stem == "assay"


def _leave(number: int, frame: Any) -> None:
    os.write(2, b"assay: interrupted; nothing was written\n")
    os._exit(130)


def comes_again(unraisable: Any) -> None:
    """For ``sys.unraisablehook``: Ctrl-C at a moment when nothing can be raised (JAX has a callback in every garbage
    collection) is not lost, it comes again a moment later.
    """
    if unraisable.exc_type is KeyboardInterrupt:
        threading.Timer(AGAIN, _thread.interrupt_main).start()
    else:
        sys.__unraisablehook__(unraisable)
