"""The region where a trust map has proved the surrogate, as a guard uses it: an answer inside carries its leaf's bound.

A map is a proof about one problem and about one program, which turns inputs into coefficients in one basis. Its bounds
hold for the answers of that program on that problem and for no others. So before any of them is believed, problem and
surrogate must have the hashes that the map carries; and the guard's answers come from the program as it was hashed,
frozen here: what the surrogate's object does afterwards is without effect. The numbers of the bounds are taken from the
file as they stand; ``audit`` proves them again.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from ...solvers.problem import Problem
from ..answers.evaluate import captured
from ..answers.frozen import Frozen
from ..proofs.prover import proof_of
from .map_checks import check_map, check_statement
from .trust_map import TrustMap

FROM_THE_MAP = (
    "rows inside the trust map carry its leaves' bounds, which were not proved again here (`audit` does that)"
)


class ProvedRegion:
    """The bounds of a map for the answers of one surrogate.

    ``model`` is the frozen surrogate, whose answers the bounds are about; ``upper(P)`` are proved bounds of ||e|| /
    (scale + ||u||) of their errors e; ``assumptions`` are what these stand on.

    Args:
        trust: the map; a copy is kept.
        scale: of the guard's errors. A map with a smaller one, whose bounds are larger, serves as well.
        label: what messages call the map, such as its file.

    Raises:
        ValueError: the map says what cannot be, or is about another problem or surrogate, saying what differs; or it
            proves nothing.
    """

    def __init__(self, problem: Problem, surrogate: Any, trust: TrustMap, scale: float, label: str) -> None:
        trust = trust.copied()
        check_map(trust)
        if trust.scale > scale:
            raise ValueError(
                f"{label} allows {trust.absolute:.3g} beside its tolerance {trust.tolerance:g}, more than this guard "
                "does: guard with the same tolerance and absolute, or without the map"
            )
        self.scale = trust.scale
        self._bound = np.where(trust.axis < 0, trust.bound, np.inf)
        if not np.isfinite(self._bound).any():
            why = f" ({'; '.join(trust.notes)})" if trust.notes else ""
            raise ValueError(f"{label} proves nothing{why}: guard without it")
        check_statement(trust, problem, label)
        surrogate = captured(surrogate)
        basis = proof_of(problem).basis(surrogate)
        if isinstance(basis, str):
            raise ValueError(
                f"{label} is about a basis and its coefficients, with which this surrogate does not answer: {basis}"
            )
        self.model = model_of(trust, problem, surrogate, label, basis)
        self._lookup = trust.lookup
        self.assumptions = (*trust.assumptions, FROM_THE_MAP)

    def upper(self, P: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """The bound of the leaf of every row; infinite outside the map's box and where no bound is known."""
        leaf = self._lookup(P)
        return np.where(leaf >= 0, self._bound[leaf], np.inf)


def model_of(
    trust: TrustMap, problem: Problem, surrogate: Any, label: str, basis: Float[np.ndarray, "N k"] | None = None
) -> Frozen:
    """The surrogate, frozen, if it is the one that the map is about. ``basis``: to be used in place of its own.

    Raises:
        ValueError: it is not the one that the map is about.
    """
    try:
        model = Frozen(surrogate, problem.inputs.dimension, basis)
    except (AttributeError, jax.errors.JAXTypeError) as error:
        why = str(error).partition("\n")[0]
        raise ValueError(
            f"{label} is a proof about another surrogate: this one has no basis with coefficients in JAX "
            f"({type(error).__name__}: {why})"
        ) from None
    if trust.model_hash != model.hash:
        raise ValueError(
            f"{label} is a proof about another surrogate: its weights, basis or program differ (what another version "
            "of JAX makes of a function counts as another program)"
        )
    return model
