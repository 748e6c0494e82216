"""The basis that a network's fields are projected on, and what of them a projection keeps.

    c = V'M u,    answer V c,    M the inner product of the basis (``pod.py``)

Prescribed values stay: a lift stands for them. Symmetries stay where V spans the same space after every motion g of the
group, and M is the same: then the projection commutes with g. V is therefore the POD basis of the snapshots and their
images; and as a cut through modes of one size, or rounding, may still tell g V from V, what is kept is

    the eigenvectors of mean_g P_g, P_g the projector on g V, whose eigenvalues are near one

those that all g V have in common. The projectors' mean commutes with every g, and its eigenvalues of one lie apart from
the others, so that this is exact to rounding; modes that a cut tears from their images go, and V has fewer. What a
scheme conserves is kept by no such basis.
Reference: Serre, Linear Representations of Finite Groups (1977), chapter 2 (the mean over a group).
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from ...solvers.problem import Problem
from ..training.pod import Data, inner_product, pod, too_many
from ..training.residual_loss import conserves
from ..training.symmetric import EXACT

COMMON = 0.75  # eigenvalue from which a mode is in all images; of one of two that turn into each other it is 1/2
TOLERANCE = 1e-9  # of the POD
SAME = 1e-12  # of an inner product and its image, relative


def check_projection(problem: Problem, modes: int, constraints: str) -> None:
    """
    Raises:
        ValueError: it would break what is to be built in.
    """
    if modes and constraints == "hard" and conserves(problem):
        raise ValueError(
            f"projected on modes a field does not keep what {problem.name} conserves: leave project at 0, or what is "
            'conserved to the loss with constraints="soft"'
        )


def projection(problem: Problem, data: Data, modes: int, symmetry: str) -> dict[str, np.ndarray]:
    """The basis V [N, k] of at most so many modes, and its dual M V; nothing without modes.

    Raises:
        ValueError: no such basis keeps the symmetries that are to be kept exactly.
    """
    if not modes:
        return {}
    V = _common(problem, data, modes) if symmetry in EXACT else pod(data, TOLERANCE, modes)
    return {"basis": V, "dual": _dual(data, V)}


def fewer(problem: Problem, data: Data, modes: int, found: int, symmetry: str) -> list[str]:
    """A sentence where the basis has fewer modes than were asked for."""
    if symmetry not in EXACT or found >= modes:
        return too_many("project", modes, data, found, exactly=True)
    return [
        f"of project={modes} modes only {found} {'has' if found == 1 else 'have'} the symmetries of {problem.name} "
        f"together, the others being without their images or not in the snapshots: take project={found}, or more than "
        f"{modes}"
    ]


def _dual(data: Data, V: Float[np.ndarray, "N k"]) -> Float[np.ndarray, "N k"]:
    dual = np.zeros_like(V)
    dual[data.free] = inner_product(data.problem)(V[data.free])
    return dual


def _common(problem: Problem, data: Data, modes: int) -> Float[np.ndarray, "N k"]:
    """The basis of the snapshots and their images, as far as it is that of its images."""
    motions = [g.entries for g in problem.symmetries]
    if not all(_keeps(data, entries) for entries in motions):
        raise ValueError(
            f"the inner product of {problem.name}'s modes does not have its symmetries, so that no projection keeps "
            "them: leave project at 0, or symmetry at 'none' or 'soft'"
        )
    images = np.concatenate([data.fields[:, entries] for entries in motions])
    V = pod(dataclasses.replace(data, fields=images, norms=np.tile(data.norms, len(motions))), TOLERANCE, modes)
    for _ in range(2):  # once more against rounding
        W = np.concatenate([V[entries] for entries in motions], axis=1) / np.sqrt(len(motions))
        values, vectors = np.linalg.eigh(W.T @ _dual(data, W))
        common = values > COMMON
        V = (W @ vectors[:, common]) / np.sqrt(values[common])
    if not V.shape[1]:
        raise ValueError(
            f"no basis of project={modes} mode{'s' * (modes > 1)} has the symmetries of {problem.name}, since modes "
            f"that turn into each other stay together: take project={modes + 1} or more"
        )
    return V


def _keeps(data: Data, entries: Int[np.ndarray, " N"]) -> bool:
    """Whether a motion leaves the inner product as it is."""
    M, free = data.problem.energy_matrix, data.free
    if not np.array_equal(free[entries], free):
        return False
    if M is None:
        return True
    order = (np.cumsum(free) - 1)[entries[free]]
    return bool(abs(M[order][:, order] - M).max() <= SAME * abs(M).max())
