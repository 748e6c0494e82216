"""Whose a file is: what stands in it of its problem, compared with the problem at hand; and whether that is one.

Settings are compared one by one (``differences``), so that a message can name the one that differs.
Every file holds ``Problem.fingerprint``. For problems of this library that says all; what a solver of the user's own
gives, no name, class or box can say: there one stored solution is computed again. Solvers that repeat themselves to
rounding alone (threads, iterations stopped at a residual of 1e-8, another machine) stay within ``SAME`` of their norm,
which is far below any tolerance that snapshots are used for.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from jaxtyping import Float

from .problem import Problem

SAME = 1e-6


def differences(there: dict[str, Any], here: dict[str, Any], prefix: str = "") -> list[str]:
    """Every setting in which a file and this process differ, in words: "cells is 8 there and 16 here".

    Both sides are compared as JSON holds them (a tuple is a list), settings within settings under both names
    ("training seed is 0 there and 1 here"). A setting that one side lacks counts as null. A fingerprint comes last: it
    says that something differs, not what.
    """
    as_json = [json.loads(json.dumps(side, default=str)) for side in (there, here)]
    return _differences(as_json[0], as_json[1], prefix)


def _differences(there: dict[str, Any], here: dict[str, Any], prefix: str) -> list[str]:
    found = []
    for key in sorted([*there, *(k for k in here if k not in there)], key=lambda k: k == "fingerprint"):
        a, b = there.get(key), here.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += _differences(a, b, f"{prefix}{key} ")
        elif a != b:
            found.append(f"{prefix}{key} is {json.dumps(a)} there and {json.dumps(b)} here")
    return found


def first_difference(there: dict[str, Any], here: dict[str, Any], prefix: str = "") -> str | None:
    """The first of ``differences``; None where there is none."""
    return next(iter(differences(there, here, prefix)), None)


def says_all(problem: Problem, fingerprint: str) -> bool:
    """Whether a file with this fingerprint ("": one of before there were any) can be of no other solver."""
    ours = type(problem).__module__.startswith(f"{__package__}.") and not problem.foreign_solver
    return ours and (bool(fingerprint) or not problem.identity())


def check_fingerprint(where: str, there: str, problem: Problem) -> None:
    """Check that the fingerprint in a file, where there is one, is the problem's.

    Args:
        where: the file's name, with which the message begins.
        there: the fingerprint in the file; "" for a file of before there were any, which passes.

    Raises:
        ValueError: the file ``where`` is of another problem, by its fingerprint; both are named.
    """
    if there and there != problem.fingerprint:
        raise ValueError(
            f"{where} is of another {problem.name}: fingerprint {there[:12]} there, {problem.fingerprint[:12]} here"
            f"{problem.identity() and ' (other matrices, weights, loads or programs)'}. Choose another file"
        )


def check_solution(where: str, problem: Problem, p: Float[np.ndarray, " d"], u: Float[np.ndarray, " N"]) -> None:
    """Check by one solve that u is the problem's solution at p, to ``SAME`` of its norm.

    Raises:
        ValueError: the problem's own solution at p is not u, or it cannot be solved there now.
    """
    at = problem.inputs.named(p)
    now = np.asarray(problem.attempt_batch(p[None]).u)[0]
    if not np.isfinite(now).all():
        why = f" ({problem.failures()[-1]})" if problem.failures() else ""
        raise ValueError(
            f"{where}: whether it is of this {problem.name} cannot be told, for the solver fails now at {at}, where it "
            f"did not{why}: try again when it works, or choose another file"
        )
    error = float(problem.relative_error(p, u, now))
    if not error <= SAME:
        raise ValueError(
            f"{where} is of another {problem.name}: the solution stored for {at} differs from the one solved now by "
            f"{error:.2g} of its norm. Choose another file, and give solvers that differ different names (name=)"
        )


def check_rows(where: str, problem: Problem, snapshots: Any) -> None:
    """That snapshots are this problem's: fingerprint, and where that does not say all one row solved again.

    The largest field is taken, which tells most, and nothing solved if this problem gave it in this process.

    Raises:
        ValueError: they are not, or that cannot be told.
    """
    there = getattr(snapshots, "fingerprint", "")
    check_fingerprint(where, there, problem)
    if says_all(problem, there):
        return
    inputs, fields = np.asarray(snapshots.inputs), np.asarray(snapshots.fields)
    row = telling_row(fields)
    if not len(fields) or not np.isfinite(fields[row]).all():
        return
    check_known(where, problem, inputs[row], fields[row])


def check_known(where: str, problem: Problem, p: Float[np.ndarray, " d"], u: Float[np.ndarray, " N"]) -> None:
    """``check_solution``, without a solve where this problem gave u at p in this process."""
    if _digest(p, u) not in problem.confirmed:
        check_solution(where, problem, p, u)
        confirm(problem, p, u)


def telling_row(fields: Float[np.ndarray, "n N"]) -> int:
    """The row of the largest field that is finite: 0 where there is none."""
    if not len(fields):
        return 0
    size = np.abs(fields).max(axis=1, initial=0.0)
    return int(np.argmax(np.where(np.isfinite(size), size, -1.0)))


def confirm(problem: Problem, p: Float[np.ndarray, " d"], u: Float[np.ndarray, " N"]) -> None:
    """Remember that the problem's solution at p is u."""
    problem.confirmed.add(_digest(p, u))


def _digest(p: np.ndarray, u: np.ndarray) -> bytes:
    digest = hashlib.blake2b(np.ascontiguousarray(p, dtype="<f8").tobytes(), digest_size=16)
    digest.update(np.ascontiguousarray(u, dtype="<f8").data)
    return digest.digest()


def check_problem(problem: Any) -> None:
    """
    Raises:
        ValueError: it is none, but perhaps the name of one, its class, or a thing that has one.
    """
    if isinstance(problem, Problem):
        return
    kind, how = f"a {type(problem).__name__}", "assay.problem makes one"
    if isinstance(problem, str):
        how = f"assay.problem({problem!r:.40}) makes one"
    elif isinstance(problem, type):
        kind = f"the class {problem.__name__}"
        how = "call it, with its settings" if issubclass(problem, Problem) else how
    elif isinstance(getattr(problem, "problem", None), Problem):
        how = "its .problem is one"  # a data set, or a surrogate where the problem goes
    raise ValueError(f"the problem is {kind}: {how}")
