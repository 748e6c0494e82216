"""A program in a process group of its own, of which nothing is left when it is over, however that came about.

A time limit, Ctrl-C and any other error end the whole group. Where our own process is killed outright nobody is left to
do that: so a shell waits beside the program for the end of a pipe that we hold, and ends the group then. What leaves
the group by itself, as daemons do, is not found.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

# The first line names the group, the second says that all is over; the end of the pipe, that nobody is there any more.
WATCH = 'read -r group || exit; read -r over || { kill -9 "-$group"; rm -rf "$1"; }'
HAS_GROUPS = hasattr(os, "killpg")


class TimeLimit(Exception):
    """A program took longer than it may."""


def run_program(
    words: Sequence[str],
    folder: str,
    scratch: Path,
    limit: float | None,
    stdin: IO[bytes] | int,
    stdout: IO[bytes],
    stderr: IO[bytes],
) -> int:
    """The program's exit code, negative where a signal ended it; all that it started is ended with it.

    Args:
        folder: where it runs.
        scratch: is removed where this process is killed meanwhile.

    Raises:
        TimeLimit: it took more than ``limit`` seconds.
        OSError: it cannot be started.
    """
    watch = _watch(scratch)
    program = None
    try:
        program = subprocess.Popen(
            words, cwd=folder, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=HAS_GROUPS
        )
        _tell(watch, program.pid)
        return program.wait(limit)
    except subprocess.TimeoutExpired:
        raise TimeLimit from None
    finally:
        if program is not None:
            _end(program)
            _tell(watch, "over")
        _close(watch)


def _watch(scratch: Path) -> subprocess.Popen[bytes] | None:
    if not HAS_GROUPS:
        return None
    return subprocess.Popen(
        ["/bin/sh", "-c", WATCH, "assay-watch", str(scratch)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _tell(watch: subprocess.Popen[bytes] | None, what: object) -> None:
    if watch is not None and watch.stdin is not None:
        with suppress(OSError):
            watch.stdin.write(f"{what}\n".encode())
            watch.stdin.flush()


def _close(watch: subprocess.Popen[bytes] | None) -> None:
    if watch is not None and watch.stdin is not None:
        with suppress(OSError):
            watch.stdin.close()
        watch.wait()


def _end(program: subprocess.Popen[bytes]) -> None:
    if HAS_GROUPS:
        with suppress(OSError):  # nobody is left in the group, the usual case
            os.killpg(program.pid, signal.SIGKILL)
    elif program.poll() is None:
        program.kill()
    program.wait()
