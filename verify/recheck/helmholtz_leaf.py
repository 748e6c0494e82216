"""The relative error of a surrogate of Helmholtz's equation over many small boxes, against one claim each.

In discrete sines e^ = f^ / (lambda - kappa) - V^ c (the theorem: ``verify/proofs/helmholtz.py``), by Taylor models.
With kappa = kappa_0 + delta, delta(t) small and G = lambda - kappa_0,

    1 / (lambda - kappa) = sum_(j <= m) delta^j / G^(j+1) + R,    |R| <= rho^(m+1) / (|G| (1 - rho)),

rho = |delta| / |G|, so that one row of powers of delta serves all waves. Where rho is not below one nothing is proved:
a box with an undamped resonance is so. Everything is multiplied by lambda_r - kappa of the strongest wave, which the
quotient does not see. Taken over: the sine matrix, a closed form, and its rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...solvers.precision import RANGE
from . import forms
from .claims import Verdicts
from .leaf_boxes import inputs
from .model import TINY, UP, Model, U, add, gamma, linear, mul, negative, padded, scale
from .solution_claim import Lengths, SolutionLeaves, off, polynomials, shortened
from .space import Space

FEW = 64 * U  # relative, of eigenvalues, of kappa, of theta(p) and the load as they are computed
NORM = 3.0  # at least (lambda + h^2)^(1/2)


@dataclass
class HelmholtzLeaves(SolutionLeaves):
    """``tape``: bells along x and y, coefficients. ``data``: ``sines`` [m, m], ``along`` [m], ``modes`` [2, k, m m] of
    V^ without weights, ``lengths`` [k] of V, ``eps``, ``area``, ``strength``: what the bells' product is multiplied by.
    """

    def size(self) -> int:
        return 24 * len(self.space.degree) * len(self.data["along"]) ** 2

    def _verdicts(self, low: np.ndarray, high: np.ndarray, b: np.ndarray, leaf: dict[str, np.ndarray]) -> Verdicts:
        data, where = self.data, self.space
        eps, V = float(data["eps"]), data["modes"]
        eigenvalues = (data["along"][:, None] + data["along"][None, :]).ravel()
        root = np.sqrt(eigenvalues + float(data["area"]))
        p = inputs(where, self.ends, self.log, low, high, self.axes)
        k2, damping = (p.moved(lambda x, i=i: x[..., i]) for i in (0, 1))
        real, loss = scale(k2, float(data["area"])), scale(mul(k2, damping), float(data["area"]))
        *bells, c = self._program(low, high)
        load, load_size, load_off = self._load(bells)

        a0, l0 = real.coefficients[0][:, None], loss.coefficients[0][:, None]
        strength = (root * load.coefficients[0]) ** 2 / ((eigenvalues - a0) ** 2 + l0**2 + TINY)
        resonance = eigenvalues[np.argmax(strength, axis=1)]
        factor = _added(negative(real), resonance)  # of lambda_r - kappa, the real part
        far = np.sqrt(factor.magnitude**2 + loss.magnitude**2) * UP
        kappa = real.magnitude + loss.magnitude
        mu, mu_r = 2 * FEW * (eigenvalues + kappa[:, None]), 2 * FEW * (resonance + kappa)
        one, other, near = self._inverse(real, loss, eigenvalues, mu)

        q = [x.moved(lambda v: v[..., None]) for x in (factor, negative(loss))]
        part = [mul(x, load) for x in (one, other)]
        y = [
            add(mul(q[0], part[0]), negative(mul(q[1], part[1]))),
            add(mul(q[0], part[1]), mul(q[1], part[0])),
        ]
        turned = [mul(x, c) for x in q]
        N = [
            add(_by(turned[0], V[0]), negative(_by(turned[1], V[1]))),
            add(_by(turned[0], V[1]), _by(turned[1], V[0])),
        ]
        g = [scale(add(x, negative(v)), root) for x, v in zip(y, N, strict=True)]
        y = [scale(x, root) for x in y]

        ratio = far[:, None] / np.maximum(near, TINY)
        stray = (mu_r[:, None] + 2 * mu * ratio) / np.maximum(near, TINY)  # of y, beside f^'s own error
        beside = np.sqrt(((root * load.magnitude * stray) ** 2).sum(axis=1)) + (root * ratio).max(axis=1) * load_off
        reach, rows = c.magnitude + c.loss, NORM * data["lengths"]
        own = far * (c.loss @ rows + (2 * eps + gamma(2 * len(rows) + 64) + 4 * FEW) * (reach @ rows))
        own = own + 2 * mu_r * (reach @ rows)
        lost = (np.sqrt(off(y[0]) ** 2 + off(y[1]) ** 2) + beside) * UP + TINY
        rest = (np.sqrt(off(g[0]) ** 2 + off(g[1]) ** 2) + beside + own) * UP + TINY
        h, s = (np.concatenate([polynomials(x, len(where.degree)) for x in pair], axis=2) for pair in (g, y))
        apart = np.maximum(np.maximum(factor.lower, -factor.upper), 0.0)
        least = np.maximum(np.sqrt(apart**2 + np.maximum(loss.lower, 0.0) ** 2) * (1 - 1e-14) - mu_r, 0.0)
        trusted = (near > 0).all(axis=1) & (reach.max(axis=1) <= RANGE) & (load_size <= RANGE) & (real.lower > 0)
        shift = leaf["scale"]
        of = Lengths(forms.squares(where, h), forms.squares(where, s), rest, lost, shift * least, shift * far * UP)
        return self._decided(of, h, b, trusted, high - low)

    def _load(self, bells: list[Model]) -> tuple[Model, np.ndarray, np.ndarray]:
        """f^ [B, M], a bound of its length, and what it may be off by beside its radius, in the 2-norm."""
        data, strength = self.data, float(self.data["strength"])
        hats = [shortened(linear(x, "...k,kx->...x", data["sines"], len(data["along"]))) for x in bells]
        one, other = hats[0].moved(lambda x: x[..., :, None]), hats[1].moved(lambda x: x[..., None, :])
        load = mul(one, scale(other, strength)).moved(lambda x: x.reshape(*x.shape[:-2], -1))
        sizes = [np.sqrt((x.magnitude**2).sum(axis=1)) * UP for x in bells]
        losses = [np.sqrt((x.loss**2).sum(axis=1)) * UP for x in bells]
        size = sizes[0] * sizes[1] * strength * UP
        computed = (losses[0] * sizes[1] + (sizes[0] + losses[0]) * losses[1]) * strength * UP
        return shortened(load), size, (2 * float(data["eps"]) + FEW) * size + computed

    def _inverse(
        self, real: Model, loss: Model, eigenvalues: np.ndarray, mu: np.ndarray
    ) -> tuple[Model, Model, np.ndarray]:
        """1 / (lambda - kappa) [B, M], real and imaginary part, for lambda as computed; |lambda - kappa| from below,
        less mu, and zero where that is not known.
        """
        where = self.space
        a0, l0 = real.coefficients[0], loss.coefficients[0]
        shift = _without_constant(real), _without_constant(loss)
        delta = np.sqrt(shift[0].magnitude ** 2 + shift[1].magnitude ** 2)[:, None] * UP
        G = (eigenvalues - a0[:, None]) - 1j * l0[:, None]
        size = np.abs(G) * (1 - 8 * U)
        near = np.maximum(size - delta - mu, 0.0) * (1 - 8 * U)
        known = near > 0
        inverse = 1 / np.where(known, G, 1.0)
        power: tuple[Model, Model] = _number(where, np.ones(len(a0))), _number(where, np.zeros(len(a0)))
        n, each = len(where.degree), np.ones_like(inverse)
        out = np.zeros((n, *G.shape), dtype=complex)
        radius, sizes = np.zeros(G.shape), np.zeros(G.shape)
        for j in range(where.order + 1):
            each = each * inverse
            rows = [padded(x.coefficients, n) for x in power]
            out += (rows[0] + 1j * rows[1])[:, :, None] * each[None]
            high = np.abs(each) * UP
            radius += (power[0].radius + power[1].radius)[:, None] * high
            sizes += (power[0].magnitude + power[1].magnitude)[:, None] * high
            if j < where.order:
                power = (
                    add(mul(power[0], shift[0]), negative(mul(power[1], shift[1]))),
                    add(mul(power[0], shift[1]), mul(power[1], shift[0])),
                )
        rho = delta / np.maximum(size, TINY)
        left = rho ** (where.order + 1) / np.maximum(near, TINY)
        radius = (radius + left + gamma(16 * where.order + 4 * n) * sizes * UP) * UP + TINY
        radius = np.where(known, radius, np.inf)
        nothing = np.zeros_like(radius)
        return Model(where, out.real.copy(), radius, nothing), Model(where, out.imag.copy(), radius, nothing), near


def _by(a: Model, rows: np.ndarray) -> Model:
    """Sums of rows [k, M] with coefficients a [B, k]."""
    return linear(a, "...k,kx->...x", rows, len(rows))


def _number(where: Space, values: np.ndarray) -> Model:
    nothing = np.zeros(len(values))
    return Model(where, values[None].astype(float), nothing, nothing)


def _added(a: Model, values: np.ndarray) -> Model:
    """A scalar [B] plus one known number for every box."""
    return add(a, _number(a.space, values))


def _without_constant(a: Model) -> Model:
    c = a.coefficients.copy()
    c[0] = 0.0
    return Model(a.space, c, a.radius, a.loss)
