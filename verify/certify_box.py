"""``certify_box``: a proof over a whole box of inputs, by branch and bound from both sides (``branch_and_bound.py``).

A leaf is certified when its bound is within the tolerance, falsified when it holds a proved failure and is no wider
than ``width`` (one counterexample does not decide a whole box), else undecided. Anytime: whatever stops it, the map so
far is valid, and can be gone on with.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import jax
import numpy as np

from ..solvers.box import Box
from ..solvers.foreign import SettingsChanged
from ..solvers.precision import in_float64
from ..solvers.problem import Problem
from ..solvers.tolerance import Tolerance
from .answers.evaluate import Model, captured
from .answers.first_call import check_answers
from .boxes.batches import TooLong
from .boxes.branch_and_bound import Report, Search, varying
from .boxes.map_file import load_trust_map
from .boxes.point_errors import ConfirmedErrors
from .boxes.tree import BoxTree
from .boxes.trust_map import TrustMap
from .certificate import ON_THIS_GRID, against
from .enclose import UnsupportedOperation
from .proofs.proof import BoxProof
from .proofs.prover import proof_of, prover

WIDTHS = {1: 1 / 64, 2: 1 / 64, 3: 1 / 32, 4: 1 / 16}  # of falsified leaves, by dimension; beyond, 1/8
PATIENCE = 120.0  # seconds that compiling may always take
CONTRADICTED = "a proved error exceeds a proved bound: this is a defect of assay, and nothing counts as proved"


@in_float64
def certify_box(
    problem: Problem,
    surrogate: Any,
    tolerance: float = 1e-2,
    seconds: float = 60.0,
    box: Box | None = None,
    ratio: float | None = None,
    *,
    max_leaves: int = 200_000,
    order: int | None = None,
    budget: int = 60,
    width: float | None = None,
    progress: Report | None = None,
    resume: TrustMap | str | Path | None = None,
    checkpoint: str | Path | None = None,
    absolute: float | None = None,
) -> TrustMap:
    """Prove the surrogate over a box of inputs: largest error found, largest error possible, and the map between.

    Stops when every leaf is decided at the tolerance (with ``ratio``: and upper/lower is at most that), after
    ``seconds``, at ``max_leaves`` leaves, or on an interrupt; what is there then is valid. Preparation is apart: the
    solves that fluxes are made of, and compiling, which is told to ``progress`` beforehand (``preparing``: seconds
    left); where that would take longer than the proof may, and than two minutes, nothing is begun. Surrogates without a
    basis, or with operations that cannot be enclosed, are undecided, with the reason in ``notes``.

    Args:
        surrogate: with ``basis`` [N, k], zero where values are prescribed, and ``coefficients(P)`` in JAX, [n, d] to
            [n, k], beside its answers ``surrogate(P)`` = coefficients(P) @ basis.T.
        box: a part of the problem's; widths are positive (a narrow interval stands for a fixed input).
        order: nodes per axis of the interpolation; ``default_order`` by dimension.
        budget: solver calls for the lower end.
        progress: told a few times a second where it stands (``Search.state``).
        width: widest side of a falsified leaf, in unit coordinates; by dimension ``WIDTHS``.
        resume: a map of the same problem, surrogate and box, or its file, to go on with; at any tolerance.
        checkpoint: file that the map is written to now and then, and at the end, once anything is proved.
        absolute: an error allowed whatever the size of the solution, in the problem's norm: what is bounded is ||e|| /
            (absolute / tolerance + ||u||). None for the problem's own (``Problem.zero_scale``).

    Raises:
        ValueError: tolerance, seconds or ratio out of range, a box that is not inside the problem's, a checkpoint in a
            folder that does not exist, a map to go on with that is about something else, a problem that was changed in
            place.
    """
    allowed = Tolerance.of(problem, tolerance, absolute)
    if not seconds > 0 or (ratio is not None and not ratio > 1):
        raise ValueError(f"seconds must be positive and ratio above 1, not seconds={seconds}, ratio={ratio}")
    if checkpoint is not None and not Path(checkpoint).absolute().parent.is_dir():
        raise ValueError(f"there is no folder {Path(checkpoint).absolute().parent} to write the map to")
    inputs = _part_of(problem, box)
    offered = captured(surrogate)
    proof = _chosen(problem, offered, inputs, allowed.scale)
    said = offered.changes()  # from here on nothing of it is called: the program is traced
    if isinstance(proof, str):
        return _undecided(problem, inputs, allowed, proof, *said)
    old = _checked_map(resume, problem, inputs, proof.model.hash, allowed.scale)
    d = inputs.dimension
    witnesses = ConfirmedErrors(problem, inputs, proof.points, proof.model, budget)
    if old is not None:
        witnesses.points, witnesses.lower = list(old.witness), old.witness_lower.tolist()
    tree = BoxTree(d) if old is None else BoxTree.of_map(old, allowed.relative)
    varies = varying(problem, inputs)
    narrow = width or WIDTHS.get(int(varies.sum()), 1 / 8)
    search = Search(proof, witnesses, allowed.relative, ratio, narrow, tree, varies)

    why = _prepared(proof, search, order, seconds, progress)
    if why:
        return _undecided(problem, inputs, allowed, why, *said)

    def finished(notes: list[str]) -> TrustMap:
        return _finished(problem, proof, inputs, search, allowed, [*said, *notes])

    def save(trust: TrustMap) -> None:
        if checkpoint is not None and np.isfinite(trust.bound).any():
            trust.save(checkpoint)

    trust = finished(
        search.run(seconds, max_leaves, progress, lambda: save(finished(["not finished: the map so far is valid"])))
    )
    save(trust)
    return trust


def _part_of(problem: Problem, box: Box | None) -> Box:
    """The box to prove over, with the problem's own scales, units and laws."""
    inputs = problem.inputs if box is None else box
    if (
        inputs.names != problem.inputs.names
        or not problem.inputs.contains(np.stack([inputs.lower, inputs.upper])).all()
    ):
        raise ValueError(f"the box must lie inside the box of {problem.name}, with the same inputs")
    return problem.inputs.replace(lower=inputs.lower, upper=inputs.upper)


def _chosen(problem: Problem, offered: Model, inputs: Box, scale: float) -> BoxProof | str:
    """The proof over boxes that problem and surrogate allow, or why there is none."""
    if proof_of(problem).proves:
        _unchanged(problem)
        check_answers(problem, offered, may_raise=True)
    try:
        found = prover(problem, offered).over_boxes(offered, inputs, scale)
        return found if isinstance(found, str) else _other_answers(found, offered, problem) or found
    except jax.errors.JAXTypeError:
        return "the surrogate's coefficients are not a JAX function"
    except ValueError as error:
        return f"the surrogate cannot be enclosed: {error}"


def _other_answers(proof: BoxProof, offered: Model, problem: Problem) -> str:
    """Whether the surrogate answers otherwise than the program that was traced of it, at a few inputs; nothing if not.

    A function under ``jax.jit`` goes on with the arrays that it held when it was compiled, whatever became of them
    since, and is traced with what they are now.
    """
    d = problem.inputs.dimension
    P = problem.inputs.from_unit(np.concatenate([np.full((1, d), 0.5), np.random.default_rng(0).random((4, d))]))
    try:
        answered = np.asarray(offered.coefficients(P))
    except SettingsChanged:
        raise
    except Exception:  # where there is no answer there is none that differs
        return ""
    traced = np.asarray(proof.model.coefficients(P))
    if traced.shape == answered.shape and np.allclose(traced, answered, rtol=1e-9, atol=1e-12, equal_nan=True):
        return ""
    return (
        "the surrogate answers otherwise than the program that JAX traces of it: an array that it holds was changed "
        "after it was compiled, or it is not one function; make it anew"
    )


def _prepared(proof: BoxProof, search: Search, order: int | None, seconds: float, progress: Report | None) -> str:
    """Compile all that the search needs, before its clock starts; why that could not be done, or nothing."""

    def tell(left: float) -> None:
        if progress is not None:
            progress({**search.state(), "preparing": left})

    try:
        proof.prepare(order, max(seconds, PATIENCE), tell)
    except (UnsupportedOperation, NotImplementedError) as error:  # no range, or no rounding error, is known for it
        return f"the surrogate cannot be enclosed: {error}"
    except TooLong as error:
        return _too_long(error.seconds, seconds)
    search.witnesses.compile(len(search.tree.low[0]))
    return ""


def _too_long(needed: float, seconds: float) -> str:
    return (
        f"compiling the bound for whole boxes takes about {needed:.0f} s, and may take {max(seconds, PATIENCE):.0f} s "
        "(as long as the proof, or two minutes): the surrogate's program is long. Give more seconds, or certify one of "
        "fewer operations, such as a network in place of a linear solve"
    )


_first: WeakKeyDictionary[Problem, str] = WeakKeyDictionary()  # the hashes of problems at their first proof


def _unchanged(problem: Problem) -> None:
    """What is compiled of a problem, its solver included, is kept with the object: it may not be changed in place.

    Raises:
        ValueError: it was, since its first proof.
    """
    now = proof_of(problem).problem_hash()
    if _first.setdefault(problem, now) != now:
        raise ValueError(f"this {problem.name} was changed in place since it was certified: make a new problem instead")


def _checked_map(
    resume: TrustMap | str | Path | None, problem: Problem, inputs: Box, model_hash: str, scale: float
) -> TrustMap | None:
    if resume is None:
        return None
    trust = resume if isinstance(resume, TrustMap) else load_trust_map(resume)
    same = trust.box.to_json() == inputs.to_json() and trust.problem_hash == proof_of(problem).problem_hash()
    if not same or trust.model_hash != model_hash:
        raise ValueError("the map to go on with is about another problem, box or surrogate: start a new one")
    if trust.scale != scale:
        raise ValueError(
            f"the map to go on with is of errors relative to ||u|| + {trust.scale:.6g} (absolute / tolerance), not "
            f"{scale:.6g}: give the same absolute for the same tolerance, or start a new one"
        )
    return trust


def _finished(
    problem: Problem, proof: BoxProof, inputs: Box, search: Search, allowed: Tolerance, notes: list[str]
) -> TrustMap:
    tree = search.tree
    bound = np.array(tree.bound)
    notes = [*notes, *_without_bound(proof, search, inputs)]
    falsified = np.array(tree.falsified)
    verdicts = np.where(bound <= search.tolerance, 0, np.where(falsified, 1, 2))
    d = inputs.dimension
    trust = TrustMap(
        box=inputs,
        tolerance=allowed.relative,
        absolute=allowed.absolute,
        axis=np.array(tree.axis),
        children=np.array(tree.children),
        bound=bound,
        verdicts=verdicts,
        failures=np.array(tree.failure),
        problem_hash=proof_of(problem).problem_hash(),
        model_hash=proof.model.hash,
        witness=np.array(search.witnesses.points).reshape(-1, d),
        witness_lower=np.array(search.witnesses.lower),
        seconds=search.seconds,
        evaluated=search.evaluated,
        problem_name=problem.name,
        problem_settings=problem.settings,
        against=against(problem),
        notes=tuple(notes),
        assumptions=proof.assumptions,
    )
    above = trust.witness_lower > trust.relative_upper_at(inputs.from_unit(trust.witness)) * (1 + 1e-12)
    if not (search.contradicted or above.any()):
        return trust
    nothing = np.full(len(bound), np.inf)
    return replace(trust, bound=nothing, verdicts=np.full(len(bound), 2), notes=(*trust.notes, CONTRADICTED))


def _without_bound(proof: BoxProof, search: Search, inputs: Box) -> list[str]:
    """Why leaves have no bound at all, in a sentence; nothing where each has one."""
    tree = search.tree
    none = [node for node in tree.leaf_numbers() if not tree.bound[node] < np.inf]
    if not none:
        return []
    low, high = np.stack([tree.low[i] for i in none]), np.stack([tree.high[i] for i in none])
    why = proof.unbounded(low, high)
    where = inputs.named(inputs.from_unit((low[0] + high[0]) / 2))
    return [f"{len(none)} leaves, such as that at {where}, {why}"] if why else []


def _undecided(problem: Problem, inputs: Box, allowed: Tolerance, *reasons: str) -> TrustMap:
    """At once: the truth's distance to the PDE, which takes solves, is of no use where nothing is proved."""
    d = inputs.dimension
    return TrustMap(
        box=inputs,
        tolerance=allowed.relative,
        absolute=allowed.absolute,
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
        against=ON_THIS_GRID,
        notes=reasons,
    )
