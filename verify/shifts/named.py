"""Changes of the question, one a function: who solves now, at which inputs, and which of these the surrogate is told.

wider      inputs beyond their ranges, one at a time and all at once: the part that was added, not the whole
rougher    modes of a field that the surrogate's inputs do not hold, where a setting says how many there are
boundary   other boundary data, by a setting that the surrogate is not told
finer      the truth of the doubled grid, in this grid's nodes
KEY=VALUE  any other problem of the same inputs and nodes, such as one with another setting
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ...solvers.box import Box
from ...solvers.classes.finer import doubled
from ...solvers.problem import Problem

MODES = ("modes", "d")  # settings that say how many modes a field of the inputs has
MOST_ALONE = 12  # inputs, beyond which those to be widened alone are named
TURN = np.pi / 12  # of a traction


@dataclass(frozen=True)
class Shift:
    """``solver`` solves at ``solved`` [n, d']; the surrogate is asked at ``told`` [n, d]. ``what`` is one sentence."""

    name: str
    what: str
    solver: Problem
    solved: Float[np.ndarray, "n e"]
    told: Float[np.ndarray, "n d"]


@dataclass(frozen=True)
class Refused:
    """A shift that there is not, and why."""

    name: str
    why: str


Found = Iterator[Shift | Refused]


def unshifted(problem: Problem, P: Float[np.ndarray, "n d"]) -> Shift:
    return Shift("none", "inputs drawn from the sampling law, as the surrogate's were", problem, P, P)


def wider(problem: Problem, P: Float[np.ndarray, "n d"], factor: float, alone: Sequence[str], seed: int) -> Found:
    """Every input in ``alone`` by itself, then all of them, drawn beyond their ranges."""
    box = problem.inputs
    low, high = widened(box, factor)
    draw = np.random.default_rng([seed, 21]).random(P.shape)
    beyond = np.stack([_beyond(box, j, low[j], high[j], draw[:, j]) for j in range(box.dimension)], axis=1)
    for name in alone:
        j = box.names.index(name)
        one = P.copy()
        one[:, j] = beyond[:, j]
        ends = f"[{low[j]:.4g}, {high[j]:.4g}] in the place of [{box.lower[j]:.4g}, {box.upper[j]:.4g}]"
        yield Shift(f"wider {name}", f"{name} beyond its range, in {ends}; the others as drawn", problem, one, one)
    what = f"every input beyond its range, by {factor:g} times its width"
    yield Shift("wider, all inputs", what, problem, beyond, beyond)


def widened(box: Box, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """The ends of ranges ``factor`` times as wide about the same middle, each in its own scale. One that is positive,
    or begins at zero, stays so: below there may be no problem at all.
    """
    ends = np.array([[0.5 - factor / 2], [0.5 + factor / 2]]) * np.ones(box.dimension)
    low, high = box.from_unit(ends)
    low = np.where((box.lower >= 0) & (low <= 0), box.lower / factor, low)
    return low, high


def _beyond(box: Box, j: int, low: float, high: float, share: np.ndarray) -> np.ndarray:
    """Uniform, in the scale of the input, over what lies in [low, high] and not in its range."""
    scale, back = (np.log, np.exp) if box.log[j] else (np.positive, np.positive)
    a, b, c, d = scale(np.array([low, box.lower[j], box.upper[j], high]))
    at = share * ((b - a) + (d - c))
    return np.asarray(back(np.where(at < b - a, a + at, c + (at - (b - a)))))


def rougher(problem: Problem, n: int, factor: float, seed: int) -> Found:
    """More modes of the field that the inputs describe, of which the surrogate is told its own."""
    key = next((key for key in MODES if isinstance(problem.settings.get(key), int)), None)
    if key is None or not dataclasses.is_dataclass(problem):
        yield Refused("rougher", f"no setting of {problem.name} says how many modes its inputs have")
        return
    count = max(problem.settings[key] + 1, int(np.ceil(factor * problem.settings[key])))
    try:
        more = dataclasses.replace(problem, **{key: count})
        why = _why_not_told(more, problem)
    except (ValueError, TypeError) as error:
        why = str(error)
    if why:
        yield Refused("rougher", f"{key}={count}: {why}")
        return
    P = more.inputs.draw(n, seed)
    told = P[:, [more.inputs.names.index(name) for name in problem.inputs.names]]
    what = f"{key}={count} in the place of {problem.settings[key]}: the surrogate is told the modes that it knows"
    yield Shift("rougher", what, more, P, told)


def _why_not_told(more: Problem, problem: Problem) -> str:
    """Why the inputs of one problem are not among those of another, meaning the same; empty where they are."""
    new, old = more.inputs, problem.inputs
    if more.shape != problem.shape:
        return "the fields have other nodes"
    if not set(old.names) < set(new.names):
        return "the inputs have other names"
    at = [new.names.index(name) for name in old.names]
    if not (np.allclose(new.lower[at], old.lower) and np.allclose(new.upper[at], old.upper)):
        return "the inputs have other ranges"
    p = old.from_unit(np.full((1, old.dimension), 0.7))
    q = np.zeros((1, new.dimension))
    q[:, at] = p
    if not new.contains(q).all():
        return "modes cannot be left out there"
    one, other = (np.asarray(solver.solve_batch(x))[0] for solver, x in ((problem, p), (more, q)))
    same = np.isfinite(one).all() and np.allclose(one, other, rtol=0, atol=1e-6 * np.abs(one).max(initial=0.0))
    return "" if same else "the modes that were there mean something else then"


def boundary(problem: Problem, P: Float[np.ndarray, "n d"]) -> Found:
    """Other boundary data, where a setting of a problem of this library has them."""
    settings = problem.settings
    changed: dict[str, Any] = {}
    if problem.name == "advection-diffusion":
        changed = {"data": "step" if settings["data"] == "source" else "source"}
    if problem.name == "elasticity" and isinstance(settings["angle"], float):
        changed = {"angle": settings["angle"] + TURN}
    if not changed or not dataclasses.is_dataclass(problem):
        why = (
            f"no setting of {problem.name} changes its boundary data alone: a problem that has others is one of others="
        )
        yield Refused("boundary", why)
        return
    yield from _replaced(problem, P, "boundary", changed)


def other(problem: Problem, P: Float[np.ndarray, "n d"], name: str, truth: Problem) -> Found:
    """The truth of another problem of the same inputs and nodes, which the surrogate is not told."""
    if list(truth.inputs.names) != list(problem.inputs.names) or truth.shape != problem.shape:
        yield Refused(name, "its inputs or its nodes are others than those that the surrogate knows")
    elif not truth.inputs.contains(P).all():
        yield Refused(name, "its box does not hold the inputs that are asked for")
    else:
        yield Shift(name, f"{name}, which the surrogate is not told", truth, P, P)


def changed_setting(problem: Problem, P: Float[np.ndarray, "n d"], changed: Mapping[str, Any]) -> Found:
    """The same problem with other settings."""
    name = ", ".join(f"{key}={value}" for key, value in changed.items())
    yield from _replaced(problem, P, name, changed)


def _replaced(problem: Problem, P: Float[np.ndarray, "n d"], name: str, changed: Mapping[str, Any]) -> Found:
    said = ", ".join(f"{key}={value}" for key, value in changed.items())
    try:
        if not dataclasses.is_dataclass(problem):
            raise ValueError(f"{problem.name} has no settings")
        truth = dataclasses.replace(problem, **changed)
        for found in other(problem, P, name, truth):
            was = ", ".join(str(problem.settings.get(key)) for key in changed)
            what = f"{said} in the place of {was}, which the surrogate is not told"
            yield dataclasses.replace(found, what=what) if isinstance(found, Shift) else found
    except (ValueError, TypeError) as error:
        yield Refused(name, f"{said}: {error}")


def finer(problem: Problem, P: Float[np.ndarray, "n d"]) -> Found:
    """The truth on the doubled grid."""
    fine = doubled(problem)
    if fine is None:
        yield Refused("finer grid", f"{problem.name} has no doubled grid that holds this one's nodes")
        return
    yield Shift("finer grid", "the truth on the doubled grid, in this grid's nodes", fine, P, P)
