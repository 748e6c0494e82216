"""The relative error of a surrogate of Bratu's problem, lower branch, over many small boxes, against one claim each.

The theorem of ``verify/proofs/bratu.py`` at every p of a box at once, by Taylor models. v(t) = Z z(t) is the polynomial
that a chord iteration in the space Z of solutions finds in truncated series arithmetic, one order a step; any z will
do. With entrywise bounds over the box, phi >= |F(v)|, sigma >= lambda m e^v, and w = J(v0)^-1 m by elimination at the
centre, tau <= J(v) w,

    phi <= t0 tau,    t tau - sigma (e^(t w) - 1 - t w) >= phi    =>    |u - v| <= b = max(t, t0) w,
    ||u - v|| <= r = (|phi|_2 + |sigma (e^b - 1)|_2) / lambda_min(K)^(1/2),

the smallest eigenvalue of K in closed form. Then ||u - N|| <= ||v - N|| + r, with squares of norms
sum_a w_a |R_a [z; -c]|^2. Taken over: the space and the factors R_a, with their defects.
Reference: Collatz 1952; Makino and Berz 2003.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spl

from ...solvers.precision import RANGE
from . import forms, functions
from .claims import Verdicts
from .leaf_boxes import inputs
from .model import TINY, UP, Model, U, add, constant, gamma, linear, mul, negative, products, scale
from .solution_claim import Lengths, SolutionLeaves, polynomials

STARTS = 12  # Newton steps in the space at the centre
LARGEST = 100.0  # of a field
ENTRY = 64 * U  # relative, of a term of F or of J w as it is evaluated here, or as the problem means it


@dataclass
class BratuLeaves(SolutionLeaves):
    """``tape``: coefficients. ``data``: ``space`` [n, r], ``starts`` [s, r], ``places`` [s, d], ``factors`` [A, r+k,
    r+k], ``defects`` [A, r+k], ``orthogonality``, ``lengths`` [r+k]; ``cells``, ``mass``.
    """

    def size(self) -> int:
        return 12 * len(self.space.degree) * len(self.data["space"])

    @property
    def dimension(self) -> int:
        return len(self.data["factors"])

    @property
    def grid(self) -> tuple[int, ...]:
        return (int(self.data["cells"]) - 1,) * self.dimension

    def _verdicts(self, low: np.ndarray, high: np.ndarray, b: np.ndarray, leaf: dict[str, np.ndarray]) -> Verdicts:
        data, where = self.data, self.space
        p = inputs(where, self.ends, self.log, low, high, self.axes)
        strength = scale(p.moved(lambda x: x[..., 0]), float(data["mass"]))
        weights = self._weights(p)
        z = self._series(strength, weights, (low + high) / 2)
        z = np.where(np.isfinite(z), z, 0.0)
        r, known = self._radius(z, strength, weights)

        (c,) = self._program(low, high)
        exact = np.zeros((len(low), z.shape[2]))
        own, other = Model(where, z, exact, exact), negative(c)
        square_e, rest = self._squared([own, other], weights)
        square_u, lost = self._squared([own], weights)
        modes = c.shape[0]
        reach, length = c.magnitude + c.loss, data["lengths"]
        heaviest = np.sqrt(4 * sum(w.upper for w in weights)) * UP
        product = heaviest * gamma(modes + 16) * (reach @ length[-modes:])
        columns = np.sqrt((data["factors"] ** 2).sum(axis=1)) * UP  # [A, r+k]
        each = np.stack([np.sqrt(w.upper) * UP for w in weights], axis=1)
        program = (c.loss @ (columns[:, -modes:] + data["defects"][:, -modes:]).T * each).sum(axis=1)
        loose = 1 + 4 * float(data["orthogonality"]) + 1e-14
        trusted = known & (reach.max(axis=1) <= RANGE) & np.isfinite(r)
        r = np.where(trusted, r, 0.0)
        rest, lost = (rest + r + product + program) * loose * UP + TINY, (lost + r) * loose * UP + TINY
        error, size = forms.weighted(square_e, np.full(len(low), loose**2)), square_u
        h = polynomials(own, len(where.degree))
        shift = leaf["scale"]
        of = Lengths(error, forms.weighted(size, np.full(len(low), loose**-2)), rest, lost, shift, shift)
        return self._decided(of, h, b, trusted, high - low)

    def _weights(self, p: Model) -> list[Model]:
        """Of the axes, scalars [B]; known to ``ENTRY``."""
        if self.dimension == 1:
            return [constant(self.space, float(self.data["cells"]), len(p.radius))]
        a = p.moved(lambda x: x[..., 1])
        assert p.log is not None
        log = p.log.moved(lambda x: x[..., 1])
        return [a, functions.exp(negative(log))]

    def _squared(self, parts: list[Model], weights: list[Model]) -> tuple[Model, np.ndarray]:
        """sum_a w_a |R_a y|^2 of the polynomials of y, and what the norm may be off by beside."""
        data, where = self.data, self.space
        n = max(len(x.coefficients) for x in parts)
        rows = np.concatenate([polynomials(x, n) for x in parts], axis=2)
        radius = np.concatenate([x.radius for x in parts], axis=1)
        most = np.concatenate([x.magnitude for x in parts], axis=1)
        k = rows.shape[2]
        squares, stray = [], np.zeros(len(rows))
        for R, defect, weight in zip(data["factors"], data["defects"], weights, strict=True):
            F, lost = R[:, :k], defect[:k]
            h = rows @ F.T
            squares.append(mul(forms.squares(where, h), weight))
            apart = (np.abs(F) @ (radius + gamma(k) * most).T).T
            stray += weight.upper * (np.sqrt((apart**2).sum(axis=1)) + most @ lost) ** 2 * UP
        out = squares[0]
        for x in squares[1:]:
            out = add(out, x)
        return out, np.sqrt(stray) * UP

    # ---- v ---------------------------------------------------------------------------------------------------------

    def _stiff(self, v: np.ndarray, axis: int) -> np.ndarray:
        """Second differences along an axis of fields [..., n]."""
        grid = v.reshape(*v.shape[:-1], *self.grid)
        at = grid.ndim - self.dimension + axis
        around = np.pad(grid, [(int(i == at),) * 2 for i in range(grid.ndim)])
        return -np.diff(around, n=2, axis=at).reshape(v.shape)

    @cached_property
    def _matrices(self) -> list[sp.csr_matrix]:
        m = self.grid[0]
        line = sp.diags([np.full(m - 1, -1.0), np.full(m, 2.0), np.full(m - 1, -1.0)], [-1, 0, 1], format="csr")
        if self.dimension == 1:
            return [line]
        unit = sp.identity(m, format="csr")
        return [sp.kron(line, unit, format="csr"), sp.kron(unit, line, format="csr")]

    def _series(self, strength: Model, weights: list[Model], middle: np.ndarray) -> np.ndarray:
        """z [n, B, r]: power series of the Galerkin solution, box by box."""
        data, where = self.data, self.space
        Z, n = data["space"], len(self.space.degree)
        stiff = [self._stiff(Z.T, axis).T for axis in range(self.dimension)]
        reduced = [Z.T @ x for x in stiff]
        out = np.zeros((n, len(middle), Z.shape[1]))
        nearest = np.argmin(((middle[:, None] - data["places"][None]) ** 2).sum(axis=2), axis=1)
        for box in range(len(middle)):
            lam = strength.coefficients[:, box]
            weight = [w.coefficients[:, box] for w in weights]
            z = data["starts"][nearest[box]].copy()
            K = sum(w[0] * x for w, x in zip(weight, reduced, strict=True))
            for _ in range(STARTS):
                source = lam[0] * np.exp(np.minimum(Z @ z, LARGEST))
                J = K - Z.T @ (source[:, None] * Z)
                step = np.linalg.lstsq(J, K @ z - Z.T @ source, rcond=None)[0]
                z = z - step
                if not np.abs(step).max() > 1e-13 * np.abs(z).max():
                    break
            if not np.isfinite(z).all():
                continue
            inverse = np.linalg.pinv(J)
            series = np.zeros((n, Z.shape[1]))
            series[0] = z
            for order in range(1, where.order + 1):
                count = int(where.count[order])
                F = -products(where, lam[:, None], self._exponential(series[:count] @ Z.T, order), order) @ Z
                for w, x in zip(weight, reduced, strict=True):
                    F = F + products(where, w[:, None], series[:count] @ x, order)
                first = int(where.count[order - 1])
                series[first:count] -= F[first:count] @ inverse.T
            out[:, box] = series
        return out

    def _exponential(self, v: np.ndarray, order: int) -> np.ndarray:
        """exp of polynomials [n, N], cut."""
        where = self.space
        rest = v.copy()
        rest[0] = 0.0
        out = np.ones((1, v.shape[1]))
        for k in range(order, 0, -1):
            out = products(where, out, rest / k, order)
            out[0] += 1.0
        return out * np.exp(np.minimum(v[0], LARGEST))

    # ---- r ---------------------------------------------------------------------------------------------------------

    def _radius(self, z: np.ndarray, strength: Model, weights: list[Model]) -> tuple[np.ndarray, np.ndarray]:
        """At least ||u - v|| over each box, and whether the theorem holds."""
        Z = self.data["space"]
        v = linear(Model(self.space, z, np.zeros(z.shape[1:]), np.zeros(z.shape[1:])), "...k,kx->...x", Z.T, Z.shape[1])
        fine = (v.magnitude <= LARGEST).all(axis=1) & (strength.lower > 1 / RANGE) & (strength.upper < RANGE)
        for w in weights:
            fine &= (w.lower > 1 / RANGE) & (w.upper < RANGE)
        source = mul(_wide(strength), functions.exp(v))
        F = negative(source)
        sizes = source.magnitude
        for axis, w in enumerate(weights):
            part = Model(
                self.space,
                self._stiff(v.coefficients, axis),
                4
                * (v.radius.max(axis=1, keepdims=True) + 4 * U * v.polynomial.max(axis=1, keepdims=True))
                * np.ones_like(v.radius),
                np.zeros_like(v.radius),
            )
            F = add(F, mul(_wide(w), part))
            sizes = sizes + 4 * w.upper[:, None] * v.magnitude.max(axis=1, keepdims=True)
        phi = (F.magnitude + ENTRY * sizes) * UP + TINY
        sigma = source.upper * (1 + ENTRY)
        r, known = np.full(len(fine), np.inf), fine.copy()
        for box in np.flatnonzero(fine):
            r[box], known[box] = self._one(
                phi[box], sigma[box], source.coefficients[0, box], [(w.lower[box], w.upper[box]) for w in weights]
            )
        return r, known

    def _one(
        self, phi: np.ndarray, sigma: np.ndarray, source: np.ndarray, ends: list[tuple[float, float]]
    ) -> tuple[float, bool]:
        """The theorem on one box; ``ends``: of the axes' weights."""
        right = np.full(len(phi), float(self.data["mass"]))
        K = sum((low + high) / 2 * x for (low, high), x in zip(ends, self._matrices, strict=True))
        w = spl.spsolve((K - sp.diags(source)).tocsc(), right)
        if not (np.isfinite(w).all() and (w > 0).all()):
            return np.inf, False
        slope = -sigma * w
        for axis, (low, high) in enumerate(ends):
            second = self._stiff(w, axis)
            slope = slope + np.minimum(low * second, high * second) - 8 * ENTRY * high * w.max()
        slope = slope - 4 * ENTRY * sigma * w
        if not (slope > 0).all():
            return np.inf, False
        t0 = float((phi / slope).max()) * (1 + 1e-12)
        t = t0
        for _ in range(40):  # any t that passes will do
            x = t * w * (1 + 1e-12)
            short = phi + sigma * 0.5 * x**2 * np.exp(np.minimum(x, LARGEST)) * (1 + 1e-12)
            new = float((short / slope).max()) * (1 + 1e-12)
            if new <= t and x.max() < LARGEST:
                break
            t = new * (1 + 1e-9)
        else:
            return np.inf, False
        grown = sigma * np.expm1(t * w * (1 + 1e-12)) * (1 + 1e-12)
        n = int(self.data["cells"])
        least = sum(low for low, _ in ends) * 4 * np.sin(np.pi / (2 * n)) ** 2 * (1 - 1e-12)
        return float((np.linalg.norm(phi) + np.linalg.norm(grown)) * (1 + 1e-11) / np.sqrt(least)), True


def _wide(a: Model) -> Model:
    return a.moved(lambda x: x[..., None])
