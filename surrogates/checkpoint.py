"""A surrogate in one file: safetensors arrays with a JSON header that says all that they mean. No code is stored.

The header holds the format's version, the architecture, the training box, the problem's name, settings and box, seed,
data hash, versions, and what training took. Floats are written so that they read back exactly: predictions are the
same to the bit.

An ensemble is one file, too: its ``architecture`` is named "ensemble" and lists in ``members`` what is each member's
own of these, and the arrays of member k begin with ``k.``; the rest of the header is of all, or the first one's.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as as_bytes

from ..solvers.answers import words
from ..solvers.box import Box
from ..solvers.files import checked_path, parse_json, replace
from ..solvers.identity import check_fingerprint, check_problem, check_solution, differences, says_all
from ..solvers.problem import Problem
from ..solvers.problems.catalogue import stored_problem
from .architectures import ARCHITECTURES
from .ensemble import Ensemble
from .surrogate import Surrogate
from .training.train import check_box

FORMAT = "assay-surrogate-1"
DIGEST = "digest"
PARTS = ("solution.inputs", "solution.field")
TRAINED_AT = "trained.inputs"
ENSEMBLE = "ensemble"
OWN = ("architecture", "box", "seed", "data_hash", "versions", "training")  # of every member of an ensemble
COMMON = ("problem", "settings", "inputs")
KEYS = (*OWN, *COMMON)
Solution = tuple[np.ndarray, np.ndarray]  # p and u(p)


def save(surrogate: Surrogate | Ensemble, path: str | os.PathLike[str]) -> Path:
    """Write a surrogate, or an ensemble, to a file in one step: no reader meets half of it. Missing folders are made.

    Returns:
        The path.

    Raises:
        OSError: the file cannot be written; it names the path.
        ValueError: it is something else, such as a model of other people.
    """
    path = Path(path)
    if not isinstance(surrogate, Surrogate | Ensemble):
        raise ValueError(
            f"save writes what train or ensemble made, not {surrogate!r:.120}: a model of other people stays in the "
            "file of its own framework"
        )
    if isinstance(surrogate, Ensemble):
        header, arrays = _of_ensemble(surrogate)
    else:
        header, arrays = _of_one(surrogate)
    path.parent.mkdir(parents=True, exist_ok=True)
    header[DIGEST] = _digest(header, arrays)
    replace(path, as_bytes(arrays, metadata={"assay": json.dumps(header)}))
    return path


def _of_one(surrogate: Surrogate) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of its file."""
    header = {
        "format": FORMAT,
        "architecture": surrogate.architecture,
        "box": surrogate.box.to_json(),
        "problem": surrogate.problem_name,
        "fingerprint": surrogate.problem.fingerprint,
        "settings": surrogate.problem_settings,
        "inputs": surrogate.problem.inputs.to_json(),
        "seed": surrogate.seed,
        "data_hash": surrogate.data_hash,
        "versions": surrogate.versions,
        "training": surrogate.training,
    }
    return header, {key: np.ascontiguousarray(a) for key, a in {**surrogate.arrays, **_beside(surrogate)}.items()}


def _of_ensemble(together: Ensemble) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of its file."""
    each = [_of_one(member) for member in together.members]
    hashes = list(dict.fromkeys(member.data_hash for member in together.members))
    header = {
        **each[0][0],
        "architecture": {"name": ENSEMBLE, "members": [{key: header[key] for key in OWN} for header, _ in each]},
        "data_hash": hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest(),
        "training": {**together.training, "judged": together.judged},
    }
    return header, {f"{k}.{key}": a for k, (_, arrays) in enumerate(each) for key, a in arrays.items()}


def load(path: str | os.PathLike[str], problem: Problem | None = None) -> Surrogate | Ensemble:
    """Read a surrogate, or an ensemble, from a file.

    Args:
        problem: the problem that it answers; it may be left out where the problem is one of this library's, which its
            name and settings build again.

    Raises:
        ValueError: no such file, truncated or foreign, of another problem (what differs is named), or of an
            architecture or problem that this version does not know.
    """
    path = checked_path(path, "a surrogate")
    if problem is not None:
        check_problem(problem)
    header, arrays = _read(path)
    several = header["architecture"].get("name") == ENSEMBLE
    old = DIGEST not in header and not several  # surrogates of before have none, ensembles always had
    whole = old or header.get(DIGEST) == _digest(header, arrays)
    if not several:
        return _loaded(path, header, arrays, problem, whole)
    members: list[Surrogate] = []
    for own, part in _parts(path, header, arrays):
        members.append(_loaded(path, own, part, problem, whole, members[0].solution if members else None))
        problem = members[0].problem
    try:
        return Ensemble(tuple(members), _judged(header))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def _parts(
    path: Path, header: dict[str, Any], arrays: dict[str, np.ndarray]
) -> list[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """Header and arrays of every member of an ensemble, as they would stand in a file of its own."""
    members = header["architecture"].get("members")
    if not isinstance(members, list) or len(members) < 2 or any(not isinstance(own, dict) for own in members):
        raise ValueError(f"{path} is damaged: it does not say what the members of its ensemble are")
    common = {key: value for key, value in header.items() if key not in OWN}
    found = []
    for k, own in enumerate(members):
        part = {key.partition(".")[2]: a for key, a in arrays.items() if key.partition(".")[0] == str(k)}
        whole = {**common, **{key: own[key] for key in OWN if key in own}}
        if not _fits(whole) or not part:
            raise ValueError(f"{path} is damaged: what it says of member {k} of its ensemble cannot be read")
        found.append((whole, part))
    return found


def _judged(header: dict[str, Any]) -> dict[str, Any]:
    """What rows held out of all members said, as far as it can be read."""
    found = header["training"].get("judged")
    if not isinstance(found, dict) or not isinstance(found.get("validation"), dict):
        return {}
    warnings = found.get("warnings")
    return {"validation": found["validation"], "warnings": warnings if isinstance(warnings, list) else []}


def _loaded(
    path: Path,
    header: dict[str, Any],
    arrays: dict[str, np.ndarray],
    problem: Problem | None,
    whole: bool,
    seen: Solution | None = None,
) -> Surrogate:
    """One surrogate; a solution that was ``seen`` before, which costs a solve, is not looked at again."""
    name = header["architecture"].get("name")
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise ValueError(f"{path} holds a {str(name)[:80]!r} surrogate, which this version does not know")
    if problem is None:
        problem = _rebuilt(path, header)
    p, u = (arrays.pop(key, None) for key in PARTS)
    solution = None if p is None or u is None else (p, u)
    trained_at = arrays.pop(TRAINED_AT, None)
    _check_problem(path, header, problem, arrays)
    if seen is None or solution is None or not all(map(np.array_equal, solution, seen)):
        _check_solution(path, header, problem, solution)
    kind = ARCHITECTURES[name]
    loaded = Surrogate(
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
        solution,
        trained_at,
    )
    _check_program(path, loaded)
    check_box(problem.inputs, loaded.box)
    if not whole:
        raise ValueError(f"{path} is damaged: its content does not have the hash written in it; copy it again")
    return loaded


def _digest(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> str:
    """Of everything in a file: a normaliser or a box of another surrogate fits every shape."""
    about = json.loads(json.dumps({key: value for key, value in header.items() if key != DIGEST}))
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for key, a in sorted(arrays.items()):
        digest.update(json.dumps([key, str(a.dtype), list(a.shape)]).encode() + a.tobytes())
    return digest.hexdigest()


def _beside(surrogate: Surrogate) -> dict[str, np.ndarray]:
    """A solution of the problem, where nothing else tells whose the file is; and the inputs that it learnt from."""
    found = {} if surrogate.solution is None else dict(zip(PARTS, surrogate.solution, strict=True))
    return found if surrogate.trained_at is None else {**found, TRAINED_AT: surrogate.trained_at}


def _check_solution(path: Path, header: dict[str, Any], problem: Problem, solution: Solution | None) -> None:
    there = header.get("fingerprint", "")
    check_fingerprint(str(path), there, problem)
    if solution is None or says_all(problem, there):
        return
    p, u = solution
    if p.shape != (problem.inputs.dimension,) or u.shape != (problem.size,):
        raise ValueError(f"{path} is damaged: its solution is none of {problem.name}")
    check_solution(str(path), problem, p, u)


def _check_program(path: Path, loaded: Surrogate) -> None:
    """That the arrays are those of the architecture: they are put through it without being computed with."""
    d, basis = loaded.problem.inputs.dimension, loaded.arrays.get("basis")
    try:
        found = jax.eval_shape(
            lambda P: loaded.predict(loaded.problem, loaded.architecture, loaded.arrays, P), jnp.ones((2, d))
        )
        fits = found.shape == (2, loaded.problem.size if basis is None else basis.shape[1])
    except Exception as error:  # whatever wrong kinds of settings and arrays lead to
        raise ValueError(f"{path} is damaged: {loaded.name} cannot be evaluated with it ({words(error)})") from None
    if not fits or not all(np.isfinite(a).all() for a in loaded.arrays.values()):
        raise ValueError(f"{path} is damaged: its arrays are not those of {loaded.name}, or not finite")


def read_whole(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of a surrogate's file, whoever it is of.

    Raises:
        ValueError: no such file, truncated, foreign, or changed after it was written.
    """
    path = Path(path)
    header, arrays = _read(path)
    if DIGEST in header and header[DIGEST] != _digest(header, arrays):
        raise ValueError(f"{path} was changed after it was written: its content does not have the hash in it")
    return header, arrays


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    if not path.is_file():
        inside = sorted(path.glob("*.safetensors"))
        raise ValueError(f"there is no surrogate at {path}" + (f": {inside[0]} is one of its files" if inside else ""))
    try:
        if path.stat().st_size > 1 << 40:
            raise ValueError("larger than any surrogate")
        with safe_open(path, framework="numpy") as stored:
            text = (stored.metadata() or {}).get("assay")
            arrays = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is truncated, damaged or no surrogate file ({error}): train again, or copy it again"
        ) from None
    if text is None:
        raise ValueError(f"{path} is a safetensors file, but not of a surrogate: it lacks the 'assay' header")
    try:
        header = parse_json(text, nan=True)
        found = header["format"]
        missing = [key for key in KEYS if key not in header]
        if not (missing or _fits(header)) or not isinstance(header.get("fingerprint", ""), str):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        raise ValueError(f"{path} has a header that cannot be read: it is damaged") from None
    if found != FORMAT:
        raise ValueError(f"{path} has format {found!r}; this version reads {FORMAT!r}")
    if missing or not arrays:
        raise ValueError(f"{path} lacks {', '.join(missing) or 'its arrays'}: it is damaged")
    return header, arrays


def _fits(header: dict[str, Any]) -> bool:
    """Whether every part of it is of the kind that it should be."""
    kinds = {"architecture": dict, "problem": str, "settings": dict, "inputs": dict, "data_hash": str}
    kinds |= {"versions": dict, "training": dict}
    try:
        Box.from_json(header["box"])
        return all(isinstance(header[key], kind) for key, kind in kinds.items()) and _is_told(header["training"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return False


def _is_told(training: dict[str, Any]) -> bool:
    """Whether what programs read of a training is of the kinds that they expect."""
    beside = training.get("validation") or {"network": None, "dull": {}}
    numbers = [training.get("seconds", 0.0), *([] if beside["network"] is None else [beside["network"]])]
    numbers += beside["dull"].values()
    told = training.get("warnings", [])
    worded = isinstance(told, list) and all(isinstance(word, str) for word in [beside.get("at", ""), *told])
    return worded and all(type(x) in (int, float) for x in numbers)


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
    differing = differences(header["settings"], problem.settings)
    differing = differing or differences(header["inputs"], problem.inputs.to_json(), "the inputs' ")
    basis = arrays.get("basis")
    if basis is not None and basis.ndim != 2:
        raise ValueError(f"{path} is damaged: its basis is no matrix")
    if not differing and basis is not None and len(basis) != problem.size:
        differing = [f"fields have {len(basis)} entries there and {problem.size} here"]
    if differing:
        raise ValueError(f"{path} is a surrogate of another {problem.name}: {'; '.join(differing)}")
