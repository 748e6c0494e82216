"""``certify_box``: a proof over a whole box of inputs, by branch and bound from both sides (``box_search.py``).

A leaf is certified when its bound is within the tolerance, falsified when it holds a proved failure and is no wider
than ``width`` (one counterexample does not decide a whole box), else undecided. Anytime: whatever stops it, the map so
far is valid, and can be gone on with.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import jax
import numpy as np

from ..solvers.box import Box
from ..solvers.coercive import CoerciveProblem
from ..solvers.precision import in_float64
from ..solvers.problem import Problem
from . import fingerprint
from .box_bound import BoxResult, Given, make_box_bound, scaled_ends
from .box_flux import make_flux_bound
from .box_rounds import BoxBounds
from .box_search import PointBounds, ReducedPoints, Report, Search, Witnesses
from .box_tree import BoxTree
from .certificate import against, assumptions
from .enclose import UnsupportedOperation
from .first_call import check_answers
from .flux_path import BY_FLUXES, flux_path
from .frozen import Frozen
from .kept import Kept
from .map_checks import TRACED
from .reduced import reduced_path
from .surrogate import Model, captured
from .trust_map import TrustMap, load_trust_map

WIDTHS = {1: 1 / 64, 2: 1 / 64, 3: 1 / 32, 4: 1 / 16}  # of falsified leaves, by dimension; beyond, 1/8
FLUX_ORDERS = {1: 7, 2: 5, 3: 5, 4: 5}  # nodes per axis of the bound by fluxes, by dimension
CONTRADICTED = "a proved error exceeds a proved bound: this is a defect of assay, and nothing counts as proved"


def default_order(d: int) -> int:
    """Nodes per axis: more of them take fewer boxes, but m^d evaluations a box."""
    return {1: 7, 2: 7, 3: 6, 4: 5}.get(d, 4)


@in_float64
def certify_box(
    problem: Problem,
    surrogate: Any,
    tolerance: float = 1e-2,
    seconds: float = 60.0,
    box: Box | None = None,
    ratio: float | None = None,
    *,
    boxes: int = 200_000,
    order: int | None = None,
    budget: int = 60,
    width: float | None = None,
    progress: Report | None = None,
    resume: TrustMap | str | Path | None = None,
    checkpoint: str | Path | None = None,
) -> TrustMap:
    """Prove the surrogate over a box of inputs: largest error found, largest error possible, and the map between.

    Stops when every leaf is decided at the tolerance (with ``ratio``: and upper/lower is at most that), after
    ``seconds`` (preparation apart: compiling, and the solves that fluxes are made of), at ``boxes`` leaves, or on an
    interrupt; what is there then is valid. Surrogates without a basis, or with operations that cannot be enclosed, are
    undecided, with the reason in ``notes``.

    Args:
        box: a part of the problem's; widths are positive (a narrow interval stands for a fixed input).
        order: nodes per axis of the interpolation; ``default_order`` by dimension.
        budget: solver calls for the lower end.
        width: widest side of a falsified leaf, in unit coordinates; by dimension ``WIDTHS``.
        resume: a map of the same problem, surrogate and box, or its file, to go on with; at any tolerance.
        checkpoint: file that the map is written to now and then, and at the end.

    Raises:
        ValueError: tolerance, seconds or ratio out of range, a box that is not inside the problem's, a checkpoint in a
            folder that does not exist, a map to go on with that is about something else, a problem that was changed in
            place.
    """
    if not 0 < tolerance < np.inf:
        raise ValueError(f"the tolerance is a relative error and must be positive, not {tolerance}")
    if not seconds > 0 or (ratio is not None and not ratio > 1):
        raise ValueError(f"seconds must be positive and ratio above 1, not seconds={seconds}, ratio={ratio}")
    if checkpoint is not None and not Path(checkpoint).absolute().parent.is_dir():
        raise ValueError(f"there is no folder {Path(checkpoint).absolute().parent} to write the map to")
    inputs = problem.inputs if box is None else box
    if (
        inputs.names != problem.inputs.names
        or not problem.inputs.contains(np.stack([inputs.lower, inputs.upper])).all()
    ):
        raise ValueError(f"the box must lie inside the box of {problem.name}, with the same inputs")
    inputs = problem.inputs.replace(lower=inputs.lower, upper=inputs.upper)  # scales, units and laws are the problem's
    if not isinstance(problem, CoerciveProblem):
        return _undecided(problem, inputs, tolerance, f"no proved bound is known for {problem.name}")
    _unchanged(problem)
    offered = captured(surrogate)
    check_answers(problem, offered, may_raise=True)
    try:
        path = _path(problem, offered, inputs, order)
    except jax.errors.JAXTypeError:
        path = "the surrogate's coefficients are not a JAX function"
    except ValueError as error:
        path = f"the surrogate cannot be enclosed: {error}"
    said = offered.changes()  # from here on nothing of it is called: the program is traced
    if isinstance(path, str):
        return _undecided(problem, inputs, tolerance, path, *said)
    model, bounds, given, points, stands_on = path
    old = _checked_map(resume, problem, inputs, model.hash)
    d = inputs.dimension

    def bound(low: np.ndarray, high: np.ndarray) -> BoxResult:
        return bounds(low, high, given)

    try:
        bound(np.zeros((1, d)), np.ones((1, d)))  # compiles
    except (UnsupportedOperation, NotImplementedError) as error:  # no range, or no rounding error, is known for it
        return _undecided(problem, inputs, tolerance, f"the surrogate cannot be enclosed: {error}", *said)
    witnesses = Witnesses(problem, inputs, points, model, budget)
    witnesses.compile(d)
    if old is not None:
        witnesses.points, witnesses.lower = list(old.witness), old.witness_lower.tolist()
    tree = BoxTree(d) if old is None else BoxTree.of_map(old, tolerance)
    search = Search(bound, witnesses, tolerance, ratio, width or WIDTHS.get(d, 1 / 8), tree)

    def finished(notes: list[str]) -> TrustMap:
        return _finished(problem, model.hash, inputs, search, [*said, *notes], stands_on)

    def save() -> None:
        if checkpoint is not None:
            finished(["not finished: the map so far is valid"]).save(checkpoint)

    trust = finished(search.run(seconds, boxes, progress, save))
    if checkpoint is not None:
        trust.save(checkpoint)
    return trust


class _Path(NamedTuple):
    """One way to bound boxes: the surrogate as the one program that is bounded, searched, hashed, whatever the object
    does meanwhile; the compiled bound, what else it is given; bounds at points.
    """

    surrogate: Frozen
    bounds: BoxBounds
    given: Given
    points: PointBounds
    assumptions: tuple[str, ...]


def _path(problem: CoerciveProblem, surrogate: Model, inputs: Box, order: int | None) -> _Path | str:
    """In reduced coordinates where that is possible, else by fluxes; or why neither is."""
    ends, d = scaled_ends(inputs), inputs.dimension
    reduced = reduced_path(problem, surrogate)
    if reduced is not None:
        model = Frozen(surrogate, d, reduced.basis)
        bounds = _compiled(problem, model, inputs.log, order or default_order(d), by_fluxes=False)
        return _Path(model, bounds, Given(ends, reduced.data, model.weights), ReducedPoints(reduced), ())
    path = flux_path(problem, surrogate)
    if isinstance(path, str):
        return path
    model = path.model
    bounds = _compiled(problem, model, inputs.log, order or FLUX_ORDERS[d], by_fluxes=True)
    return _Path(model, bounds, Given(ends, path.data, model.weights), path, (BY_FLUXES,))


_kept: Kept[BoxBounds] = Kept(4)


def _compiled(problem: CoerciveProblem, model: Frozen, log: tuple[bool, ...], order: int, by_fluxes: bool) -> BoxBounds:
    """The bound of this problem and architecture, compiled once for all boxes, tolerances and weights; the last few are
    kept. The bound by fluxes knows of the problem only what it is given.

    The problem is known by the object, which the bound keeps alive: a hash of its settings says nothing of methods that
    a subclass has replaced.
    """

    def make() -> BoxBounds:
        if by_fluxes:
            return BoxBounds(make_flux_bound(log, model.architecture, order), 1)
        return BoxBounds(make_box_bound(problem, model.architecture, log, order))

    return _kept.get((None if by_fluxes else id(problem), model.architecture.key, log, order), make)


_first: WeakKeyDictionary[Problem, str] = WeakKeyDictionary()  # the hashes of problems at their first proof


def _unchanged(problem: Problem) -> None:
    """What is compiled of a problem, its solver included, is kept with the object: it may not be changed in place.

    Raises:
        ValueError: it was, since its first proof.
    """
    now = fingerprint.of_problem(problem)
    if _first.setdefault(problem, now) != now:
        raise ValueError(f"this {problem.name} was changed in place since it was certified: make a new problem instead")


def _checked_map(
    resume: TrustMap | str | Path | None, problem: CoerciveProblem, inputs: Box, model_hash: str
) -> TrustMap | None:
    if resume is None:
        return None
    trust = resume if isinstance(resume, TrustMap) else load_trust_map(resume)
    same = trust.box.to_json() == inputs.to_json() and trust.problem_hash == fingerprint.of_problem(problem)
    if not same or trust.model_hash != model_hash:
        raise ValueError("the map to go on with is about another problem, box or surrogate: start a new one")
    return trust


def _finished(
    problem: CoerciveProblem, model_hash: str, inputs: Box, search: Search, notes: list[str], stands_on: tuple[str, ...]
) -> TrustMap:
    tree = search.tree
    bound = np.array(tree.bound)
    falsified = np.array(tree.falsified)
    verdicts = np.where(bound <= search.tolerance, 0, np.where(falsified, 1, 2))
    d = inputs.dimension
    trust = TrustMap(
        box=inputs,
        tolerance=search.tolerance,
        axis=np.array(tree.axis),
        children=np.array(tree.children),
        bound=bound,
        verdicts=verdicts,
        failures=np.array(tree.failure),
        problem_hash=fingerprint.of_problem(problem),
        model_hash=model_hash,
        witness=np.array(search.witnesses.points).reshape(-1, d),
        witness_lower=np.array(search.witnesses.lower),
        seconds=search.seconds,
        evaluated=search.evaluated,
        problem_name=problem.name,
        problem_settings=problem.settings,
        against=against(problem),
        notes=tuple(notes),
        assumptions=(*assumptions(problem), TRACED, *stands_on),
    )
    above = trust.witness_lower > trust.relative_upper_at(inputs.from_unit(trust.witness)) * (1 + 1e-12)
    if not (search.contradicted or above.any()):
        return trust
    nothing = np.full(len(bound), np.inf)
    return replace(trust, bound=nothing, verdicts=np.full(len(bound), 2), notes=(*trust.notes, CONTRADICTED))


def _undecided(problem: Problem, inputs: Box, tolerance: float, *reasons: str) -> TrustMap:
    d = inputs.dimension
    return TrustMap(
        box=inputs,
        tolerance=tolerance,
        axis=np.array([-1]),
        children=np.array([[-1, -1]]),
        bound=np.array([np.inf]),
        verdicts=np.array([2]),
        witness=np.zeros((0, d)),
        witness_lower=np.zeros(0),
        seconds=0.0,
        evaluated=0,
        problem_name=problem.name,
        problem_settings=problem.settings,
        against=against(problem),
        notes=reasons,
    )
