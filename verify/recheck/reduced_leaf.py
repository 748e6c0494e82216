"""The relative error of a surrogate in reduced coordinates over many small boxes, against one claim each.

The certificate of ``verify/proofs/reduced.py`` at every point of a box, by Taylor models: with weights w from the
box's centre

    ||e||_A <= E = (sum_q |h_q|^2 / theta_q)^(1/2) + defects,   h_q = T_q s,   T_q = F_q sum_k w_k tref_kq R_k
    ||u||^2 = c + ||e||^2,   c = 2 f.N - N.A N

The vectors h_q are polynomials by a product with T_q, so that what cancels in s does; their squares are scalar
polynomials, and "the error is at most b" is one inequality between scalars,

    F = (1 - b^2) E^2 - b^2 c <= 0,  c > 0      or, where c may be negative,      E^2 v'A v - b^2 (f.v)^2 <= 0

(v: the field at the centre), proved by its Bernstein control points (``claims.py``). Taken over from the reduced data:
their numbers and error bounds, the smallest eigenvalue over the leaf.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...solvers.precision import RANGE
from . import forms, functions
from .claims import Claim, LeafBound, Verdicts, axis_to_halve, returned
from .model import TINY, UP, Model, U, add, gamma, linear, mul, negative, scale, total


@dataclass
class ReducedLeaves(LeafBound):
    """``tape``: theta, load weights, coefficients of p; ``data``: of ``ReducedData``, by name."""

    def size(self) -> int:
        count, _, columns = self.data["solves"].shape
        Q, rank = self.data["factors"].shape[:2]
        n = len(self.space.degree)
        return (count + Q) * rank * columns + n * (columns + Q * rank + n)

    def _verdicts(self, low: np.ndarray, high: np.ndarray, b: np.ndarray, leaf: dict[str, np.ndarray]) -> Verdicts:
        data, where = self.data, self.space
        theta, phi, c = self._program(low, high)
        w = self._weights(theta.coefficients[0], phi.coefficients[0], c.coefficients[0])
        inverse = functions.reciprocal(theta)
        s = forms.outer(negative(theta), c)
        batch, n = len(low), len(where.degree)
        J = phi.shape[0]
        rows = np.zeros((batch, n, J + s.shape[0] * s.shape[1]))
        rows[:, : len(phi.coefficients), :J] = phi.coefficients.transpose(1, 0, 2)
        rows[:, :, J:] = s.coefficients.reshape(n, batch, -1).transpose(1, 0, 2)
        off = np.concatenate([phi.radius, s.radius.reshape(batch, -1)], axis=1)
        most = np.concatenate([phi.magnitude, s.magnitude.reshape(batch, -1)], axis=1)

        T, chain = self._transfer(w, most)
        Q, rank = data["factors"].shape[:2]
        h = rows @ T.transpose(0, 2, 1)
        stray = np.abs(T) @ (off + gamma(most.shape[1]) * most)[:, :, None]
        stray = (stray.reshape(batch, Q, rank) * UP + chain) ** 2
        least = theta.lower
        rest = np.sqrt((stray.sum(axis=2) / least).sum(axis=1)) * UP
        parts = [forms.squares(where, h[:, :, q * rank : (q + 1) * rank]) for q in range(Q)]
        error = total(mul(_stacked(parts), inverse), (0,))  # E^2 without its defects

        difference, lost = self._difference(theta, phi, c)
        floor, trusted = self._floor(w, theta, phi, c, most, leaf)
        factor = leaf["factor"]
        rest = (rest * factor + floor) * UP
        lost = lost + returned(error, rest, floor, factor)

        claim = Claim(error, difference, rest, lost, factor, b, leaf["scale"])
        holds, at_centre = claim.holds()
        G, more = self._by_one_field(claim, theta, phi, c.coefficients[0])
        holds |= forms.highest(G) + more <= 0
        hopeless = at_centre & ((G.coefficients[0] > G.radius) | (leaf["scale"] > 0))
        return Verdicts(holds & trusted, hopeless, axis_to_halve(claim.F, h, high - low))

    def _weights(self, theta: np.ndarray, phi: np.ndarray, c: np.ndarray) -> np.ndarray:
        """[B, K], nearly the best at the centres; they sum to one, the last being what the others leave."""
        data = self.data
        references, solves = data["references"], data["solves"]
        batch, count = len(theta), len(references)
        if count == 1:
            return np.ones((batch, 1))
        s = np.concatenate([phi, -(theta[:, :, None] * c[:, None]).reshape(batch, -1)], axis=1)
        x = np.einsum("krm,bm->bkr", solves, s, optimize=True)
        y = np.einsum("qrs,bks->bkqr", data["factors"], x, optimize=True)
        y = (y * (references[None] / np.sqrt(theta)[:, None])[..., None]).reshape(batch, count, -1)
        gram = np.nan_to_num(y @ y.transpose(0, 2, 1))
        trace = np.trace(gram, axis1=1, axis2=2)[:, None, None]
        gram = gram + (1e-12 * trace + TINY) * np.eye(count)
        size = 1 / np.sqrt(np.einsum("bkk->bk", gram))
        try:
            w = size * np.linalg.solve(gram * size[:, :, None] * size[:, None], size[..., None])[..., 0]
        except np.linalg.LinAlgError:
            w = np.full((batch, count), np.nan)
        w = w / w.sum(axis=1, keepdims=True)
        good = np.isfinite(w).all(axis=1) & (np.abs(w).sum(axis=1) < 1e3)
        w = np.where(good[:, None], w, np.eye(count)[-1])
        w[:, -1] = 1 - w[:, :-1].sum(axis=1)
        return w

    def _transfer(self, w: np.ndarray, most: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """T [B, Q r, m] as computed, and by how much T s may be off, [B, Q, r].

        That the weights sum to one only to rounding changes E by a share of |w| u: it is in ``chain`` twice over.
        """
        data = self.data
        factors, solves, references = data["factors"], data["solves"], data["references"]
        Q, rank = factors.shape[:2]
        count, _, columns = solves.shape
        flat = solves.reshape(count, -1)
        combined = np.empty((len(w), Q, rank, columns))
        size = np.empty_like(combined)
        for q in range(Q):
            by = w * references[:, q]
            combined[:, q] = (by @ flat).reshape(-1, rank, columns)
            size[:, q] = (np.abs(by) @ np.abs(flat)).reshape(-1, rank, columns)
        T = (factors @ combined).reshape(len(w), Q * rank, columns)
        sizes = (np.abs(factors) @ (size @ most[:, None, :, None]))[..., 0]
        return T, 4 * gamma(2 * rank + count + 8) * sizes * UP

    def _difference(self, theta: Model, phi: Model, c: Model) -> tuple[Model, np.ndarray]:
        """c = 2 f.N - N.A N of the exact coefficients, and what the errors of its data are worth."""
        data = self.data
        work = linear(c, "...k,jk->...j", data["load_mode"], c.shape[0])
        work = total(mul(phi, work), (0,))
        energies = _stacked([forms.energy(c, S) for S in data["stiffness"]])
        difference = add(scale(work, 2.0), negative(total(mul(theta, energies), (0,))))
        size = c.magnitude
        lost = 2 * (phi.magnitude * (size @ data["load_mode_error"].T)).sum(axis=1)
        lost = lost + (theta.magnitude * self._quadratic(data["stiffness_error"], size)).sum(axis=1)
        return difference, 1.01 * lost + TINY

    def _quadratic(self, matrices: np.ndarray, v: np.ndarray) -> np.ndarray:
        """v.Mv for every matrix and row, [B, Q]."""
        return np.stack([((v @ M) * v).sum(axis=1) for M in matrices], axis=1)

    def _floor(
        self, w: np.ndarray, theta: Model, phi: Model, c: Model, most: np.ndarray, leaf: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Defects of the data, the rounding of the surrogate and of the field V c; whether numbers are in range."""
        data, k = self.data, c.shape[0]
        low, high, size, sizes = theta.lower, theta.upper, c.magnitude, phi.magnitude
        largest = sizes.max(axis=1)
        trusted = (low >= 1 / RANGE).all(axis=1) & (high <= RANGE).all(axis=1) & (size.max(axis=1) <= RANGE**2)
        trusted &= (largest == 0) | ((largest >= 1 / RANGE) & (largest <= RANGE))
        trusted &= leaf["coercivity"] >= RANGE**-3
        defect = ((np.abs(w) @ data["defects"]) * most).sum(axis=1) / np.sqrt(leaf["coercivity"])
        stiffness = np.abs(data["stiffness"]) + data["stiffness_error"]
        own = np.sqrt((high * self._quadratic(stiffness, c.loss)).sum(axis=1))
        product = np.sqrt(high @ data["row_sums"]) * gamma(k + 4) * ((size + c.loss) @ data["mode_norms"])
        return (defect + own + product) * 1.01 + TINY, trusted

    def _by_one_field(self, claim: Claim, theta: Model, phi: Model, v: np.ndarray) -> tuple[Model, np.ndarray]:
        """E^2 v'A v - b^2 (f.v)^2, and what comes on top of it."""
        data, size = self.data, np.abs(v)
        k = v.shape[1]
        loads = v @ data["load_mode"].T
        off = size @ (data["load_mode_error"] + gamma(k) * np.abs(data["load_mode"])).T
        own = self._quadratic(data["stiffness"], v)
        own = own + self._quadratic(data["stiffness_error"] + gamma(2 * k) * np.abs(data["stiffness"]), size) * UP
        work = total(scale(phi, loads), (0,))
        stray = 1.01 * (phi.magnitude * off).sum(axis=1)
        least = total(scale(theta, own), (0,))
        square = forms.weighted(mul(work, work), claim.square)
        beside = claim.whole.coefficients.copy()  # (scale + ||u||)^2 >= scale^2 + ||u||^2
        beside[0] -= claim.square * claim.scale**2 * (1 - 1e-12)
        lowered = replace(claim.whole, coefficients=beside, radius=claim.whole.radius + 2 * U * np.abs(beside[0]))
        G = add(mul(lowered, least), negative(square))
        return G, (claim.extra * least.magnitude + claim.square * 2 * stray * work.magnitude) * UP


def _stacked(parts: list[Model]) -> Model:
    """Scalars as one vector."""
    n = max(len(m.coefficients) for m in parts)
    c = np.zeros((n, len(parts[0].radius), len(parts)))
    for i, m in enumerate(parts):
        c[: len(m.coefficients), :, i] = m.coefficients
    radius = np.stack([m.radius for m in parts], axis=1)
    return Model(parts[0].space, c, radius, np.zeros_like(radius))
