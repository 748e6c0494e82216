"""Rows that nothing was fitted to: how wrong a network of fields and baselines that cost nothing are there, each as it
answers.

Errors are relative, in the problem's own norm whatever norm the loss has: the one that they are told in everywhere
else. A network is asked for its answers, so that what it is projected on counts. Baselines get the values that the
problem prescribes, as ``train`` gives them, also where a network leaves these to its loss; what a scheme conserves is
not built into them.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ...solvers.problem import Problem

TOO_FEW = (
    "{n} snapshots are too few to leave any out, so that nothing is known of this network beside baselines that cost "
    "nothing: take {enough} or more"
)
FEW_SOLVED = (
    "only {n} solves of its own succeeded, too few to leave any out, so that nothing is known of this network beside "
    "baselines that cost nothing: train it on snapshots, too"
)


class LeftOut:
    """Inputs P [h, d], their solutions U [h, N], and what errors there are divided by."""

    def __init__(self, problem: Problem, P: np.ndarray, U: np.ndarray, sizes: np.ndarray) -> None:
        self.P, self._known = P, (jnp.asarray(P), jnp.asarray(U), jnp.asarray(sizes))

        def mean_error(fields: Array, P: Array, U: Array, sizes: Array) -> Float[Array, ""]:
            return jnp.mean(relative(problem, P, fields - U, sizes))

        def prescribed(fields: Array, P: Array, U: Array, sizes: Array) -> Float[Array, ""]:
            return mean_error(jax.vmap(problem.prescribe)(P, fields), P, U, sizes)

        self._answered, self._baseline = jax.jit(mean_error), jax.jit(prescribed)

    def __len__(self) -> int:
        return len(self.P)

    def error(self, fields: Float[np.ndarray, "h N"]) -> float:
        """The mean error of answers."""
        return float(self._answered(fields, *self._known))

    def baseline_error(self, fields: Float[np.ndarray, "h N"]) -> float:
        """The mean error of a baseline's fields, before anything is prescribed."""
        return float(self._baseline(fields, *self._known))


def relative(
    problem: Problem, P: Float[Array, "n d"], away: Float[Array, "n N"], sizes: Float[Array, " n"]
) -> Float[Array, " n"]:
    """Sizes of differences by ``sizes``, with derivatives also where there is no difference and the norm has none."""
    none = jnp.all(away == 0, axis=1)
    found = jax.vmap(problem.norm)(P, jnp.where(none[:, None], 1.0, away)) / sizes
    return jnp.where(none, 0.0, found)


def sizes_of(problem: Problem, norm: str, P: np.ndarray, U: np.ndarray) -> Float[np.ndarray, " n"]:
    """What errors of these solutions are divided by: their magnitudes, in the problem's norm or in "l2"; where that
    says nothing the scale of zero, or of a field that is zero the root mean square of the others.
    """
    if norm == "l2":
        found, least = np.linalg.norm(U, axis=1), 0.0
    else:
        magnitudes = jax.jit(lambda P, U: lax.map(lambda row: problem.magnitude(row[0], row[1]), (P, U)))
        found, least = np.asarray(magnitudes(P, U)), problem.zero_scale
    small = found <= least  # never a size that is no number
    if least or not small.any():
        return np.where(small, least, found)
    return np.where(small, 1.0 if small.all() else np.sqrt(np.mean(found[~small] ** 2)), found)
