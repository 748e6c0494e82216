"""Five-point equations with constant coefficients on a square, prescribed values around: Fourier transforms and walls.

    (A v)_ij = theta_1 second(v, x) + theta_2 second(v, y) + theta_3/(2 n) central(v, x) + theta_4/(2 n) central(v, y)

On the n x n torus, whose line i = 0 and row j = 0 stand for the boundary, Fourier transforms invert A: its symbol has a
positive real part but for the constants. Two walls then make the torus a square. Along x, for every wave number l in y,

    g_l = the torus' answer to a source on the line i = 0,    u -> u - g_l u_0 / g_l(0)    is zero there,

in the limit for l = 0, where the torus' answer is known up to a constant (a system in one dimension: the charge on the
line makes up for the sum of all sources). Along y the sources on the row j = 0 that make u zero there solve a dense
system of n - 1 unknowns, the capacitance matrix

    S = 1/n sum_l Gamma_l,    Gamma_l(i, k) = g_l(i - k) - g_l(i) g_l(-k)/g_l(0)    (the inverse along x between walls)

whose symmetric part is positive definite as that of A is. O(n^3) by products of matrices, the rest O(n^2 log n); all of
it is stable whatever the cell Peclet number, for no eigenvectors of a nonsymmetric matrix are scaled: they are those of
a normal one. One solve leaves a relative residual of 1e-14 to 1e-7 (flow along a wall, where the torus lets it go round
and gather), two of rounding.
Reference: Buzbee, Dorr, George, Golub 1971 (capacitance matrices).
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Complex, Float, Int


class Factors(NamedTuple):
    """What a solve needs of the weights; m = n//2 + 1 wave numbers along y."""

    inverse: Complex[Array, "n m"]  # of the symbol, zero for the constants
    wall: Complex[Array, "n m"]  # g_l(i) / g_l(0), zero for l = 0
    level: Float[Array, " n"]  # g_0(i) - g_0(0)
    capacitance: Float[Array, "n-1 n-1"]  # the triangular factors of S
    rows: Int[Array, " n-1"]


def _shares(n: int) -> Float[np.ndarray, " m"]:
    """How often each kept wave number counts in a mean over all: sum_l shares_l Re(x_l) = (1/n) sum of all of them."""
    shares = np.full(n // 2 + 1, 2.0 / n)
    shares[0] = 1.0 / n
    if n % 2 == 0:
        shares[-1] = 1.0 / n
    return shares


def factors(theta: Float[Array, " 4"], n: int) -> Factors:
    """For n cells along each side; theta_1 and theta_2 are positive."""
    along, across = 2 * np.pi * np.arange(n) / n, 2 * np.pi * np.arange(n // 2 + 1) / n
    second = [4 * np.sin(wave / 2) ** 2 for wave in (along, across)]
    central = [np.sin(wave) / n for wave in (along, across)]
    real = theta[0] * second[0][:, None] + theta[1] * second[1][None, :]
    imaginary = theta[2] * central[0][:, None] + theta[3] * central[1][None, :]
    scale = jnp.maximum(real, jnp.abs(imaginary)).at[0, 0].set(1.0)  # so that no square leaves float64
    real, imaginary = real / scale, imaginary / scale
    square = (scale * (real**2 + imaginary**2)).at[0, 0].set(1.0)
    inverse = lax.complex(real / square, -imaginary / square)
    g = jnp.fft.ifft(inverse, axis=0)
    wall = g / g[0].at[0].set(1.0)
    behind = jnp.roll(g[::-1], 1, axis=0)  # g(-i)
    shares, i = _shares(n), np.arange(1, n)
    free = jnp.real(g @ shares)[(i[:, None] - i[None, :]) % n]
    left, right = (wall * shares)[1:, 1:], behind[1:, 1:]
    walled = jnp.real(left) @ jnp.real(right).T - jnp.imag(left) @ jnp.imag(right).T
    level, back = jnp.real(g[:, 0]), jnp.real(behind[:, 0])
    walled = walled + shares[0] * (level[1:, None] + back[None, 1:] - level[0])
    capacitance, _, rows = lax.linalg.lu(free - walled)
    return Factors(inverse, wall.at[:, 0].set(0.0), level - level[0], capacitance, rows)


def solve(f: Factors, b: Float[Array, "n-1 n-1"]) -> Float[Array, "n-1 n-1"]:
    """A^-1 b."""
    n = len(f.level)
    shares = _shares(n)
    u = _between_walls(f, jnp.fft.rfft(jnp.pad(b, ((1, 0), (1, 0))), axis=1))
    row = jnp.real(u @ shares)[1:]
    lower = {"left_side": True, "lower": True, "unit_diagonal": True}
    charge = lax.linalg.triangular_solve(f.capacitance, row[f.rows, None], **lower)
    charge = lax.linalg.triangular_solve(f.capacitance, charge, left_side=True, lower=False)
    source = jnp.broadcast_to(jnp.pad(charge, ((1, 0), (0, 0))), u.shape)
    u = u - _between_walls(f, source.astype(u.dtype))
    return jnp.fft.irfft(u, n=n, axis=1)[1:, 1:]


def _between_walls(f: Factors, hat: Complex[Array, "n m"]) -> Complex[Array, "n m"]:
    """The torus' answer, less that to the sources on the line i = 0 which make it zero there."""
    total = jnp.sum(jnp.real(hat[:, 0]))
    u = jnp.fft.ifft(jnp.fft.fft(hat, axis=0) * f.inverse, axis=0)
    constant = u[:, 0] - u[0, 0] - f.level * total
    return (u - f.wall * u[0]).at[:, 0].set(constant)


def transposed(theta: Float[Array, " 4"]) -> Float[Array, " 4"]:
    """The weights of A': the flow turned round."""
    return theta * np.array([1.0, 1.0, -1.0, -1.0])
