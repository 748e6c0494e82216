"""What foreign code answers, as fields, or why it is none: in words that follow "the solver", or "answered"."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from .problem import Problem
from .real import real_array

LONGEST = 300  # characters of a reason


class Refused(ValueError):
    """An answer that is no field."""


class Unanswered(Exception):
    """There was no answer: why, in words that follow "the solver"."""


def checked_answer(answer: Any, size: int | None, components: int) -> Float[np.ndarray, " N"]:
    """A copy of the solver's answer as a field.

    Raises:
        Refused: complex, masked, not finite, no numbers, or of another length than ``size`` (None: any).
    """
    u = real_array(answer, "answered with", Refused)
    if components > 1 and u.ndim > 1 and u.shape[-1] != components:
        raise Refused(f"answered with shape {list(u.shape)}: {components} components come last, [nodes, {components}]")
    if size is not None and u.size != size:
        raise Refused(f"answered with {u.size} values, not {size}")
    bad = u.size - int(np.isfinite(u).sum())
    if bad:
        raise Refused(
            f"answered with {bad} of {u.size} values NaN or infinite: where these are cells outside the domain, drop "
            "them, field[inside], and give the coordinates of the others"
        )
    if not u.size:
        raise Refused("answered with nothing: an empty array")
    return u.ravel()


def words(error: BaseException) -> str:
    """Of what kind an error is and what it says, in one line."""
    line = printable(f"{type(error).__name__}: {error}".removesuffix(": "))
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."


def printable(text: str) -> str:
    """What code or programs of others say, in one line that no terminal obeys."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def reason(error: BaseException) -> str:
    """Why a solve failed, in words that follow "the solver": what it answered, or what it raised."""
    return str(error) if isinstance(error, Refused | Unanswered) else f"raised {words(error)}"


class Unreadable(ValueError):
    """No fields; the message goes on from "answered"."""


def field_rows(answer: np.ndarray, n: int, problem: Problem) -> Float[np.ndarray, "n N"]:
    """The answer to n inputs as n rows of N values.

    [n, N] stays as it is. [n, ...] is flattened in its order where its axes are the problem's own (times, nodes,
    components), those of length 1 left out or not. Where the problem has a single axis, any [n, ...] of that many
    values is flattened as numpy's ravel does it: the nodes of a grid, or of a solver whose own answer was flattened so.

    Raises:
        Unreadable: another shape, with what to do.
    """
    size = problem.size
    if answer.shape == (n, size):
        return answer
    own, given = (tuple(k for k in shape if k != 1) for shape in (problem.shape, answer.shape[1:]))
    if answer.shape[:1] == (n,) and (given == own or (len(own) < 2 and answer.size == n * size)):
        return answer.reshape(n, size)
    raise Unreadable(f"with shape {list(answer.shape)}, not [n, N] = {[n, size]}: {_remedy(answer.shape, n, problem)}")


def _remedy(shape: tuple[int, ...], n: int, problem: Problem) -> str:
    size, own = problem.size, tuple(k for k in problem.shape if k != 1)
    if shape in ((size,), (1, size), own):
        return "one row for every input, all rows of P at once"
    if shape == (size, n):
        return "transpose the answer"
    if shape[:1] == (n,) and sorted(k for k in shape[1:] if k != 1) == sorted(own):
        return f"the axes of a field are in the order {list(own)}, after that of the inputs"
    if len(shape) and shape[0] != n and shape[1:] == (size,):
        return "one row for every input"
    if problem.settings:
        return (
            f"a field of {problem.name} has {size} values ({problem.settings}): answer with {[n, size]}, or give the "
            "problem the settings that the surrogate learnt with"
        )
    about = "" if problem.shape[2] == 1 else f", or {[n, *problem.shape[1:]]}"
    if getattr(problem, "prescribed", None) is not None:
        about += ": of the nodes that are not prescribed, in their order"
    return f"a field of {problem.name} has {size} values: answer with {[n, size]}{about}"
