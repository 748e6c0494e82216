"""The other end of ``crown_worker.py``: asks the peer's interpreter for bounds of boxes, through .npz files."""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from rich.console import Console

from .. import command
from .plain_intervals import Interval, Layers

INSTALL = (
    "not installed: python3 -m venv ENV; ENV/bin/pip install bound-propagation==0.4.7 torch==2.13.0 numpy; "
    "then --peer-python ENV/bin/python"
)
PAUSE = 20.0  # seconds granted to the worker to end by itself


class PeerError(Exception):
    """The peer raised an exception instead of giving bounds."""


def as_arrays(layers: Layers, **more: Any) -> dict[str, Any]:
    """A network as the worker reads it."""
    arrays = {f"{name}_{i}": layer[j] for i, layer in enumerate(layers) for j, name in enumerate("Wb")}
    return {**arrays, **more}


class Crown:
    """One worker process; a context manager. ``version`` says what runs there.

    Raises:
        FileNotFoundError: no such interpreter, or one without the packages.
    """

    def __init__(self, python: str) -> None:
        what = "import torch, bound_propagation; from importlib.metadata import version as v; "
        what += "print('bound-propagation', v('bound-propagation') + ', torch', torch.__version__)"
        try:
            found = subprocess.run([python, "-c", what], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise FileNotFoundError(INSTALL) from error
        self.version = found.stdout.strip()
        self._folder = tempfile.TemporaryDirectory(prefix="peer-")
        self._models: dict[str, str] = {}
        self._count = 0
        script = Path(__file__).with_name("crown_worker.py")
        self._process = subprocess.Popen(
            [python, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def __enter__(self) -> Crown:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(PAUSE)
        self._folder.cleanup()

    def model(self, name: str, arrays: dict[str, Any]) -> str:
        """Hands a model over; ``name`` is how ``bounds`` finds it again."""
        self._count += 1  # never a file twice: the worker keeps what it has built from one
        path = str(Path(self._folder.name) / f"model-{self._count}.npz")
        np.savez(path, **arrays)
        self._models[name] = path
        return name

    def bounds(
        self,
        model: str,
        kind: str,
        method: str,
        low: np.ndarray,
        high: np.ndarray,
        *,
        dtype: str = "float64",
        output: np.ndarray | None = None,
        clear: bool = True,
    ) -> tuple[Interval, float]:
        """Bounds [n, k] of every box, and the seconds that the package took for them, handing over apart.

        ``output`` [n, r, m]: a last layer of its own for each box. ``clear=False``: as the package does by itself.

        Raises:
            PeerError: the package raised, with what it said.
        """
        folder = Path(self._folder.name)
        boxes: dict[str, Any] = {"low": low, "high": high} | ({} if output is None else {"output": output})
        np.savez(folder / "boxes.npz", **boxes)
        request: dict[str, Any] = {
            "model": self._models[model],
            "boxes": str(folder / "boxes.npz"),
            "out": str(folder / "out.npz"),
        }
        assert self._process.stdin is not None and self._process.stdout is not None
        request |= {"kind": kind, "method": method, "dtype": dtype, "clear": clear}
        print(json.dumps(request), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise PeerError("the worker has ended")
        reply = json.loads(line)
        if "error" in reply:
            raise PeerError(reply["error"])
        out = np.load(folder / "out.npz")
        return Interval(out["lower"], out["upper"]), float(reply["seconds"])


def run(
    doc: str | None,
    measure: Callable[[Crown | None, bool], dict[str, Any]],
    show: Callable[[dict[str, Any], Console], None],
    arguments: list[str] | None = None,
) -> int:
    """``command.run`` for benchmarks beside the peer: ``measure(peer, quick)``, the peer None where there is none."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--peer-python", help="an interpreter with torch and bound-propagation")
    parser.add_argument("--quick", action="store_true", help="the same with fewer boxes and less time")
    parser.add_argument(
        "--json", nargs="?", const="-", help="the numbers as JSON on stdout, or in a file beside tables"
    )
    options = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        peer = None
        if options.peer_python:
            try:
                peer = stack.enter_context(Crown(options.peer_python))
            except FileNotFoundError as error:
                print(f"{options.peer_python}: {error}", file=sys.stderr)
        result = measure(peer, options.quick)
    return command.finish(result, show, options.json)
