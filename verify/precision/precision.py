"""``precision``: how far answers move when the surrogate is evaluated in other arithmetic, and which keeps a tolerance.

    change(p) = ||N'(p) - N(p)|| / (scale + ||N(p)||),    N the surrogate's own answer, N' the one in that arithmetic

in the problem's norm; no solve. The largest change is looked for among draws, corners and centres of faces, inputs that
are given (such as the worst known), and by climbing the change itself from the largest of these. It adds to the
surrogate's own error at most: found, and not proved. What JAX cannot trace computes as it computes: only its inputs
and answers are rounded then, and that is said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ...solvers.precision import in_float64
from ...solvers.problem import Problem
from ...solvers.seed import checked_seed
from ...solvers.tolerance import Tolerance
from ..answers.evaluate import Evaluation, Model, captured, evaluate
from ..answers.first_call import check_answers
from ..statistics.errors import prescribed, scaled_errors
from .formats import FORMATS, Format
from .rounded import Rounded, calls_back, rounded

ROWS = 64  # evaluated at once
TURNS, SPREAD = 6, 0.1  # of the climb: how often, and how far at first
CORNERS = 64
CHEAP = "unsafe_rbg"  # random bits that compile in no time: there is a draw for every operation
OUTSIDE = "inputs and answers alone"
PLAN = {  # which arithmetics are tried: nearest is what float64 has
    "float64": ("perturbed", "reordered"),
    "float32": ("nearest", "perturbed", "reordered"),
    "float16": ("nearest", "reordered"),
    "bfloat16": ("nearest", "reordered"),
}


@dataclass(frozen=True)
class Change:
    """``worst`` at ``worst_inputs``, and ``mean`` over the draws, of one arithmetic; infinite where an answer is no
    number there, NaN where none of the surrogate's own is one. ``way``: of ``rounded.py``, or that only inputs and
    answers were rounded.
    """

    format: str
    way: str
    mean: float
    worst: float
    worst_inputs: Float[np.ndarray, " d"]
    keeps: bool

    def __repr__(self) -> str:
        return f"Change({self.format}, {self.way}: mean {self.mean:.3g}, worst {self.worst:.3g})"


@dataclass(frozen=True)
class Precision:
    """``keeps``: formats in which no change beyond the tolerance was found, in any way that was tried."""

    changes: tuple[Change, ...]
    tolerance: float
    inputs: int
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        changes = ", ".join(f"{name} {self.worst(name):.2g}" for name in dict.fromkeys(c.format for c in self.changes))
        return f"Precision(worst changes found: {changes}; tolerance {self.tolerance:g}, {self.inputs} inputs)"

    @property
    def keeps(self) -> tuple[str, ...]:
        names = dict.fromkeys(change.format for change in self.changes)
        return tuple(name for name in names if all(c.keeps for c in self.changes if c.format == name))

    def worst(self, name: str) -> float:
        """The largest change found in a format, in whatever way."""
        return max(change.worst for change in self.changes if change.format == name)


@in_float64
def precision(
    problem: Problem,
    surrogate: Callable[[Any], Any],
    tolerance: float = 1e-2,
    *,
    n: int = 256,
    seed: int = 0,
    inputs: Any = None,
    absolute: float | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Precision:
    """The largest change found in float64, float32, float16 and bfloat16.

    Args:
        tolerance, absolute: of the error, as in ``falsify``: a format keeps it where no change is beyond it.
        n: draws from the sampling law.
        inputs: [m, d] besides, such as those where the error is known to be large.

    Raises:
        ValueError: numbers that make no sense, or a surrogate that does not answer.
    """
    allowed = Tolerance.of(problem, tolerance, absolute)
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"n is a whole number of draws, at least 1, not {n!r}")
    seed, box = checked_seed(seed), problem.inputs
    given = np.zeros((0, box.dimension)) if inputs is None else box.check(inputs)
    model = captured(surrogate)
    check_answers(problem, model)
    P = np.concatenate([box.draw(int(n), seed), _edges(problem, seed), given])
    own = evaluate(model, P, problem)
    notes = list(own.trouble)
    try:
        program = jax.make_jaxpr(lambda rows: model(rows))(np.zeros((ROWS, box.dimension)))
        traced = not calls_back(program.jaxpr)
        if not traced:
            notes.append(
                "the surrogate computes outside of JAX (a callback): its own arithmetic cannot be changed here, and "
                "only its inputs and answers were rounded"
            )
    except Exception as error:  # numpy, another framework, or a file
        said = " ".join(str(error).split()).partition(". ")[0]
        notes.append(
            f"JAX cannot trace the surrogate ({type(error).__name__}: {said[:120]}): its own arithmetic cannot be "
            "changed here, and only its inputs and answers were rounded"
        )
        traced = False
    changes = []
    plan = [(form, way) for form in FORMATS for way in (PLAN[form.name] if traced else (OUTSIDE,))]
    for done, (form, way) in enumerate(plan):
        if form.name == "float64" and not traced:
            continue
        if progress is not None:
            progress(f"{form.name}, {way}", done, len(plan))
        other = _in_arithmetic(model, problem, form, way, seed) if traced else _outside(model, problem, form)
        changes.append(_largest(problem, model, other, P, own, int(n), allowed, (form.name, way), seed))
    if progress is not None:
        progress("", len(plan), len(plan))
    return Precision(tuple(changes), allowed.relative, len(P), tuple(dict.fromkeys([*notes, *model.changes()])))


Asked = Callable[[Float[np.ndarray, "n d"]], Evaluation]


def _in_arithmetic(model: Model, problem: Problem, form: Format, way: str, seed: int) -> Asked:
    function: Rounded = rounded(lambda rows: model(rows), ROWS, problem.inputs.dimension, form, way)
    keys = iter(range(10**9))

    def answers(P: np.ndarray) -> np.ndarray:
        pieces = []
        for start in range(0, len(P), ROWS):
            rows = P[start : start + ROWS]
            padded = np.concatenate([rows, np.repeat(rows[-1:], ROWS - len(rows), axis=0)])
            key = jax.random.fold_in(jax.random.key(seed % (1 << 31), impl=CHEAP), next(keys))
            pieces.append(np.asarray(function(jnp.asarray(padded), key))[: len(rows)])
        return np.concatenate(pieces)

    return lambda P: evaluate(answers, P, problem)


def _outside(model: Model, problem: Problem, form: Format) -> Asked:
    def answers(P: np.ndarray) -> np.ndarray:
        return np.asarray(form.nearest(jnp.asarray(model(np.asarray(form.nearest(jnp.asarray(P)))))))

    return lambda P: evaluate(answers, P, problem)


def _largest(
    problem: Problem,
    model: Model,
    other: Asked,
    P: Float[np.ndarray, "m d"],
    own: Evaluation,
    draws: int,
    allowed: Tolerance,
    about: tuple[str, str],
    seed: int,
) -> Change:
    """The largest change among P, and near the largest of these: steps that shrink, half of them along one input."""
    box, rng, own_values = problem.inputs, np.random.default_rng([seed, 31]), prescribed(problem)

    def measured(rows: np.ndarray, answers: Evaluation) -> np.ndarray:
        fields = np.asarray(own_values(rows, answers.fields))  # as errors are: not of entries that are prescribed
        found, _ = scaled_errors(problem, rows, other(rows), fields, allowed.scale)
        return np.where(np.isnan(found), -1.0, found)  # where it has no answer of its own nothing can change

    changes = measured(P, own)
    known = changes[:draws][changes[:draws] >= 0]
    best = np.argsort(-changes)[:8]
    x, y, step = box.to_unit(P[best]), changes[best], SPREAD
    for _ in range(TURNS):
        if not np.isfinite(y.max()):
            break
        moves = rng.standard_normal((len(x), ROWS // 8, box.dimension))
        alone = np.arange(box.dimension) == rng.integers(0, box.dimension, (*moves.shape[:2], 1))
        moves = np.where(rng.random((*moves.shape[:2], 1)) < 0.5, moves, moves * alone)
        children = np.clip(x[:, None, :] + step * moves, 0, 1).reshape(-1, box.dimension)
        rows = box.from_unit(children)
        found = measured(rows, evaluate(model, rows, problem)).reshape(len(x), -1)
        top = found.argmax(axis=1)
        better = found.max(axis=1) > y
        x = np.where(better[:, None], children.reshape(len(x), -1, box.dimension)[np.arange(len(x)), top], x)
        y, step = np.maximum(y, found.max(axis=1)), step / 2
    i = int(np.argmax(y))
    worst = float(y[i]) if y[i] >= 0 else float("nan")  # no answer anywhere: nothing is known, and nothing kept
    mean = float(np.mean(known)) if len(known) else float("nan")
    return Change(*about, mean, worst, box.from_unit(x[i]), bool(worst <= allowed.relative))


def _edges(problem: Problem, seed: int) -> Float[np.ndarray, "m d"]:
    """Corners, as many as are tried, and centres of faces."""
    d = problem.inputs.dimension
    corners = np.random.default_rng([seed, 32]).integers(0, 2, (CORNERS, d)).astype(float)
    if 2**d <= CORNERS:
        corners = np.array(np.meshgrid(*[[0.0, 1.0]] * d, indexing="ij")).reshape(d, -1).T
    faces = np.full((2 * d, d), 0.5)
    faces[np.arange(d), np.arange(d)], faces[np.arange(d, 2 * d), np.arange(d)] = 0.0, 1.0
    return problem.inputs.from_unit(np.concatenate([corners, faces]))
