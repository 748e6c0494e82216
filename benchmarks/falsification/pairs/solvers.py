"""Two solvers as users have them, in numpy: one with an adjoint, one without any derivative."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ....solvers.box import Box
from ....solvers.problems.black_box import BlackBox, black_box

CELLS, MODES, STEPS = 32, 6, 60
_X = np.linspace(0, 1, CELLS + 1)
_FORCES = np.sin(np.outer(_X[1:-1], np.pi * np.arange(1, MODES + 1))) * CELLS**-1.0
_LAPLACIAN = CELLS * (2 * np.eye(CELLS - 1) - np.eye(CELLS - 1, k=1) - np.eye(CELLS - 1, k=-1))
PREY, PREDATORS = 2.0, 1.0


def reaction(p: Float[np.ndarray, " 6"]) -> Float[np.ndarray, " 33"]:
    """-u'' + 2 u^3 + u = 30 sum_k p_k sin(k pi x), zero at both ends, by Newton's method from the linear part."""
    u = np.zeros(CELLS + 1)
    f = 30 * _FORCES @ p
    inner = np.linalg.solve(_LAPLACIAN, f)
    for _ in range(40):
        step = np.linalg.solve(_jacobian(inner), _residual(inner, f))
        inner = inner - min(1.0, 1.0 / max(np.abs(step).max(), 1e-300)) * step
        if np.abs(step).max() < 1e-12:
            break
    else:
        raise RuntimeError("Newton's method did not converge in 40 steps")
    u[1:-1] = inner
    return u


def reaction_adjoint(p: Float[np.ndarray, " 6"], w: Float[np.ndarray, " 33"]) -> Float[np.ndarray, " 6"]:
    """The derivatives of w . u in p."""
    found: np.ndarray = 30 * _FORCES.T @ np.linalg.solve(_jacobian(reaction(p)[1:-1]).T, w[1:-1])
    return found


def _residual(u: np.ndarray, f: np.ndarray) -> np.ndarray:
    out: np.ndarray = _LAPLACIAN @ u + (2 * u**3 + u) / CELLS - f
    return out


def _jacobian(u: np.ndarray) -> np.ndarray:
    out: np.ndarray = _LAPLACIAN + np.diag((6 * u**2 + 1) / CELLS)
    return out


def predators(p: Float[np.ndarray, " 5"]) -> Float[np.ndarray, "61 2"]:
    """Prey x and predators y over time, x' = a x - b x y, y' = c b x y - d y, by Runge's and Kutta's method."""
    birth, hunt, gain, death, time = p
    h = time / STEPS / 4
    z = np.array([PREY, PREDATORS])

    def rate(z: np.ndarray) -> np.ndarray:
        met = hunt * z[0] * z[1]
        return np.array([birth * z[0] - met, gain * met - death * z[1]])

    states = [z]
    for step in range(4 * STEPS):
        k1 = rate(z)
        k2 = rate(z + h / 2 * k1)
        k3 = rate(z + h / 2 * k2)
        z = z + h / 6 * (k1 + 2 * k2 + 2 * k3 + rate(z + h * k3))
        if step % 4 == 3:
            states.append(z)
    return np.stack(states)


def with_adjoint() -> BlackBox:
    first = np.eye(MODES)[0]  # is positive, so that no solution is zero
    box = Box(tuple(f"f{k}" for k in range(1, MODES + 1)), 1.5 * first - 1, np.ones(MODES))
    return black_box(reaction, box, _X[:, None], name="reaction", norm="l2", gradient=reaction_adjoint)


def without() -> BlackBox:
    names = ("birth", "hunt", "gain", "death", "time")
    box = Box(names, np.array([0.6, 0.4, 0.3, 0.4, 4.0]), np.array([1.4, 1.2, 0.9, 1.2, 8.0]))
    nodes = np.linspace(0, 1, STEPS + 1)[:, None]
    return black_box(predators, box, nodes, name="predators", components=("prey", "predators"))
