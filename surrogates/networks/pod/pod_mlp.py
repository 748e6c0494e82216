"""pod-mlp: a multilayer perceptron for the coefficients in a POD basis.

    field(p) = s V (W'h(x) + w),   h = tanh layers of the features x, amplitude s: known scalings are built in, others
    are chosen by left-out rows (``input_scaling.py``)

Hidden layers by Adam, then L-BFGS (or another, ``optimisers.py``), on the relative energy error; the last layer is
always the exact minimiser for the hidden ones (``energy_loss.py``). Where the field vanishes with some inputs p_j, the
last layer is linear in the products p_j h(x), and so is exact there.

``physics_weight`` is the share of the energy functional at inputs where nothing was solved, the corners of the box
among them: it cuts the worst errors, which sit there. Where the problem is not affine in few terms, fields of least
residual take its place (``physics_fields.py``). With 1 no snapshot's field is fitted; only the first basis comes from
at most 32 of them.

Without physics the dull baselines are fitted too, in a second, and judged at left-out rows: unless the network alone
predicts these surely better, the best teaches it between the snapshots (``teacher.py``; the switch is ``teacher``).
Where one of them is better in the end or cannot be told apart, ``training["warnings"]`` says so, and
``training["validation"]["ratios"]`` how their errors compare, with intervals. With physics the network has no teacher,
but corrects a polynomial of the snapshots where that comes closer than networks do; physics alone is judged at the
snapshots of its basis, whose fields it does not learn.

``base="polynomial"`` has it correct a polynomial of all that it learns, physics included, whose degree snapshots do not
limit: 3e-7 for 2e-5 on a thermal block of contrast 10, 4e-4 for 2e-3 on elasticity of contrast 100. It is no default,
since a high degree is enclosed badly: at points proofs are as sharp, over boxes they decide next to nothing.

``smoothness`` times the sum of squared hidden weights is added to
the loss: derivatives, and with them the remainders of proofs over boxes, grow with products of weights. ``skip`` adds
each layer's input to its output where their widths agree (a residual network). Good values: two layers of 64, 512
snapshots; smoothness 1e-10 to 1e-8.
References: Hesthaven and Ubbiali 2018 (POD-NN); Golub and Pereyra 1973 (the last layer).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ....solvers.box import Box
from ....solvers.problem import Problem
from ...baselines import polynomial
from ...baselines.regression import Regression
from ...surrogate import Surrogate
from ...training.dull import UNJUDGED, remedies
from ...training.gauss_newton import levenberg_marquardt, serves
from ...training.input_scaling import declared
from ...training.optimise import Budget, Outcome, Progress, Stages, identity, identity_kept, run_warnings
from ...training.optimisers import checked_optimiser, minimise_by
from ...training.options import checked_weight
from ...training.paired import LEAST
from ...training.physics_fields import LeastResidual, Plan, joined, least_residual
from ...training.pod import BASIS_SOLVES, Data, box_points, pod, prepare, solve_few, too_many
from ...training.reduced_operator import PHYSICS_SEED, ReducedOperator, affine_in_few_terms
from ..vanishing import vanishing
from .energy_loss import (
    LossRows,
    Rows,
    as_squares,
    assemble,
    field_rows,
    physics_rows,
)
from .judged import added_to_its_base, better_alone, tried_alone, validated
from .pod_network import PARTS, Mlp, compiled_parts, head_residuals, predict, training_loss
from .slopes import slope_rows, slopes
from .teacher import (
    BASE_BELOW,
    OUT_OF_REACH,
    SHARE,
    Teacher,
    find_teacher,
    less,
    taught_rows,
)

STEPS = 600
FIELDS = 0.5  # of the seconds, at most, for the fields of least residual
MIXED = 0.5  # the default physics weight where the energy functional costs next to nothing
TOLERANCE, MANY = 1e-5, 96  # of the basis, with fields of least residual, which cost; the rank also without physics
FINE, RANK = 1e-7, 48  # and elsewhere, where few modes more cost little; the rank with the energy functional
REMEDIES = "another optimiser (lbfgs, adam), smoothness=1e-8, or fewer modes (max_rank)"  # of a run that diverged


def check_settings(problem: Problem, options: Mapping[str, Any]) -> None:
    """
    Raises:
        ValueError: no such optimiser or base, a base beside derivatives or where fields vanish with inputs.
    """
    checked_optimiser(options.get("optimiser"))
    base = options.get("base")
    if base not in (None, "polynomial"):
        raise ValueError(f"base is 'polynomial', or left out, not {base!r}")
    if base is not None and options.get("derivatives"):
        raise ValueError("derivatives are fitted without a base: leave one of them out")
    if base is not None and problem.vanishes_with and not declared(problem):
        raise ValueError(f"the fields of {problem.name} vanish with inputs, and a {base} would not: leave base out")


def train_pod_mlp(
    problem: Problem,
    snapshots: Any,
    seed: int = 0,
    box: Box | None = None,
    *,
    physics_weight: float | None = None,
    seconds: float | None = None,
    steps: int | None = None,
    checkpoint: Any = None,
    progress: Progress | None = None,
    widths: Sequence[int] = (64, 64),
    physics_points: int = 2048,
    tolerance: float | None = None,
    max_rank: int | None = None,
    smoothness: float = 0.0,
    skip: bool = False,
    teacher: bool | None = None,
    derivatives: int = 0,
    optimiser: str | None = None,
    base: str | None = None,
) -> Surrogate:
    """Train the network on fields, on the physics residual, or on both.

    Args:
        snapshots: None with ``physics_weight=1``, which then solves for its basis itself.
        physics_weight: share of the physics loss, 0 to 1; None: 0.5 where the problem is affine in few terms, else 0.
        seconds, steps: stop at whichever comes first; without either after 600 steps. Fields of least residual take
            at most half of the seconds: there are fewer of them then.
        checkpoint: file that keeps the state of training; one that exists is gone on with.
        widths: units of the hidden layers.
        physics_points: inputs of the physics loss, the corners of the box among them; of many snapshots half as many
            more, where these suggest the worst fields.
        tolerance, max_rank: of the basis: the share of the snapshots that it may leave out, its modes at most; None:
            1e-7, where few modes more cost little, and 1e-5 with fields of least residual; 96, and 48 with the energy
            functional.
        smoothness, skip: see above.
        teacher: whether the network also learns from the best dull baseline (``teacher.py``); None: without physics,
            unless the network alone predicts left-out rows surely better.
        optimiser: a name in ``optimisers.py``; None: Levenberg-Marquardt where its steps are cheap, else L-BFGS.
        derivatives: directions in which the solver is differentiated at every snapshot, and these derivatives fitted
            beside its fields (``slopes.py``); no teacher then, but it is judged beside the baselines all the same.
        base: "polynomial", of all that the network learns, which it then corrects; None: see above.

    Raises:
        ValueError: settings out of range, too few snapshots, a physics loss where there is none, derivatives of a
            solver that has none.
    """
    start = time.perf_counter()
    box = problem.inputs if box is None else box
    weight = checked_weight(physics_weight, MIXED if affine_in_few_terms(problem) else 0.0, snapshots is not None)
    shape = tuple(int(w) for w in widths)
    reduced = weight and affine_in_few_terms(problem)
    tolerance = (TOLERANCE if weight and not reduced else FINE) if tolerance is None else tolerance
    asked, max_rank = max_rank, (RANK if reduced else MANY) if max_rank is None else max_rank
    if optimiser == "levenberg-marquardt" and smoothness:
        raise ValueError("smoothness is no sum of squares here: leave it out, or take optimiser='lbfgs'")
    solved_here = snapshots is None
    data = solve_few(problem, box, BASIS_SOLVES, seed) if solved_here else prepare(problem, snapshots, box)
    if weight == 1:
        data = data.some(slice(BASIS_SOLVES))
    if derivatives and weight == 1:
        raise ValueError("derivatives are counted from 0, and fitted beside fields: leave them out with physics alone")
    physics, path = None, None if checkpoint is None else Path(checkpoint)
    if weight and not affine_in_few_terms(problem):
        kept = _plan_kept(path)
        until = None if seconds is None or kept else start + FIELDS * seconds
        plan = kept or Plan(physics_points)
        physics = least_residual(data, plan, seed + PHYSICS_SEED, tolerance, max_rank, progress, until)
    of_basis = data if physics is None else joined(data, physics.data)
    V = pod(of_basis, tolerance, max_rank)
    if V.shape[1] == 0:
        raise ValueError(
            f"all {len(data.inputs)} snapshots are zero wherever nothing is prescribed, so that no network can be "
            "trained on them: is the solver right? the mean surrogate answers zero, too"
        )
    network = Mlp(shape, V.shape[1], bool(skip), vanishing(problem, data))
    weights = dict(network.init(jax.random.PRNGKey(seed), jnp.asarray(data.features[:1]))["params"])
    del weights["head"]
    loss = training_loss(network, float(smoothness))
    operator = ReducedOperator.of(problem, V) if affine_in_few_terms(problem) else None
    terms = np.eye(V.shape[1])[None] if operator is None else operator.terms
    judge = None if weight == 1 else find_teacher(data, V, seed)
    found = None if derivatives else judge  # what may teach
    alone, along = None, slopes(data, derivatives, seed) if derivatives else None
    sloped = None if along is None else (slope_rows(along, data, V, operator), along.of)
    units = (shape[-1] + 1) * max(1, len(network.vanish))
    # the last layer would pass through every row, no network comes near, or too few rows could tell
    hopeless = found is None or len(found.split.fit) <= units or found.error < OUT_OF_REACH or found.tells < LEAST
    if found is not None and weight == 0 and not teacher and not (hopeless and teacher is None):
        alone = tried_alone(network, loss, weights, data, V, operator, terms, found)
    if judge is not None and sloped is not None and weight == 0:  # for the judgement alone
        alone = tried_alone(network, loss, weights, data, V, operator, terms, judge, sloped)
    taught = found is not None and bool(teacher)
    if found is not None and teacher is None and weight == 0:
        taught = alone is None or not better_alone(alone, found, seed)
    corrected = _corrected(found, taught, weight, network)
    if base is not None:
        rows_of_fields = of_basis if weight < 1 or physics is None else physics.data
        corrected = _polynomial(rows_of_fields, V, operator, weight, physics_points, seed)
    parts = _parts(data, physics, V, operator, weight, physics_points, seed, found if taught else None)
    if corrected is not None:
        values = corrected.arrays
        parts = [(w, less(part, terms, polynomial.values({}, values, part.x, np))) for w, part in parts]
    if sloped is not None:
        parts.append((1 - weight, sloped[0]))
    rows, T = assemble(parts, terms)
    method = optimiser or _by_size(weights, units, rows, float(smoothness))
    about = [
        problem.name,
        problem.settings,
        box.to_json(),
        data.hash,
        seed,
        weight,
        physics_points,
        tolerance,
        max_rank,
        float(smoothness),
        bool(skip),
        found.name if found is not None and taught else "",
        corrected is not None,
        method,
        int(derivatives),
        *([] if base is None else [base]),
    ]
    steps = (STEPS if seconds is None else 10**9) if steps is None else steps
    if alone is not None and found is not None and teacher is None and not taught and alone.last is not None:
        steps = min(steps, alone.last)
    run = identity("pod-mlp", about, shape, min(steps, 50)) + ("" if physics is None else _mark(physics.plan))
    budget = Budget(steps, seconds, start, path, progress, run)
    outcome = _minimised(method, network, loss, weights, rows, budget)
    kernel = np.asarray(compiled_parts(network)[0](outcome.weights, rows)) @ T.T
    arrays = {"basis": V, **data.arrays, "head.kernel": kernel if network.vanish else kernel[:-1]}
    if not network.vanish:
        arrays["head.bias"] = kernel[-1]
    for i in range(len(shape)):
        for part in PARTS:
            arrays[f"hidden_{i}.{part}"] = np.asarray(outcome.weights[f"hidden_{i}"][part])
    if corrected is not None:
        arrays |= {"base.powers": corrected.arrays["powers"], "base.values": corrected.arrays["values"]}
    training = {
        "loss": outcome.loss,
        "steps": outcome.steps,
        "seconds": outcome.seconds,
        "stopped": outcome.stopped,
        "curve": list(outcome.curve),
        "optimiser": method,
        "snapshots": 0 if weight == 1 else len(data.inputs),
        "basis_snapshots": len(data.inputs),
        "solved_in_training": BASIS_SOLVES if solved_here else 0,
        "physics_weight": weight,
        "physics_points": 0 if not weight else physics_points if physics is None else len(physics.data.inputs),
        "physics_residual": None if physics is None else physics.residual,
        "smoothness": float(smoothness),
        "derivatives": int(derivatives),
        "dropped": data.dropped,
    }
    warnings = [*data.warnings, *too_many("max_rank", asked, of_basis, V.shape[1])]
    if derivatives > problem.inputs.dimension:
        has = problem.inputs.dimension
        warnings.append(f"derivatives={derivatives} asks for more directions than {has} inputs have: take {has}")
    warnings += run_warnings(outcome, seconds, REMEDIES)
    architecture = {"name": "pod-mlp", "widths": list(shape), "skip": bool(skip), "lift": data.lift}
    architecture |= {"vanish": [list(pair) for pair in network.vanish]} if network.vanish else {}
    if teacher and found is None:
        warnings.append("teacher=True is not heeded with derivatives or physics alone: leave these out, or teacher")
    learnt = weight < 1
    judge = judge if learnt else find_teacher(data, V, seed)  # after training, of whose time it is no part
    if judge is not None:
        corrects, more = corrected is not None, remedies(problem, weight)
        lone = alone if base is None else None  # which was tried without a base
        checked = validated(architecture, arrays, judge, lone, taught, corrects, outcome.steps, seed, more, learnt)
        warnings += checked.pop("warnings")
        training |= checked
    else:
        warnings.append(UNJUDGED)
    if base is not None and corrected is not None and operator is not None and weight:
        more = remedies(problem, weight)
        warnings += added_to_its_base(architecture, arrays, corrected, data, operator, weight, seed, more)
    training["warnings"] = warnings
    return Surrogate(problem, architecture, arrays, predict, box, seed, data.hash, training)


def _corrected(found: Teacher | None, taught: bool, weight: float, network: Mlp) -> Surrogate | None:
    """The polynomial of the snapshots that is added to the network. Where a field vanishes with its inputs only the
    network is exact.
    """
    if found is None or not (taught or (weight and not network.vanish)):
        return None
    return found.polynomial(BASE_BELOW if taught else OUT_OF_REACH)


def _polynomial(
    data: Data, V: np.ndarray, operator: ReducedOperator | None, weight: float, points: int, seed: int
) -> Surrogate:
    """The polynomial of these fields, and of solutions in the basis where they cost next to nothing."""
    if operator is not None and weight:
        return polynomial.fit_with_physics(data, V, operator, weight, points, seed)
    return polynomial.fit(Regression.in_basis(data, V), seed)


def _parts(
    data: Data,
    physics: LeastResidual | None,
    V: np.ndarray,
    operator: ReducedOperator | None,
    weight: float,
    points: int,
    seed: int,
    teacher: Teacher | None,
) -> list[tuple[float, LossRows]]:
    """Weighted parts of the loss."""
    parts = []
    if weight < 1:
        parts.append((1 - weight, field_rows(data, V, operator)))
    if physics is not None:
        parts.append((weight, field_rows(physics.data, V, None)))
    elif weight:
        assert operator is not None
        P = box_points(data.box, points, seed + PHYSICS_SEED)
        parts.append((weight, physics_rows(*operator.teaching(data, P), operator)))
    if teacher is not None:
        parts = [((1 - SHARE) * share, part) for share, part in parts]
        parts.append((SHARE, taught_rows(data, teacher, operator, seed)))
    return parts


def _mark(plan: Plan) -> str:
    """What an identity ends in: a clock may have chosen the fields of least residual that the run goes on with."""
    return f":{plan.points}:{plan.rounds}"


def _plan_kept(checkpoint: Path | None) -> Plan | None:
    """The fields of least residual that the run in a checkpoint began with."""
    found = re.fullmatch(r"[0-9a-f]+:([1-9]\d*):([1-9]\d*)", identity_kept(checkpoint))
    return None if found is None else Plan(int(found[1]), int(found[2]))


def _by_size(weights: Any, units: int, rows: Rows, smoothness: float) -> str:
    whole = {"hidden": weights, "head": np.zeros((units, rows.b.shape[1]))}
    return "levenberg-marquardt" if smoothness == 0 and serves(whole, rows.b.size) else "lbfgs"


def _minimised(
    method: str, network: Mlp, loss: Callable[[Any, Rows], Array], weights: Any, rows: Rows, budget: Budget
) -> Outcome:
    """The hidden layers; Levenberg-Marquardt moves the last one with them."""
    if method != "levenberg-marquardt":
        return minimise_by(method, loss, weights, rows, budget)
    squares = as_squares(rows)
    begin, advance = levenberg_marquardt(head_residuals(network))
    start = {"hidden": weights, "head": compiled_parts(network)[0](weights, rows)}
    stages = Stages(budget)
    state = stages.run(budget.steps, lambda: begin(start, squares), lambda s, n: advance(s, squares, n))
    return stages.outcome(weights if state is None else state[0]["hidden"])
