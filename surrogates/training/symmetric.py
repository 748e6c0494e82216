"""The symmetries that a problem declares, exactly kept by any network.

    u(p[inputs_g]) = u(p)[entries_g] for all motions g of a group:

    average     net'(p) = mean_g net(p[inputs_g])[entries_g^-1]: as smooth as the network, at |g| times its cost
    canonical   net'(p) = net(p[inputs_c])[entries_c^-1], c the one whose p[inputs_c] is last in the order of words: at
                its own cost, exact to the bit, and with jumps of the size of its error where two motions tie

A network that keeps them need not learn the same solution |g| times.
Reference: Murphy et al. 2019 (averages); Kaba et al. 2023 (canonical forms).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...solvers.problem import Problem

WAYS = ("none", "average", "canonical")
Fields = Callable[[Array], Array]  # [n, d] -> [n, N]


def group_arrays(problem: Problem, way: str) -> dict[str, np.ndarray]:
    """What a surrogate keeps of the group: the motions of the inputs, and what undoes those of the entries.

    Raises:
        ValueError: the problem declares no symmetries.
    """
    if way == "none":
        return {}
    if not problem.symmetries:
        raise ValueError(f"{problem.name} declares no symmetries: leave symmetry at 'none'")
    back = [np.argsort(g.entries) for g in problem.symmetries]
    return {"norm.group.inputs": np.stack([g.inputs for g in problem.symmetries]), "norm.group.back": np.stack(back)}


def symmetrised(fields: Fields, way: str, arrays: Mapping[str, Any], P: Float[Array, "n d"]) -> Float[Array, "n N"]:
    """Fields that keep the group of ``arrays``."""
    if way == "none":
        return fields(P)
    inputs, back = jnp.asarray(arrays["norm.group.inputs"]), jnp.asarray(arrays["norm.group.back"])
    moved = P[:, inputs]
    if way == "average":
        U = fields(moved.reshape(-1, P.shape[1])).reshape(len(P), len(inputs), -1)
        return jnp.take_along_axis(U, back[None], axis=2).mean(axis=1)
    last = jax.vmap(lambda rows: jnp.lexsort(rows.T[::-1])[-1])(moved)
    U = fields(jnp.take_along_axis(moved, last[:, None, None], axis=1)[:, 0])
    return jnp.take_along_axis(U, back[last], axis=1)
