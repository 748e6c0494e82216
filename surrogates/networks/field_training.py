"""Training of any network that gives fields outright (``design.py``), on the loss of ``field_loss.py``.

A part of the snapshots is held out (``field_loss.py``, where there are enough): training returns the weights that were
best there, in the norm of the loss, and says how wrong its answers are there (``left_out.py``); with physics alone,
too, where the weights are chosen by the loss. Optimisers: "adam" and "muon" on mini-batches (``stochastic.py``);
"lbfgs": Adam, then L-BFGS on all rows (``optimisers.py``), for small networks. Several seeds are trained together with
"adam" and "muon": the first decides which rows are held out, so that all are judged by the same, and so is their mean;
they differ by their first weights and the order of their batches.
Reference: Prechelt 1998 (early stopping).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...solvers.box import Box
from ...solvers.problem import Problem
from ...solvers.problems.catalogue import closest
from ..surrogate import Surrogate
from ..training.dull import UNJUDGED, affordable, dull_warning, little_added, remedies
from ..training.optimise import Budget, Outcome, Progress, Stages, identity, run_warnings
from ..training.optimisers import judged_lbfgs
from ..training.options import checked_weight
from ..training.pod import prepare, solve_few
from ..training.residual_loss import built_in, conserves, unkept
from ..training.stochastic import Stochastic, Together
from ..training.symmetric import WAYS, group_arrays
from .base_field import BASES, base_arrays, base_of, judge
from .design import Design
from .field_loss import ENOUGH, FieldLoss, Sets, held_rows, sets_of, with_slopes
from .field_network import SETTINGS, FieldNetwork, arrays_of, normalisers, predictor
from .left_out import FEW_SOLVED, TOO_FEW
from .projection import check_projection, fewer, projection
from .vanishing import VANISH

STEPS = 8000
PHYSICS_POINTS = 1024  # inputs of the physics loss
FEW = 32  # solves for normalisers where no field is fitted
ADAM_FIRST = 200  # steps before L-BFGS
REVISION = 2  # of checkpoints; raised where one of before would go on to another loss, or with other normalisers
PATIENCE = 6000  # steps without a better look, after which there is no point in more
CUT = ("modes", "levels")  # settings that a coarse grid cuts
REMEDIES = "a smaller rate, a larger batch, or float64"  # of a run that diverged
CHOICES = {
    "optimiser": ("adam", "muon", "lbfgs"),
    "norm": ("problem", "l2"),
    "precision": ("float64", "float32"),
    "constraints": ("hard", "soft"),
    "symmetry": WAYS,
    "base": ("auto", *BASES),
}


class Trained(NamedTuple):
    """Networks of several seeds, and what rows held out of all say of their mean: its validation and warnings; empty
    of one network, and without such rows.
    """

    members: list[Surrogate]
    judged: dict[str, Any]


def train_fields(
    design: Design, problem: Problem, snapshots: Any, seed: int = 0, box: Box | None = None, **options: Any
) -> Surrogate:
    """One network; options and errors as of ``train_seeds``."""
    return train_seeds(design, problem, snapshots, (seed,), box, **options).members[0]


def train_seeds(
    design: Design,
    problem: Problem,
    snapshots: Any,
    seeds: tuple[int, ...],
    box: Box | None = None,
    *,
    physics_weight: float | None = None,
    seconds: float | None = None,
    steps: int | None = None,
    checkpoint: Any = None,
    progress: Progress | None = None,
    optimiser: str = "adam",
    rate: float | None = None,
    batch: int | None = None,
    precision: str = "float64",
    constraints: str = "hard",
    norm: str = "problem",
    project: int = 0,
    symmetry: str = "none",
    base: str = "auto",
    physics_points: int = PHYSICS_POINTS,
    power: int = 2,
    patience: int = PATIENCE,
    derivatives: int = 0,
    **settings: Any,
) -> Trained:
    """Train networks on fields, on the physics residual, or on both; one a seed, all at once.

    Args:
        snapshots: None with ``physics_weight=1``, which then solves ``FEW`` inputs for its normalisers.
        physics_weight: share of the physics loss, 0 to 1; by default 0.
        seconds, steps: stop at whichever comes first; without either after ``STEPS``.
        checkpoint: file that keeps the state of training; one that exists is gone on with.
        optimiser: "adam", "muon" or "lbfgs".
        rate: of Adam or Muon.
        batch: rows of a step of Adam or Muon; None for the architecture's own choice.
        precision: "float64" or "float32", of weights and network; fields are always float64.
        constraints: "hard": prescribed values and what the scheme conserves are built in; "soft": they are left to the
            loss, which penalises what is missing of them.
        norm: "problem", that of the loss above; or "l2": of the numbers of the field, which gradients descend faster in
            where the problem's own weighs derivatives.
        project: modes of a POD basis, at most, that the answers are projected on, which opens the proofs from
            coefficients; 0: none. What a scheme conserves is not kept then, nor shifts of a periodic grid.
        symmetry: "average" or "canonical": the problem's own are kept exactly (``symmetric.py``); "soft": the loss
            penalises what breaks them; or "none".
        base: what the network corrects (``base_field.py``): "mean", "linear", "polynomial", or "auto" for the best of
            them at the rows held out.
        physics_points: inputs of the physics loss.
        power: 2, or 1 for a loss that is the mean of the errors, not of their squares: a few rows of small solutions
            count less.
        patience: steps without a better look, after which training ends.
        derivatives: directions in which the solver is differentiated at every snapshot that is learnt from, and these
            derivatives fitted beside fields (``pod/slopes.py``).
        settings: of the architecture, see its file.

    Raises:
        ValueError: too few snapshots, no physics loss or derivatives where they are asked for, settings that the
            network cannot be built with, or L-BFGS of several seeds; what else ``train`` refuses is not looked at here
            again.
    """
    start, seed = time.perf_counter(), seeds[0]
    if len(seeds) > 1 and optimiser == "lbfgs":
        raise ValueError(
            "lbfgs searches along a line of its own in every step, so that several networks make none together: leave "
            'together out, or optimiser at "adam"'
        )
    weight = checked_weight(physics_weight, 0.0, snapshots is not None)
    if derivatives and weight == 1:
        raise ValueError("derivatives are counted from 0, and fitted beside fields: leave them out with physics alone")
    batch = design.batch if batch is None else batch
    box = problem.inputs if box is None else box
    asked, settings = settings, {**design.settings, **settings}
    net = design.build(problem, **settings)
    cut = _cut(net, problem, asked)
    data = solve_few(problem, box, FEW, seed) if snapshots is None else prepare(problem, snapshots, box)
    held = held_rows(data, seed)
    own = data.some(~held)  # all that anything is fitted to
    sets, left = sets_of(problem, data, held, weight, physics_points, seed, norm)
    sets = with_slopes(sets, own, int(derivatives), seed) if derivatives else sets
    dull = judge(data, held, affordable(len(data.inputs)), seed, left.baseline_error)
    corrected = base_of(design, problem, dull, base, weight < 1)
    arrays = normalisers(design, problem, own, base_arrays(dull, corrected)) | group_arrays(problem, symmetry)
    projected = projection(problem, own, project, symmetry)
    architecture = {
        "name": design.name,
        "lift": constraints == "hard",
        "precision": precision,
        "symmetry": symmetry,
        SETTINGS: _json(settings),
    }
    network = FieldNetwork(design, problem, net, arrays, precision, symmetry)
    fit = FieldLoss(network, constraints == "hard", weight, norm, power)
    first = sets.P[:1] if len(sets.P) else sets.physics_P[:1]
    unoptimised = {"xla_backend_optimization_level": 0}  # it runs once: half the time to compile
    begin = jax.jit(fit.start, compiler_options=unoptimised)
    weights = [begin(jax.random.PRNGKey(each), first) for each in seeds]
    count = (STEPS if seconds is None else 10**9) if steps is None else steps
    rate, batch = rate or design.rate, int(batch)
    about = [design.name, problem.name, problem.settings, box.to_json(), data.hash, seed, weight, physics_points]
    about += [_json(settings), optimiser, precision, constraints, norm, symmetry, power, batch, rate, corrected]
    about += [REVISION] + ([VANISH] if VANISH in arrays else [])
    about += [list(seeds)] if len(seeds) > 1 else []
    about += [f"derivatives {int(derivatives)}"] if derivatives else []
    path = None if checkpoint is None else Path(checkpoint)
    budget = Budget(count, seconds, start, path, progress, identity(*about), patience)
    outcome, found = _minimise(fit, optimiser, weights, sets, budget, rate, batch, seeds)
    if project:
        architecture["lift"] = data.lift
        cut += fewer(problem, own, project, projected["basis"].shape[1], symmetry)
    training: dict[str, Any] = {
        "loss": outcome.loss,
        "steps": outcome.steps,
        "seconds": outcome.seconds,
        "stopped": outcome.stopped,
        "curve": list(outcome.curve),
        "optimiser": optimiser,
        "snapshots": 0 if weight == 1 else len(data.inputs),
        "held_out": len(left) if weight < 1 else 0,
        "solved_in_training": len(data.inputs) if snapshots is None else 0,
        "physics_weight": weight,
        "physics_points": physics_points if weight else 0,
        "constraints": constraints,
        "symmetry": symmetry,
        "base": corrected,
        "dropped": data.dropped,
        "warnings": [*data.warnings, *cut, *run_warnings(outcome, seconds, REMEDIES)],
    }
    if derivatives:
        assert sets.slopes is not None
        training["derivatives"] = has = sets.slopes.shape[1]
        if derivatives > has:
            more_than = f"derivatives={derivatives} asks for more directions than {has} inputs have: take {has}"
            training["warnings"].append(more_than)
    more = remedies(problem, weight)

    def said(error: float) -> list[str]:
        """Of an error at the rows held out."""
        before, alone = (known.get(corrected, np.inf) for known in (dull.bases, dull.errors))
        told = dull_warning(dull.errors, error, more=more)
        return told or little_added(corrected, before, alone, error, more)

    def validation(error: float) -> dict[str, Any]:
        return {"network": error if np.isfinite(error) else None, "dull": dull.errors}

    members = []
    for number, (each, judged) in zip(seeds, found, strict=True):
        own_arrays = {**arrays, **arrays_of(each), **projected}
        own_training = {**training, "warnings": [*training["warnings"]]}
        if len(seeds) > 1:  # its seconds and its curve are of all
            own_training |= {"loss": judged**2, "together": len(seeds)}
        if design.report is not None:
            own_training |= design.report(problem, own_arrays, own)
        made = Surrogate(problem, architecture, own_arrays, predictor(design), box, number, data.hash, own_training)
        if constraints == "hard" and not project and conserves(problem):
            P = np.asarray(sets.P if len(sets.P) else sets.physics_P)[:FEW]
            told = unkept(problem, jnp.asarray(P), jnp.asarray(made(P)))
            own_training["constraints"] = "hard, but for what is conserved" if told else constraints
            own_training["warnings"] += told
        if len(left):
            as_judged = norm == "problem" and weight < 1 and not project
            error = judged if as_judged else left.error(made(left.P))
            own_training["validation"] = validation(error)
            own_training["warnings"] += said(error)
        else:
            n = len(data.inputs)
            few = FEW_SOLVED if snapshots is None else TOO_FEW
            own_training["warnings"].append(few.format(n=n, enough=ENOUGH) if n < ENOUGH else UNJUDGED)
        members.append(made)
    if len(seeds) == 1 or not len(left):
        return Trained(members, {})
    mean = np.mean([made(left.P) for made in members], axis=0)
    if not project and conserves(problem) and all(m.training["constraints"] == "hard" for m in members):
        mean = np.asarray(jax.jit(jax.vmap(built_in(problem)))(left.P, mean))  # as an ensemble answers
    error = left.error(mean)
    return Trained(members, {"validation": validation(error), "warnings": said(error)})


def _minimise(
    fit: FieldLoss, kind: str, weights: list[Any], sets: Sets, budget: Budget, rate: float, batch: int,
    seeds: tuple[int, ...],
) -> tuple[Outcome, list[tuple[Any, float]]]:  # fmt: skip
    """Where the run ended; and of each network the weights, and the mean relative error on the rows held out; without
    any, the root of the loss.
    """
    stages = Stages(budget)
    first = min(ADAM_FIRST, budget.steps) if kind == "lbfgs" else budget.steps
    batch = len(sets.P) if kind == "lbfgs" else batch
    counts = (len(sets.P), len(sets.physics_P))
    each = [
        Stochastic(w, fit.at, fit.judged, sets, counts, kind, rate, batch, seed)
        for w, seed in zip(weights, seeds, strict=True)
    ]
    if len(each) > 1:
        every = Together(each)
        states = every.look(stages.run(first, every.begin, every.advance))
        stages.looked(float(states.judged.mean()))
        return stages.outcome(None), [(w, float(np.sqrt(value))) for w, value in every.best(states)]
    some, at = each[0], weights[0]
    state = stages.run(first, some.begin, some.advance)
    value = None
    if state is not None:
        state = some.look(state)
        stages.looked(float(state.judged))
        at, value = some.best(state)
    if kind == "lbfgs":
        start, onward = judged_lbfgs(fit.loss, fit.judged)
        now = stages.run(budget.steps, lambda: start(at, sets), lambda s, n: onward(s, sets, n))
        at = at if now is None else now[2]
        value = None
    if value is None:
        value = float(jax.jit(fit.judged)(at, sets))
    return stages.outcome(at), [(at, float(np.sqrt(value)))]


def _cut(net: Any, problem: Problem, asked: Mapping[str, Any]) -> list[str]:
    """A sentence for each setting that was asked for and is more than the grid has."""
    told = []
    for name in (name for name in CUT if asked.get(name) is not None):
        kept = np.asarray(getattr(net, name))
        if (asked[name] > kept).any():
            has = kept.tolist()
            told.append(
                f"{name}={asked[name]} asks for more {name} than the grid of {problem.name} has, and {has} were kept: "
                f"take a finer grid, or {name}={has}"
            )
    return told


def check_settings(design: Design, problem: Problem, options: Mapping[str, Any]) -> None:
    """
    Raises:
        ValueError: a word that is not known (the closest is offered), another power than 1 and 2, a symmetry that the
            problem does not declare, modes that cannot keep what is built in, a norm without derivatives, or settings
            that the network cannot be built with.
    """
    for name, known in CHOICES.items():
        if options.get(name, known[0]) not in known:
            raise closest(options[name], known, name)
    if options.get("power", 2) not in (1, 2):
        raise ValueError(f"power is 1 or 2, not {options['power']}")
    group_arrays(problem, options.get("symmetry", "none"))
    check_projection(problem, options.get("project", 0), options.get("constraints", "hard"))
    if options.get("norm", "problem") == "problem":
        _check_norm(problem)
    design.build(problem, **{key: value for key, value in options.items() if key in design.settings})


def _check_norm(problem: Problem) -> None:
    p, u = (jax.ShapeDtypeStruct((n,), jnp.float64) for n in (problem.inputs.dimension, problem.size))
    try:
        jax.eval_shape(jax.grad(problem.norm, argnums=1), p, u)
    except Exception:  # foreign code: numpy inside
        raise ValueError(
            f"the norm of {problem.name} is not written in JAX, so that it has no derivatives and no network of fields "
            'can be trained in it: write it with jax.numpy, or train with norm="l2"'
        ) from None


def _json(settings: dict[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()}
