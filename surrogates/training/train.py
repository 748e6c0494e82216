"""``train``: one door to every architecture, where names, boxes and options are checked."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ...solvers.box import Box
from ...solvers.identity import check_problem, says_all, telling_row
from ...solvers.precision import in_float64
from ...solvers.problem import Problem
from ...solvers.problems.catalogue import closest
from ...solvers.seed import checked_seed
from ..architectures import ARCHITECTURES, surrogate_name
from ..surrogate import Surrogate
from .given import as_snapshots, not_finite
from .input_scaling import constant_but_for_scale
from .optimise import Progress
from .options import check_amounts, check_companions, check_option, checked_weight

MISSPELT = 0.8  # likeness of an option's name to another from which that one is meant
GENERAL = ("physics_weight", "seconds", "steps", "checkpoint", "progress")  # of ``train``, whatever is trained
FLAGS = ("box", "physics_weight", "seconds", "seed", "steps")  # arguments of their own, here and on the command line


@in_float64
def train(
    problem: Problem,
    architecture: str,
    snapshots: Any,
    *,
    seed: int = 0,
    box: Box | None = None,
    physics_weight: float | None = None,
    seconds: float | None = None,
    steps: int | None = None,
    checkpoint: Any = None,
    progress: Progress | None = None,
    **options: Any,
) -> Surrogate:
    """A surrogate of the problem, learnt from snapshots.

    Args:
        architecture: a name in ``ARCHITECTURES``.
        snapshots: the truth at a design of inputs, or a pair (P, U) of inputs [n, d] and fields [n, N]; rows that
            failed (NaN) or lie outside the box are left out, rows of equal inputs averaged, both counted in
            ``surrogate.training["dropped"]``, and where that hides something ``surrogate.training["warnings"]`` says
            so. None for training on physics alone.
        box: train on a part of the problem's box.
        physics_weight: share of the physics loss (``pod_mlp.py``); None for the architecture's own choice.
        seconds, steps: when to stop; what is fitted in one step does not look at them, and warns.
        checkpoint: file that keeps the state of training; one that exists is gone on with.
        progress: called with (done, total, "loss ..., ... steps/s, ... s left").
        options: of the architecture, see its file.

    Raises:
        ValueError: an unknown architecture or option (the closest match is offered), a box that is not inside the
            problem's, too few snapshots or those of another problem, numbers that make no sense.
    """
    check_problem(problem)
    surrogate_name(architecture)
    seed = checked_seed(seed)
    asked = {
        "box": box,
        "physics_weight": physics_weight,
        "seconds": seconds,
        "steps": steps,
        "checkpoint": checkpoint,
        "progress": progress,
    }
    snapshots, box, passed, told = _checked(problem, architecture, snapshots, {**asked, **options})
    with _told_of_memory(architecture):
        made: Surrogate = ARCHITECTURES[architecture].train(problem, snapshots, seed, box, **passed)
    return _with_its_rows(problem, snapshots, box, made, told)


@in_float64
def train_together(
    problem: Problem, architecture: str, snapshots: Any, seeds: Sequence[int], **options: Any
) -> tuple[list[Surrogate], dict[str, Any]]:
    """Surrogates of several seeds that make their steps at once, and what the rows held out of all say of their mean.

    Args:
        options: those of ``train`` but the seed; ``seconds`` and ``checkpoint`` are of all.

    Raises:
        ValueError: as ``train``; an architecture whose seeds are trained one after the other.
    """
    check_problem(problem)
    surrogate_name(architecture)
    together = ARCHITECTURES[architecture].together
    if together is None:
        others = ", ".join(name for name, kind in ARCHITECTURES.items() if kind.together is not None)
        raise ValueError(f"{architecture} is trained one seed after the other: leave together out; {others} can be")
    seeds = tuple(checked_seed(seed) for seed in seeds)
    snapshots, box, passed, told = _checked(problem, architecture, snapshots, options)
    with _told_of_memory(f"several of {architecture}"):
        members, judged = together(problem, snapshots, seeds, box, **passed)
    return [_with_its_rows(problem, snapshots, box, made, told) for made in members], judged


def _checked(
    problem: Problem, architecture: str, snapshots: Any, asked: Mapping[str, Any]
) -> tuple[Any, Box, dict[str, Any], list[str]]:
    """Snapshots, the training box, what is passed on of what was asked for, and warnings of what is not."""
    asked = dict(asked)
    check_amounts(asked.get("seconds"), asked.get("steps"))
    check_companions(asked.get("checkpoint"), asked.get("progress"))
    box = check_box(problem.inputs, asked.pop("box", None))
    given_as_pair = isinstance(snapshots, tuple | list)
    snapshots = as_snapshots(problem, snapshots)
    options = {key: value for key, value in asked.items() if key not in GENERAL}
    check_options(problem, architecture, options, asked.get("physics_weight"), snapshots is not None)
    known = ARCHITECTURES[architecture].options
    unused = " and ".join(key for key in ("seconds", "steps") if asked.get(key) is not None and key not in known)
    told = [f"{architecture} is fitted in one step whatever {unused} may be: leave {unused} out"] if unused else []
    if given_as_pair:
        told += not_finite(problem, np.asarray(snapshots.inputs), np.asarray(snapshots.fields))
    return snapshots, box, {key: value for key, value in asked.items() if key in known}, told


@contextmanager
def _told_of_memory(what: str) -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise ValueError(
            f"{what} with these options does not fit into memory ({error}): fewer snapshots or physics_points, "
            "or a smaller network"
        ) from None


def _with_its_rows(problem: Problem, snapshots: Any, box: Box, surrogate: Surrogate, told: list[str]) -> Surrogate:
    """A surrogate that knows the inputs it learnt from, a solution where nothing else tells whose it is, and warnings
    of before it was trained.
    """
    warnings = [*told, *surrogate.training.get("warnings", ())]
    surrogate = dataclasses.replace(surrogate, training={**surrogate.training, "warnings": warnings})
    if snapshots is None:
        return surrogate
    P = np.array(snapshots.inputs, dtype=np.float64)
    used = np.isfinite(np.asarray(snapshots.fields)).all(axis=1) & box.contains(P)
    surrogate = dataclasses.replace(surrogate, trained_at=P[used])
    if says_all(problem, problem.fingerprint):
        return surrogate
    row = telling_row(np.asarray(snapshots.fields))
    return dataclasses.replace(
        surrogate, solution=(np.asarray(snapshots.inputs)[row], np.asarray(snapshots.fields)[row])
    )


def check_options(
    problem: Problem, architecture: str, options: Mapping[str, Any], physics_weight: Any, with_snapshots: bool
) -> None:
    """What can be said of a training run before anything is solved for it.

    Raises:
        ValueError: an option that the architecture does not have (the closest match is offered), or of another kind or
            out of range; an architecture that does not fit the problem; a network where there is nothing to learn;
            physics or snapshots where it knows no use for them, or needs them; physics of a problem that has none.
    """
    asked = ARCHITECTURES[architecture]
    known, kinds = asked.options, asked.kinds
    if "physics_weight" not in known and physics_weight:
        raise ValueError(f"{architecture} has no physics loss: leave physics_weight out")
    if "physics_weight" not in known and not with_snapshots:
        raise ValueError(f"{architecture} is learnt from snapshots: give some")
    for key, value in options.items():
        if key in FLAGS:
            raise ValueError(f"{key} is no option: it has a flag of its own, --{key.replace('_', '-')}")
        if key not in known:
            others = [name for name, other in ARCHITECTURES.items() if key in other.options]
            if not others or difflib.get_close_matches(key, known, cutoff=MISSPELT):
                raise closest(key, known, f"option of {architecture}")
            have = f"ha{'s' if len(others) == 1 else 've'}"
            raise ValueError(f"there is no option of {architecture} called {key!r}, which {', '.join(others)} {have}")
        check_option(key, value, kinds[key])
    if why := asked.misfit(problem):
        raise ValueError(why)
    if asked.kind == "network" and constant_but_for_scale(problem):
        raise ValueError(
            f"the solutions of {problem.name} are one field times a factor that is known, so that a network has "
            "nothing to learn: train mean, which is exact"
        )
    asked.check(problem, options)
    if "physics_weight" in known and checked_weight(physics_weight, 0.0, with_snapshots):
        asked.check_physics(problem)


def check_box(whole: Box, box: Box | None) -> Box:
    """The training box.

    Raises:
        ValueError: other inputs than the problem's, or not inside its box; the message names the input.
    """
    if box is None:
        return whole
    if not isinstance(box, Box):
        raise ValueError(f"box is a part of problem.inputs, such as problem.inputs.replace(upper=..), not {box!r:.80}")
    if box.names != whole.names:
        raise ValueError(
            f"the training box has inputs {', '.join(box.names)}; the problem has {', '.join(whole.names)}"
        )
    for i, name in enumerate(whole.names):
        ends = whole.to_unit([box.lower, box.upper])[:, i]
        if not (ends[0] >= -1e-12 and ends[1] <= 1 + 1e-12):
            raise ValueError(
                f"the training box must lie inside the problem's: {name} is [{box.lower[i]:.6g}, {box.upper[i]:.6g}] "
                f"there and [{whole.lower[i]:.6g}, {whole.upper[i]:.6g}] in the problem"
            )
    return box
