"""The public Darcy set of 16 x 16 points that neuraloperator's 0.3.0 wheel ships: coefficient to pressure.

    pip download neuraloperator==0.3.0 --no-deps; unzip neuraloperator-0.3.0-*.whl -d FOLDER

1000 samples to learn from and 50 to be judged at: from a coefficient of two values, drawn by thresholding a Gaussian
field, to the pressure. Points 0, h, .., 15 h of (0, 1)^2, h = 1/16: the last line is missing. The equation does not
change under the eight symmetries of the square; the row "mirrored" learns from all images of every sample, in whose
first line the coefficient, which is on the boundary, is that next to it.

``--peer-python``: an interpreter with neuraloperator 0.3.0 and torch, which trains the package's own example on the
same 1000 samples too (``neuraloperator_worker.py``).

The files are torch's archives. Their header is read here with nothing but the numbers it names; no code of it is run.
"""

from __future__ import annotations

import argparse
import io
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from rich.console import Console

from ...solvers.datasets.dataset import Dataset, dataset
from .. import command
from .contest import contest

SIDE = 16
GOALS = (0.13, 0.23)  # mean and worst
EPOCHS = 20  # of the package's example
NETWORK = {"precision": "float32", "batch": 32, "width": 32, "modes": 8, "layers": 4}
TYPES = {"BoolStorage": np.dtype(bool), "FloatStorage": np.dtype("<f4"), "DoubleStorage": np.dtype("<f8")}


class _Header(pickle.Unpickler):
    """Of a torch archive: tensors as (type, key, shape, strides); everything else is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *rest: (*storage, offset, shape, strides)
        if module == "torch" and name in TYPES:
            return TYPES[name]
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        raise ValueError(f"{module}.{name} is none of a tensor's parts")

    def persistent_load(self, pid: Any) -> tuple[np.dtype, str]:
        return pid[1], str(pid[2])


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a dictionary that torch.save wrote.

    Raises:
        ValueError: no such file, or another content.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            header = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            folder = header.removesuffix("data.pkl")
            found = _Header(io.BytesIO(archive.read(header))).load()
            return {key: _tensor(archive, folder, *about) for key, about in found.items()}
    except (OSError, zipfile.BadZipFile, StopIteration, pickle.UnpicklingError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no file of the Darcy set ({error}): unzip neuraloperator 0.3.0 there") from None


def _tensor(
    archive: zipfile.ZipFile, folder: str, dtype: np.dtype, key: str, offset: int, shape: Any, strides: Any
) -> np.ndarray:
    flat = np.frombuffer(archive.read(f"{folder}data/{key}"), dtype)
    if offset + 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) > len(flat) or min(strides) < 0:
        raise ValueError("a tensor reaches beyond its storage")
    steps = [s * dtype.itemsize for s in strides]
    return np.lib.stride_tricks.as_strided(flat[offset:], shape, steps, writeable=False).copy()


def mirrored(
    x: Float[np.ndarray, "n 16 16"], y: Float[np.ndarray, "n 16 16"]
) -> tuple[Float[np.ndarray, "m 16 16"], Float[np.ndarray, "m 16 16"]]:
    """All eight images of every sample on the same points."""

    def flipped(a: np.ndarray, axis: int, border: np.ndarray) -> np.ndarray:
        inner = np.flip(np.delete(a, 0, axis=axis), axis=axis)
        return np.concatenate([border, inner], axis=axis)

    both = [(x, y), (np.swapaxes(x, 1, 2), np.swapaxes(y, 1, 2))]
    for axis in (1, 2):
        last = [np.take(a, [-1], axis=axis) for a, _ in both]
        zero = [np.take(b, [0], axis=axis) for _, b in both]
        both += [
            (flipped(a, axis, edge), flipped(b, axis, wall))
            for (a, b), edge, wall in zip(both, last, zero, strict=True)
        ]
    return np.concatenate([a for a, _ in both]), np.concatenate([b for _, b in both])


def load(folder: Path, images: bool) -> tuple[Dataset, int]:
    """All rows, those to be judged at last, and how many are to be learnt from."""
    learnt, held = (read_tensors(_found(folder, f"darcy_{part}_16.pt")) for part in ("train", "test"))
    x, y = learnt["x"].astype(np.float64), learnt["y"].astype(np.float64)
    if images:
        x, y = mirrored(x, y)
    ticks = np.arange(SIDE) / SIDE
    made = dataset(
        np.concatenate([x, held["x"]])[..., None],
        np.concatenate([y, held["y"]]),
        (ticks, ticks),
        names=("coefficient",),
        name="darcy-16",
    )
    return made, len(made) - len(held["x"])


def _found(folder: Path, name: str) -> Path:
    there = sorted(folder.rglob(name))
    if not there:
        raise SystemExit(f"{folder} has no {name}: unzip the wheel of neuraloperator 0.3.0 there (see --help)")
    return there[0]


def example(python: str, epochs: int) -> dict[str, Any]:
    """The package's own example, by its own interpreter."""
    worker = Path(__file__).with_name("neuraloperator_worker.py")
    done = subprocess.run([python, str(worker), str(epochs)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{python} could not run neuraloperator's example:\n{done.stderr[-2000:]}")
    row: dict[str, Any] = {"surrogate": "neuraloperator's example", **json.loads(done.stdout.splitlines()[-1])}
    command.progress(row)
    return row


def measure(folder: Path, quick: bool, seconds: float, peer: str | None) -> dict[str, Any]:
    plain, learnt = load(folder, images=False)
    options = {**NETWORK, "seconds": 20.0 if quick else seconds}
    rows = contest(
        plain,
        learnt,
        {
            "kernel-ridge": ("kernel-ridge", {}),
            "fno": ("fno", options),
            "unet": ("unet", {"batch": 32, "seconds": options["seconds"], "precision": "float32"}),
        },
    )
    more, count = load(folder, images=True)
    rows += contest(more, count, {"fno, mirrored": ("fno", options)})
    best = min((row for row in rows if row["surrogate"] != "kernel-ridge"), key=lambda row: row["mean"])
    if peer:
        rows.append(example(peer, 2 if quick else EPOCHS))
    return {
        "rows": rows,
        "holds": {
            f"the best network: mean error below {GOALS[0]:.0%}": best["mean"] < GOALS[0],
            f"its worst below {GOALS[1]:.0%}": best["worst"] < GOALS[1],
        },
    }


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("Darcy's equation on 16 x 16 points, 1000 samples", result["rows"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="where the wheel was unzipped")
    parser.add_argument("--seconds", type=float, default=300.0, help="of training each network")
    parser.add_argument("--peer-python", help="an interpreter with neuraloperator 0.3.0 and torch")
    parser.add_argument("--quick", action="store_true", help="20 seconds each")
    parser.add_argument("--json", action="store_true", help="the numbers as JSON instead of a table")
    options = parser.parse_args()
    return command.finish(
        measure(options.data, options.quick, options.seconds, options.peer_python), show, "-" if options.json else None
    )


if __name__ == "__main__":
    sys.exit(main())
