"""Answers to n inputs as n rows of a field each: which shapes are read, and what to do about the others."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ...solvers.problem import Problem


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
        return f"a field of {problem.name} has {size} values ({problem.settings}); are its settings right?"
    about = "" if problem.shape[2] == 1 else f", or {[n, *problem.shape[1:]]}"
    if getattr(problem, "prescribed", None) is not None:
        about += ": of the nodes that are not prescribed, in their order"
    return f"a field of {problem.name} has {size} values: answer with {[n, size]}{about}"
