"""Relations that solutions fulfil, broken by a surrogate: a residual, more than by the solutions that are known."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ...solvers.batching import RowMap
from ...solvers.problems.dataset import DatasetProblem
from ..answers.evaluate import evaluate
from ..relations.broken_relations import broken_relations

MANY = 64  # rows of the data that tell how well these fulfil it


def broken_relation(problem: DatasetProblem, surrogate: Any, P: Float[np.ndarray, "k d"]) -> list[str]:
    """What is to be said of the largest residual of the surrogate's answers at P, beside the solutions' own, and of the
    relations that were declared, at independent draws.
    """
    said = [broken.words(problem) for broken in broken_relations(problem, surrogate)] if problem.relations else []
    residual = problem.residual
    if residual is None:
        return said
    size = RowMap(lambda p, u: jnp.linalg.norm(residual(p, u)))
    answers = evaluate(surrogate, P, problem)
    if not answers.good.any():
        return said
    P = P[answers.good]
    found = np.asarray(size(P, answers.fields[answers.good]))
    own = float(np.asarray(size(problem.known_inputs[:MANY], problem.known_fields[:MANY])).max())
    i = int(np.argmax(found))
    more = f"{found[i] / own:.3g} times as much" if own > 0 else "which they fulfil to the bit"
    return [
        *said,
        f"the relation residual(p, u) = 0 is off by up to {found[i]:.3g} in the surrogate's answers, at "
        f"{problem.inputs.named(P[i])}, and by up to {own:.3g} in the solutions themselves: {more}",
    ]
