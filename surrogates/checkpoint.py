"""A surrogate in one file: safetensors arrays with a JSON header that says all that they mean. No code is stored.

The header holds the format's version, the architecture, the training box, the problem's name, settings and box, seed,
data hash, versions, and what training took. Floats are written so that they read back exactly: predictions are the
same to the bit.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as as_bytes

from ..solvers.box import Box
from ..solvers.catalogue import stored_problem
from ..solvers.files import replace
from ..solvers.problem import Problem
from .registry import ARCHITECTURES
from .surrogate import Surrogate

FORMAT = "assay-surrogate-1"
KEYS = ("architecture", "box", "problem", "settings", "inputs", "seed", "data_hash", "versions", "training")


def save(surrogate: Surrogate, path: str | os.PathLike[str]) -> Path:
    """Write ``path`` in one step: no reader meets half a file."""
    path = Path(path)
    header = {
        "format": FORMAT,
        "architecture": surrogate.architecture,
        "box": surrogate.box.to_json(),
        "problem": surrogate.problem_name,
        "settings": surrogate.problem_settings,
        "inputs": surrogate.problem.inputs.to_json(),
        "seed": surrogate.seed,
        "data_hash": surrogate.data_hash,
        "versions": surrogate.versions,
        "training": surrogate.training,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {key: np.ascontiguousarray(a) for key, a in surrogate.arrays.items()}
    replace(path, as_bytes(arrays, metadata={"assay": json.dumps(header)}))
    return path


def load(path: str | os.PathLike[str], problem: Problem | None = None) -> Surrogate:
    """The surrogate in a file; ``problem`` may be left out where its settings say all about it.

    Raises:
        ValueError: no such file, truncated or foreign, of another problem (what differs is named), or of an
            architecture or problem that this version does not know.
    """
    path = Path(path)
    header, arrays = _read(path)
    name = header["architecture"]["name"]
    if name not in ARCHITECTURES:
        raise ValueError(f"{path} holds a {name!r} surrogate, which this version does not know")
    if problem is None:
        problem = _rebuilt(path, header)
    _check_problem(path, header, problem, arrays)
    kind = ARCHITECTURES[name]
    return Surrogate(
        problem,
        header["architecture"],
        arrays,
        kind.predict,
        Box.from_json(header["box"]),
        header["seed"],
        header["data_hash"],
        header["training"],
        header["versions"],
        kind.on_host,
    )


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    if not path.is_file():
        raise ValueError(f"there is no surrogate at {path}")
    try:
        with safe_open(path, framework="numpy") as stored:
            text = (stored.metadata() or {}).get("assay")
            arrays = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{path} is truncated, damaged or no surrogate file ({error}): train again, or copy it again"
        ) from None
    if text is None:
        raise ValueError(f"{path} is a safetensors file, but not of a surrogate: it lacks the 'assay' header")
    try:
        header = json.loads(text)
        found = header["format"]
        missing = [key for key in KEYS if key not in header]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} has a header that cannot be read: it is damaged") from None
    if found != FORMAT:
        raise ValueError(f"{path} has format {found!r}; this version reads {FORMAT!r}")
    if missing or "basis" not in arrays:
        raise ValueError(f"{path} lacks {', '.join(missing) or 'its basis'}: it is damaged")
    return header, arrays


def _rebuilt(path: Path, header: dict[str, Any]) -> Problem:
    """The problem of this library that the header names."""
    try:
        return stored_problem(header["problem"], header["settings"])
    except ValueError as error:
        raise ValueError(
            f"{path} is a surrogate of {str(header['problem'])[:80]!r}, which its settings do not build ({error}): "
            "pass the problem as well"
        ) from None


def _check_problem(path: Path, header: dict[str, Any], problem: Problem, arrays: dict[str, np.ndarray]) -> None:
    if header["problem"] != problem.name:
        raise ValueError(f"{path} is a surrogate of {header['problem']}, not of {problem.name}")
    here = json.loads(json.dumps(problem.settings))
    there = header["settings"]
    differing = [
        f"{key} is {json.dumps(there.get(key))} there and {json.dumps(here.get(key))} here"
        for key in [*there, *(k for k in here if k not in there)]
        if there.get(key) != here.get(key)
    ]
    mine, stored = json.loads(json.dumps(problem.inputs.to_json())), header["inputs"]
    if not differing:
        differing = [
            f"the inputs' {key} are {stored[key]} there and {mine[key]} here"
            for key in mine
            if mine[key] != stored[key]
        ]
    if not differing and len(arrays["basis"]) != problem.size:
        differing = [f"fields have {len(arrays['basis'])} entries there and {problem.size} here"]
    if differing:
        raise ValueError(f"{path} is a surrogate of another {problem.name}: {'; '.join(differing)}")
