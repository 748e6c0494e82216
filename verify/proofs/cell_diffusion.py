"""Diffusion with one coefficient per cell: as ``coercive.py``, and over boxes by fluxes that balance the load.

The theorem of the fluxes stands in ``boxes/fluxes/box_flux.py``. It needs weights whose logarithms are affine in the
inputs, and no matrices of few terms.
"""

from __future__ import annotations

from ...solvers.box import Box
from ...solvers.classes.diffusion import CellDiffusion
from ..answers.evaluate import Model
from .coercive import CoerciveProof
from .proof import BoxProof, ReducedProof


class CellDiffusionProof(CoerciveProof):
    problem: CellDiffusion

    def over_boxes(self, model: Model, inputs: Box, reduced: ReducedProof | str, scale: float) -> BoxProof | str:
        from ..boxes.box_proof import FluxBoxes  # here for the same reason as in ``CoerciveProof``
        from ..boxes.fluxes.flux_path import flux_path

        if not isinstance(reduced, str):
            return super().over_boxes(model, inputs, reduced, scale)
        basis = self.basis(model)
        if isinstance(basis, str):
            return f"proofs over boxes need a basis in which the surrogate answers: {basis}"
        path = flux_path(self.problem, model, basis, scale)
        return path if isinstance(path, str) else FluxBoxes(self.assumptions, path, inputs)

    @property
    def box_assumptions(self) -> tuple[tuple[str, ...], ...]:
        from ..boxes.fluxes.flux_path import BY_FLUXES

        (reduced,) = super().box_assumptions
        return reduced, (*reduced, BY_FLUXES)
