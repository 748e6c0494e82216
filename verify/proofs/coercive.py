"""Symmetric coercive problems: the bounds of ``thomson.py`` for fields, those of ``reduced.py`` for coefficients.

    A(p) u = f(p),    A(p) = sum_q theta_q(p) A_q,    A_q positive semidefinite,    theta_q(p) > 0

Here is what both need of one problem: compiled programs, prescribed values put in place, the words for what the bounds
stand on and for why there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ...solvers.box import Box
from ...solvers.classes.coercive import CoerciveProblem
from ...solvers.foreign import SettingsChanged
from ...solvers.outputs import Output
from ..answers import fingerprint
from ..answers.evaluate import Model, answering_basis
from .bounds import ErrorBounds
from .coercive_reasons import without_bound, without_relative_bound
from .field_proof import FieldProof
from .primal_dual import bound_output
from .proof import ANY_FIELD, TRACED, BoxProof, ReducedProof
from .reduced import ReducedBound
from .thomson import bound_field, bound_polished, energy_norm

FEW = 64  # matrices of an affine problem that are hashed entry by entry


class CoerciveProof(FieldProof):
    """Bounds in the energy norm ||v||_A(p), by ``effort`` steps of conjugate gradients."""

    problem: CoerciveProblem

    @cached_property
    def assumptions(self) -> tuple[str, ...]:
        known = "by construction of the elements"
        if self.problem.indefiniteness is not None:
            known = "verified by factorisation up to rounding, for which the bounds are charged"
        given = "theta(p) and f(p) are what their functions give, to a few roundings of each entry"
        if self.problem.load_terms() is None:
            given += ": what cancels inside of them is not seen (load terms are)"
        return (
            f"A(p) = sum_q theta_q(p) A_q with every A_q symmetric positive semidefinite, {known}",
            "theta_q(p) > 0, checked at every input",
            given,
            *ANY_FIELD,
        )

    def bound_row(self, p: Array, v: Array, effort: int) -> ErrorBounds:
        return bound_field(self.problem, p, v, effort)[0]

    def polish_row(self, p: Array, v: Array, effort: int) -> tuple[Array, ErrorBounds]:
        return bound_polished(self.problem, p, v, effort)

    def norm_row(self, p: Array, v: Array) -> tuple[Array, Array]:
        return energy_norm(self.problem, p, v)

    def remarks(self, P: np.ndarray, U: np.ndarray, bounds: ErrorBounds, good: Bool[np.ndarray, " n"]) -> list[str]:
        absolute, relative = np.isfinite(np.asarray(bounds.upper)), np.isfinite(np.asarray(bounds.relative_upper))
        return [
            *without_bound(self.problem, P, U, np.flatnonzero(good & ~absolute)),
            *without_relative_bound(self.problem, P, np.flatnonzero(good & absolute & ~relative)),
        ]

    def why_no_output(self, output: Output) -> str:
        return ""

    def output_row(
        self, p: Array, v: Array, effort: int, output: Output, given: Any
    ) -> tuple[ErrorBounds, Array, Array]:
        return bound_output(self.problem, p, v, effort, output, given)

    def cost(self, n: int, effort: int) -> dict[str, float]:
        own = effort > 0 and self._preconditioned
        return {"reference_solves": float(n * (1 if own else effort + 1))}

    @cached_property
    def _preconditioned(self) -> bool:
        return self.problem.preconditioner(jnp.asarray(self.problem.reference_theta)) is not None

    def basis(self, model: Model) -> Float[np.ndarray, "N k"] | str:
        return answering_basis(self.problem, self.problem.free, model)

    def reduced(self, model: Model) -> ReducedProof | str:
        basis = self.basis(model)
        if isinstance(basis, str):
            return basis
        try:
            return CoerciveReduced(ReducedBound(self.problem, basis, model.coefficients))
        except SettingsChanged:
            raise
        except Exception as error:  # anything unusual about the basis: fall back on the field itself
            return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"

    def over_boxes(self, model: Model, inputs: Box, reduced: ReducedProof | str, scale: float) -> BoxProof | str:
        from ..boxes.box_proof import ReducedBoxes  # here: it imports ``measured_error``, which imports ``prover``

        if isinstance(reduced, CoerciveReduced) and reduced.bound.fine is None:
            return ReducedBoxes(self.problem, self.assumptions, reduced.bound, model, inputs, scale)
        if isinstance(reduced, CoerciveReduced):
            reduced = "this basis has too many modes, terms or unknowns for references to be combined"
        return f"proofs over boxes of {self.problem.name} need reduced coordinates: {reduced}"

    @property
    def box_assumptions(self) -> tuple[tuple[str, ...], ...]:
        return ((*self.assumptions, TRACED),)

    def statement(self) -> Iterable[np.ndarray | str]:
        """The matrices, or where they are many the one at the reference weights; weights and load as programs."""
        problem = self.problem
        few = len(problem.reference_theta) <= FEW
        for weights in np.eye(len(problem.reference_theta)) if few else problem.reference_theta[None]:
            term = problem.matrix(weights)
            yield from (term.indptr, term.indices, term.data)
        for function in (problem.theta, problem.load):
            yield fingerprint.of_program(fingerprint.trace(function, problem.inputs.dimension))


class CoerciveReduced(ReducedProof):
    """``reduced.py`` behind the door: one reference solve's bound first, then all references combined."""

    def __init__(self, bound: ReducedBound) -> None:
        self.bound = bound
        self.basis = bound.basis

    @property
    def notes(self) -> tuple[str, ...]:
        return self.bound.notes

    @property
    def stages(self) -> tuple[Callable[[Array, Array], ErrorBounds], ...]:
        # the data are constants of what is compiled: as arguments they moved the last bits of some lower bounds
        return (lambda p, c: self.bound.bound(p, c, 1), lambda p, c: self.bound.bound(p, c))

    def improve(self, p: Float[Array, " d"]) -> Float[Array, " k"]:
        """Galerkin in the basis."""
        return self.bound.galerkin(p)
