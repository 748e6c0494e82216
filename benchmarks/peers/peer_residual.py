"""The residual of a pod-mlp on the thermal block, in a form that other enclosures can bound: boxes needed for a proof.

``box_bound.py`` bounds the length of theta_q^(-1/2) T_q s(x), scaled by the amplitude. With n(x) the network in unit
coordinates, c = amplitude n, and tau_q = theta_q amplitude = exp(affine in x), that vector is T v(x),

    v(x) = exp(A x + a) * N(x):   tau_q^(-1/2)  and  tau_q' tau_q^(-1/2) n_i(x)   for all q, q', i

where * multiplies entries, N is the network with its last layer repeated (and ones), and T the references' matrix that
``box_bound`` chooses at the centre of each box. Everybody gets the same v and T, and the same lower bound U of ||u||:

    sup ||T v|| / U <= tolerance     certifies a box; rounding floors and defects (1e-9 and less) are given to the peers

Boxes are halved across their longest side and taken depth first, so that the certified share grows with time; how many
would be needed in all is the mean over random points of 1 / (volume of the largest certified dyadic square around it).
Hypothesis: every input is log-scaled and theta = p, one load.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from ...solvers.classes.coercive import CoerciveProblem
from ...verify.boxes.box_bound import unit_to_inputs
from ...verify.proofs.reduced import ReducedBound
from ...verify.proofs.thomson import simplex_weights
from . import plain_intervals
from .box_methods import evaluate
from .crown_peer import Crown, as_arrays
from .plain_intervals import Interval, Layers

BATCH = 256
DEEPEST = 30  # levels of squares tried by the estimate

FluxBounds = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[Interval, float]]  # low, high, T


@dataclass
class Residual:
    """v(x) of the module's docstring, and what turns its bounds into relative errors."""

    A: np.ndarray
    a: np.ndarray
    layers: Layers  # of N
    network: Layers
    log_tau: tuple[np.ndarray, np.ndarray]
    frame: Callable[[np.ndarray], Array]  # centres [n, d] -> T [n, r, m]
    load: np.ndarray  # f . v_i
    stiffness: np.ndarray  # v_i . A_q v_j

    @property
    def model(self) -> dict[str, Any]:
        """The parts of v by the names that ``plain_intervals.residual`` takes them under."""
        return {"layers": self.layers, "A": self.A, "a": self.a}

    def vector(self, X: Float[np.ndarray, "*n d"]) -> Float[np.ndarray, "*n m"]:
        """v at points in unit coordinates."""
        return np.exp(X @ self.A.T + self.a) * evaluate(self.layers, X)

    def energy_below(self, low: np.ndarray, high: np.ndarray) -> Float[np.ndarray, " n"]:
        """U: (f.v)^2 / v'A v for the one field v of the centre's coefficients."""
        n = evaluate(self.network, (low + high) / 2)
        W, b = self.log_tau
        tau = plain_intervals.exp(plain_intervals.affine(W, b, Interval(low, high))).upper
        own = np.einsum("nq,qij,ni,nj->n", tau, self.stiffness, n, n)
        return np.asarray(np.abs(n @ self.load) / np.sqrt(own))


def residual_of(problem: CoerciveProblem, reduced: ReducedBound, surrogate: Any, network: Layers) -> Residual:
    """The residual of a surrogate whose ``network`` is the folded one (``box_methods.layers_of``)."""
    data = reduced.data
    d, Q = problem.inputs.dimension, data.references.shape[1]
    k, rank = network[-1][0].shape[0], data.factors.shape[-1]
    to_inputs = unit_to_inputs(problem.inputs.log, jnp.asarray(np.stack(problem.inputs.scaled_ends())))

    def log_tau(x: Array) -> Array:
        p = to_inputs(x)
        return jnp.log(problem.theta(p) * problem.features(p)[1])

    corners = np.stack([np.asarray(log_tau(jnp.asarray(x))) for x in np.concatenate([np.zeros((1, d)), np.eye(d)])])
    W, b = (corners[1:] - corners[0]).T, corners[0]
    # slots: tau_q^(-1/2) for each q; then tau_q' tau_q^(-1/2) n_i for each q, q', i
    pairs = [(q, other) for q in range(Q) for other in range(Q)]
    A = np.concatenate([-W / 2, *(np.repeat((W[o] - W[q] / 2)[None], k, axis=0) for q, o in pairs)])
    a = np.concatenate([-b / 2, *(np.repeat(b[o] - b[q] / 2, k) for q, o in pairs)])
    last, bias = network[-1]
    repeated = np.concatenate([np.zeros((Q, last.shape[1])), np.tile(last, (Q * Q, 1))])
    layers = [*network[:-1], (repeated, np.concatenate([np.ones(Q), np.tile(bias, Q * Q)]))]

    def frame(x: Array) -> Array:
        p = to_inputs(x)
        theta, phi, c = problem.theta(p), problem.load_weights(p), surrogate.coefficients(p[None])[0]
        s = jnp.concatenate([phi, -(theta[:, None] * c[None, :]).reshape(-1)])
        solved = data.solves @ s
        fluxes = jnp.einsum("qrs,ks->kqr", data.factors, solved) * (data.references / jnp.sqrt(theta))[:, :, None]
        flat = fluxes.reshape(len(fluxes), -1)
        w = jnp.stack(simplex_weights(flat @ flat.T))
        combined = jnp.einsum("k,kq,krm->qrm", w, data.references, data.solves)
        T = jnp.einsum("qrs,qsm->qrm", data.factors, combined)
        out = jnp.zeros((Q, rank, Q + Q * Q * k))
        for q in range(Q):
            out = out.at[q, :, q].set(T[q, :, 0])
            start = Q + q * Q * k
            out = out.at[q, :, start : start + Q * k].set(-T[q, :, 1:])
        return out.reshape(Q * rank, -1)

    compiled = jax.jit(jax.vmap(frame))
    return Residual(A, a, layers, network, (W, b), compiled, np.asarray(data.load_mode)[0], np.asarray(data.stiffness))


def by_intervals(residual: Residual) -> FluxBounds:
    """Bounds of T v by plain intervals."""

    def bounds(low: np.ndarray, high: np.ndarray, T: np.ndarray) -> tuple[Interval, float]:
        start = time.perf_counter()
        out = plain_intervals.residual(residual.model, T, low, high)
        return out, time.perf_counter() - start

    return bounds


def by_crown(peer: Crown, residual: Residual, method: str = "crown") -> FluxBounds:
    """Bounds of T v by a method of the peer."""
    name = peer.model("residual", as_arrays(residual.layers, A=residual.A, a=residual.a))

    def bounds(low: np.ndarray, high: np.ndarray, T: np.ndarray) -> tuple[Interval, float]:
        return peer.bounds(name, "residual", method, low, high, output=T)

    return bounds


def relative(residual: Residual, flux: FluxBounds, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, float]:
    """The relative error's bound of every box, and the seconds it took, handing over to another process apart."""
    start = time.perf_counter()
    pad = np.zeros((-len(low) % BATCH, low.shape[1]))  # one size is compiled
    T = np.asarray(residual.frame(np.concatenate([(low + high) / 2, pad + 0.5])))[: len(low)]
    U = residual.energy_below(low, high)
    own = time.perf_counter() - start
    bounds, seconds = flux(low, high, T)
    return plain_intervals.length(bounds) / U, own + seconds


@dataclass
class Proof:
    """How far a branch and bound came."""

    boxes: int  # evaluated
    leaves: int  # certified
    volume: float  # their share
    seconds: float
    longest: float  # the widest certified box


def depth_first(residual: Residual, flux: FluxBounds, tolerance: float, seconds: float) -> Proof:
    """Branch and bound from the unit box until everything is certified or the time is up."""
    d = residual.A.shape[1]
    stack = [(np.zeros(d), np.ones(d))]
    out, spent = Proof(0, 0, 0.0, 0.0, 0.0), 0.0
    while stack and spent < seconds:
        start = time.perf_counter()
        taken, stack = stack[-BATCH:], stack[:-BATCH]
        low, high = np.stack([b[0] for b in taken]), np.stack([b[1] for b in taken])
        book = time.perf_counter() - start
        bound, own = relative(residual, flux, low, high)
        start = time.perf_counter()
        good = bound <= tolerance
        width = high - low
        out.boxes += len(taken)
        out.leaves += int(good.sum())
        out.volume += float(np.prod(width[good], axis=1).sum())
        out.longest = max(out.longest, float(width[good].max(initial=0.0)))
        for i in np.flatnonzero(~good):
            a = int(np.argmax(width[i]))
            middle = (low[i, a] + high[i, a]) / 2
            left, right = high[i].copy(), low[i].copy()
            left[a] = right[a] = middle
            stack += [(low[i], left), (right, high[i])]
        spent += book + own + time.perf_counter() - start
    out.seconds = spent
    return out


def boxes_needed(
    residual: Residual, flux: FluxBounds, tolerance: float, points: int = 64, seed: int = 0
) -> tuple[float, int]:
    """An estimate of how many squares certify the unit box, from random points; and how many points were never in a
    certified square (then the estimate is a lower bound).
    """
    d = residual.A.shape[1]
    X = np.random.default_rng(seed).random((points, d))
    level = np.full(points, DEEPEST)
    left = np.arange(points)
    for k in range(DEEPEST):
        low = np.floor(X[left] * 2.0**k) / 2.0**k
        bound, _ = relative(residual, flux, low, low + 2.0**-k)
        level[left[bound <= tolerance]] = k
        left = left[bound > tolerance]
        if left.size == 0:
            break
    return float(np.mean(2.0 ** (d * level))), int(left.size)
