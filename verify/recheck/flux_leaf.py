"""The relative error of a surrogate by fluxes over many small boxes, against one claim each: one coefficient per cell.

For any flux y and N = V c(p), A(p) = B' diag(a(p)) B, log a affine (the theorem: ``verify/boxes/fluxes/box_flux.py``)

    ||u - N||_A <= E = || a^(-1/2) y - a^(1/2) B N ||_2 + || f - B'y ||_2 / lambda_min(A)^(1/2)

y = y_0 + Psi mu with a polynomial mu, fitted to the best multipliers at a few points of the box; any mu is valid. All
cells' entries are Taylor models, their sum of squares is a scalar one, and the claim an inequality (``claims.py``).
Taken over: the family's and the modes' numbers with their error bounds, log a and the smallest eigenvalue of B'B.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import qmc

from ...solvers.precision import RANGE
from ..boxes.fluxes.flux_data import FLUX_NORM
from . import forms, functions
from .claims import Claim, LeafBound, Verdicts, axis_to_halve, returned
from .leaf_boxes import scaled
from .model import TINY, UP, Model, add, constant, gamma, linear, mul, negative, scale

FIT = 3  # degree of the multipliers' polynomials


@dataclass
class FluxLeaves(LeafBound):
    """``tape``: the coefficients of p; ``data``: of ``FluxData`` and its family, by name."""

    def size(self) -> int:
        return 8 * len(self.space.degree) * 3 * self.data["centre"].shape[-1]

    def _verdicts(self, low: np.ndarray, high: np.ndarray, b: np.ndarray, leaf: dict[str, np.ndarray]) -> Verdicts:
        data, where, beside = self.data, self.space, leaf["scale"]
        (c,) = self._program(low, high)
        exponent = self._exponent(low, high)
        roots = [functions.exp(scale(exponent, sign / 2)) for sign in (-1.0, 1.0)]
        largest = [r.upper.max(axis=1) for r in roots]
        mu = self._multipliers(exponent)
        batch, C = len(low), exponent.shape[0]
        multipliers = np.concatenate([np.ones((batch, 1)), np.abs(mu).sum(axis=1) * UP], axis=1)

        flux = (mu @ data["family_modes"].reshape(mu.shape[2], -1)).transpose(1, 0, 2)
        flux[0] += data["family_start"].reshape(-1)
        exact = np.zeros((batch, 3, C))
        y = Model(where, flux.reshape(-1, batch, 3, C), exact, exact)
        v = linear(c, "...k,kx->...x", data["modes"].reshape(c.shape[0], -1), c.shape[0])
        v = v.moved(lambda x: x.reshape((*x.shape[:-1], 3, C)))
        one, other = (r.moved(lambda x: x[..., None, :]) for r in roots)
        energy = mul(other, v)
        g = add(mul(one, y), negative(energy))

        size, reach = c.magnitude, c.magnitude + c.loss
        formed = largest[0] * gamma(mu.shape[2] + 2) * (multipliers @ data["family_sizes"])
        moded = largest[1] * (size @ data["mode_errors"])
        defect = largest[0] * (multipliers @ data["family_defects"]) / np.sqrt(data["coercivity"])
        own = c.loss @ data["mode_fluxes"] + gamma(c.shape[0] + 4) * FLUX_NORM * (reach @ data["mode_norms"])
        floor = 1.01 * (largest[1] * own + defect) + TINY
        rest = (np.sqrt((g.radius**2).sum(axis=(1, 2))) + formed + moded + floor) * UP

        h = np.ascontiguousarray(g.coefficients.reshape(len(g.coefficients), batch, -1).transpose(1, 0, 2))
        error = forms.squares(where, h)
        difference, lost = self._difference(c, energy, moded)
        factor = np.ones(batch)
        claim = Claim(error, difference, rest, lost + returned(error, rest, floor, factor), factor, b, beside)
        holds, at_centre = claim.holds()
        below = np.sqrt(self._energy_below(c.coefficients[0], roots[1])) * (1 - 1e-15)
        by_one_field = claim.square * (beside + below) ** 2 * (1 - 1e-14)
        holds |= (forms.highest(claim.whole) + claim.extra) * UP <= by_one_field
        trusted = (np.maximum(*largest) <= np.sqrt(RANGE)) & (size.max(axis=1) <= RANGE**2)
        hopeless = at_centre & (claim.whole.coefficients[0] - claim.whole.radius > by_one_field * (1 + 1e-9))
        return Verdicts(holds & trusted, hopeless, axis_to_halve(claim.F, h, high - low))

    def _exponent(self, low: np.ndarray, high: np.ndarray) -> Model:
        """log a [C]."""
        data, where = self.data, self.space
        away = add(scaled(where, self.ends, low, high), constant(where, -data["at"]))
        z = linear(away, "...d,dc->...c", data["slopes"], len(self.log))
        z = add(z, constant(where, data["centre"]))
        stray = away.magnitude @ data["slopes_error"] + data["centre_error"]
        return Model(where, z.coefficients, (z.radius + stray) * UP, np.zeros_like(z.radius))

    @cached_property
    def _fit(self) -> tuple[np.ndarray, np.ndarray]:
        """Points of [-1, 1]^d, and the matrix from values there to the coefficients of a polynomial close to them."""
        where = self.space
        n = where.count[min(FIT, self.order)]
        points = 2 * qmc.Sobol(where.d, scramble=True, rng=0).random_base2(int(np.ceil(np.log2(2 * n)))) - 1
        monomials = np.prod(points[:, None] ** where.exponents[None, :n], axis=2)
        return points, np.linalg.pinv(monomials)

    def _multipliers(self, exponent: Model) -> np.ndarray:
        """Coefficients [B, n, r] of mu: whatever they are, the bound is valid."""
        data = self.data
        points, fit = self._fit
        d, batch = points.shape[1], exponent.radius.shape[0]
        slopes = exponent.coefficients[1 : 1 + d]
        inverse = np.exp(-(exponent.coefficients[0][:, None] + np.einsum("nd,dbc->bnc", points, slopes)))
        r = data["family_modes"].shape[0]
        gram = data["family_gram"]
        small = (inverse @ data["family_terms"].T).reshape(-1, len(gram)) @ gram.reshape(len(gram), -1)
        small = np.nan_to_num(small.reshape(-1, r, r + 1))
        left = small[:, :, :r]
        left = left + (1e-14 * np.trace(left, axis1=1, axis2=2) + TINY)[:, None, None] * np.eye(r)
        try:
            mu = np.linalg.solve(left, small[:, :, r:])[..., 0]
        except np.linalg.LinAlgError:
            mu = np.zeros((len(left), r))
        return np.nan_to_num(fit @ mu.reshape(batch, len(points), r))

    def _difference(self, c: Model, energy: Model, moded: np.ndarray) -> tuple[Model, np.ndarray]:
        """2 f.N - N.A N of the exact coefficients, and what the errors of its data are worth."""
        data = self.data
        work = linear(c, "...k,k->...", data["load_modes"], c.shape[0])
        flat = np.ascontiguousarray(
            energy.coefficients.reshape(len(energy.coefficients), len(moded), -1).transpose(1, 0, 2)
        )
        difference = add(scale(work, 2.0), negative(forms.squares(c.space, flat)))
        off = (np.sqrt((energy.radius**2).sum(axis=(1, 2))) + moded) * UP
        size = np.sqrt((energy.polynomial**2).sum(axis=(1, 2))) * UP
        lost = 2 * (c.magnitude @ data["load_modes_error"]) + (2 * size + off) * off
        return difference, 1.01 * lost + TINY

    def _energy_below(self, v: np.ndarray, root: Model) -> np.ndarray:
        """||u||^2 from below, (f.N0)^2 / sup N0.A N0 of the field at the centre."""
        data, size = self.data, np.abs(v)
        k = v.shape[1]
        work = np.abs(v @ data["load_modes"])
        work = work - 1.01 * (size @ data["load_modes_error"] + gamma(k) * (size @ np.abs(data["load_modes"])))
        gradient = (v @ data["modes"].reshape(k, -1)).reshape(len(v), 3, -1)
        off = size @ data["mode_errors"] + gamma(k) * (size @ data["mode_fluxes"])
        most = np.sqrt((root.upper[:, None] ** 2 * gradient**2).sum(axis=(1, 2))) + root.upper.max(axis=1) * off
        return np.where(work > 0, np.maximum(work, 0.0) ** 2 / (most**2 * (1 + 1e-11) + TINY), 0.0) * (1 - 1e-12)
