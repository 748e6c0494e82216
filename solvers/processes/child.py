"""How a process of ours behaves: it ends with the one that started it, leaves stdout and Ctrl-C to that one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.connection import wait


def begin_child() -> None:
    """Called first in a process that we start, of which nobody knows but us.

    What foreign code prints goes to stderr: stdout is the command's own. An interruption is told to the process that
    started this one, which stops it; where that one is killed, this one ends, whatever it is busy with. What it starts
    itself is in its group, and ends with it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    sys.stdout.flush()
    os.dup2(2, 1)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
