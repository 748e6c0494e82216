"""Servers as processes that are started, killed and started again."""

from __future__ import annotations

import ast
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ..soundness.scratch import environment

THEIRS = Path(__file__).with_name("umbridge_worker.py")
COMING = 120.0  # seconds in which a server must listen
BOX = "box=k=0.5:2:log,c=0:40,q=1:5"


class TheirServer:
    """The rod, at a port that it keeps."""

    def __init__(self, folder: Path, pause: float = 0.0) -> None:
        self.port, self.log = free_port(), folder / "solved"
        self._words = [sys.executable, str(THEIRS), str(self.port), str(pause), str(self.log)]
        self._process: subprocess.Popen[bytes] | None = None
        self.log.touch()
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._process = subprocess.Popen(self._words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.port, self._process)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def solved(self) -> list[tuple[float, ...]]:
        """The inputs whose solves ended, in order."""
        return [tuple(ast.literal_eval(line)) for line in self.log.read_text().splitlines()]

    def __enter__(self) -> TheirServer:
        return self

    def __exit__(self, *args: object) -> None:
        self.kill()


def free_port() -> int:
    """One that nobody listens at now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def wait_for(port: int, process: subprocess.Popen[Any]) -> None:
    """Until somebody listens there.

    Raises:
        RuntimeError: the process ended, or took too long.
    """
    end = time.monotonic() + COMING
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"{' '.join(map(str, process.args))} does not listen: is the package umbridge there?")  # type: ignore[arg-type]


def assay(folder: Path, *words: str) -> tuple[int, dict[str, Any], float]:
    """A command of ours in a process of its own: exit code, what --json prints, seconds.

    Raises:
        RuntimeError: it printed nothing.
    """
    began = time.monotonic()
    command = [sys.executable, "-m", "assay", *words, "--json"]
    ended = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    if not ended.stdout:
        raise RuntimeError(f"assay {words[0]} ended with {ended.returncode}: {ended.stderr.strip()[-500:]}")
    return ended.returncode, json.loads(ended.stdout), time.monotonic() - began
