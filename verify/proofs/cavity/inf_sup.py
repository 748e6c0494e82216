"""Beyond stability in energy: cells in which all Jacobians near the base are invertible, with a bound of the inverse.

    |J(v) e|_V' >= beta |e|_V,    J(v) = V + C(Re v),    C linear

At the centre a_c of a cell with control fields a_k (``cells.py``), J_c = V + C(a_c), three numbers are verified:

    sigma_min(J_c) >= beta_c                          (from V to V')
    ||J_c^-1 C(a_k - a_c)||_V <= theta < 1            for every k, hence for every convex combination
    |velocity of e in any node| <= peak ||e||_V

For d = Re v - sum lambda_k a_k, |t' C(d) e| <= (max |v_d| + peak ||d||_V) mu^-1/2 ||e||_V ||t||_V, the first by the
vorticity of e, the second by that of d, so that beta = beta_c (1 - theta) - mu^-1/2 (max |v_d| + peak ||d||_V) holds at
v. theta is taken of J_c^-1 C and not of C: it is up to ten times smaller than ||C|| / beta_c, and cells are as much
larger in both directions.

Both are questions about the inertia of sparse matrices (``inertia.py``), with S and N the halves of J_c + J_c' and J_c
- J_c': the eigenvalues of the pencil of [[0, J], [J', 0]] and diag(V, V) are plus and minus the singular values, in the
variables (e + t, e - t)/2^1/2

    [[S - beta V, N], [N', -S - beta V]]                     has n positive eigenvalues iff sigma_min > beta
    [[-V, 0, theta J'], [0, V, C'], [theta J, C, 0]]         has 2 n iff theta^2 J V^-1 J' > C V^-1 C'   (Schur)

Rounding: delta diag(V, ..., V) is subtracted first, and delta V >= delta scale diag(V) pays for what the factors of the
rest are off by, with V >= scale diag(V), verified as mu is.
References: Veroy, Patera, Int. J. Numer. Meth. Fluids 47 (2005); Haynsworth 1968 (inertia of Schur complements).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from jaxtyping import Float

from ....solvers.linear_algebra.superlu import Factors, symmetric_lu
from ....solvers.problems.cavity import Cavity
from ..constants import Arrays, Known, Stage
from . import energy
from .bands import Bands
from .branch import FINE, Branch
from .cells import UNITY, Cells, Solved, control_fields
from .dual import ENTRY as DUAL_ENTRY
from .dual import DualNorm
from .energy import LOWERED, inverse, least, profile_breaks, proved
from .forms import ENTRY, Form, Forms, combined
from .inertia import inertia

DEGREES = (3, 3)
FIRST, RATIO, PROFILES = 290.0, 1.23, 0.25  # where cells begin, and their widths: theta is about a half
DELTA = 5e-4  # of sigma_min, and of a theta's square times beta_c^2, what is given up to rounding
RAISED = (1.0, 1.02, 1.06, 1.15)  # times the least theta that could be proved, as they are tried
TOO_LARGE = 0.85  # a theta that is of no use
Blocks = list[list[Form | None]]


def breaks(problem: Cavity) -> Float[np.ndarray, " k"]:
    """In reynolds."""
    low, high = max(problem.reynolds[0], FIRST), problem.reynolds[1]
    if low >= high:
        return np.array([low])
    return np.geomspace(low, high, 1 + int(np.ceil(np.log(high / low) / np.log(RATIO))))


def stages(problem: Cavity, forms: Forms, dual: DualNorm) -> Iterable[Stage]:
    """Not on first use: at 96 cells it takes ten minutes."""
    count, solved = len(breaks(problem)) - 1, Solved()
    if count == 0:
        return
    cost = (problem.cells / 96) ** 3
    yield Stage("peak", 15.0 * cost, partial(_peak, problem, forms, dual), partial(_objection, forms), False)
    seconds = 25.0 * (len(profile_breaks(problem, PROFILES)) - 1) * cost
    for band in range(count):
        yield Stage(
            f"inf-sup-{band}",
            seconds,
            partial(_band, problem, forms, dual, solved, band),
            partial(_cells_objection, problem, band),
            False,
        )


def _peak(problem: Cavity, forms: Forms, dual: DualNorm, known: Known) -> Arrays:
    weights = _diagonal(forms)
    estimate = 1 / -least(-weights.value, forms.V.value, inverse(forms.V.value))
    for share in LOWERED:
        scale = estimate * (1 - share)
        if _scale_holds(forms, scale):
            return {"scale": np.array([scale]), "peak": np.array([peak(problem, dual)])}
    raise ValueError(f"V >= scale diag(V) was not proved for any scale near {estimate:.4g}: take fewer cells")


def _diagonal(forms: Forms) -> Form:
    diagonal = sp.diags(forms.V.value.diagonal()).tocsr()
    return Form(diagonal, diagonal)


def _scale_holds(forms: Forms, scale: float) -> bool:
    return proved(combined((1.0, forms.V), (-scale, _diagonal(forms))))


def peak(problem: Cavity, dual: DualNorm) -> float:
    """At least |velocity of e| in every interior node, of every e with ||e||_V = 1."""
    m, widths = problem.cells - 1, problem.widths[1][1:-1]

    def at(i: jax.Array, j: jax.Array) -> jax.Array:
        def norm(a: jax.Array, b: jax.Array, width: jax.Array) -> jax.Array:
            f = jnp.zeros((m + 2, m + 2)).at[a, b].add(0.5 / width)
            f = f.at[2 * i + 2 - a, 2 * j + 2 - b].add(-0.5 / width)[1:-1, 1:-1]
            return dual(f, DUAL_ENTRY * jnp.abs(f))

        return norm(i + 1, j + 2, jnp.asarray(widths)[j]) ** 2 + norm(i + 2, j + 1, jnp.asarray(widths)[i]) ** 2

    along = jax.jit(jax.vmap(at, in_axes=(None, 0)))
    rows = [float(np.max(along(i, np.arange(m)))) for i in range(m)]
    return float(np.sqrt(np.max(rows))) * (1 + 1e-14)


def _objection(forms: Forms, known: Known, made: Arrays) -> str:
    if set(made) != {"scale", "peak"} or not all(x.shape == (1,) and x[0] > 0 for x in made.values()):
        return "it does not hold two positive numbers"
    return "" if _scale_holds(forms, float(made["scale"][0])) else "V >= scale diag(V) does not hold"


class Verifier:
    """Questions about Jacobians, answered with one factorisation each."""

    def __init__(self, forms: Forms, scale: float) -> None:
        self.forms = forms
        self.n = forms.m**2
        self._pays = DELTA * scale * forms.V.value.diagonal() * (1 - 1e-12)
        factor = symmetric_lu(forms.V.value, 1.0)
        self._nodes = np.argsort(factor.perm_c)
        self.inverse = spla.LinearOperator((self.n, self.n), factor.solve)

    def transport(self, q: Float[np.ndarray, " n"]) -> Form:
        """C(q), of float64 numbers or of their rounded differences."""
        return combined((1.0, self.forms.carried(q)), (1.0, self.forms.carrying(q)))

    def _positive(self, blocks: Blocks) -> int:
        """How many eigenvalues of the block matrix plus delta diag(V, ...) are shown to be positive."""
        k = len(blocks)
        matrix = sp.bmat([[None if x is None else x.value for x in row] for row in blocks]).tocsr()
        sizes = sp.bmat([[None if x is None else x.size for x in row] for row in blocks]).tocsr()
        off = ENTRY * (1 + 1e-12) * np.asarray(sizes.sum(axis=1)).ravel()
        order = (np.arange(k * self.n).reshape(k, self.n)[:, self._nodes]).T.ravel()  # all unknowns of a node together
        found = inertia(matrix, off, order)
        return found.positive if (found.rho <= np.tile(self._pays, k)).all() else 0

    def smallest(self, J: Form, beta: float) -> bool:
        """Whether sigma_min(J) >= beta is shown."""
        turned = _transposed(J)
        S, N = combined((0.5, J), (0.5, turned)), combined((0.5, J), (-0.5, turned))
        V, least = self.forms.V, beta + DELTA
        upper, lower = combined((1.0, S), (-least, V)), combined((-1.0, S), (-least, V))
        return self._positive([[upper, N], [_transposed(N), lower]]) >= self.n

    def within(self, J: Form, C: Form, theta: float) -> bool:
        """Whether ||J^-1 C||_V <= theta is shown."""
        V, scaled = self.forms.V, combined((theta, J))
        first, second, third = (combined((factor, V)) for factor in (-1 - DELTA, 1 - DELTA, -DELTA))
        blocks: Blocks = [[first, None, _transposed(scaled)], [None, second, _transposed(C)], [scaled, C, third]]
        return self._positive(blocks) >= 2 * self.n


def _transposed(form: Form) -> Form:
    return Form(form.value.T.tocsr(), form.size.T.tocsr())


def _norm(verifier: Verifier, factor: Factors, C: sp.csr_matrix) -> float:
    """An estimate of ||J^-1 C||_V."""
    V = verifier.forms.V.value
    apply = lambda x: C.T @ factor.solve(V @ factor.solve(C @ x), "T")  # noqa: E731
    operator = spla.LinearOperator((verifier.n, verifier.n), lambda x: apply(np.ravel(x)), dtype=np.float64)
    start = np.ones(verifier.n)
    found = spla.eigsh(operator, 1, V, Minv=verifier.inverse, which="LA", tol=1e-3, v0=start, return_eigenvectors=False)
    return float(np.sqrt(max(found[0], 0.0)))


def verified(
    verifier: Verifier, fields: Float[np.ndarray, "k n"], centre: Float[np.ndarray, " n"]
) -> tuple[float, float] | None:
    """(beta_c, theta) of a cell; None where no useful ones are proved."""
    J = combined((1.0, verifier.forms.V), (1.0, verifier.transport(centre)))
    factor = symmetric_lu(J.value, 0.1)
    estimate = 1 / _norm(verifier, factor, verifier.forms.V.value)
    beta = next((b for b in estimate * np.array([0.99, 0.97, 0.9]) if verifier.smallest(J, float(b))), None)
    if beta is None:
        return None
    parts = [verifier.transport(a - centre) for a in fields]
    norms = [_norm(verifier, factor, part.value) for part in parts]
    largest = max(norms)
    first = [parts[k] for k in np.argsort(norms)[::-1]]  # where a theta fails it fails at the largest
    theta = float(np.sqrt(1.02 * largest**2 + 3 * DELTA / beta**2))
    for share in RAISED:  # factors without exchanges may be poor for one theta, and good for another near it
        if theta * share > TOO_LARGE:
            return None
        if all(verifier.within(J, part, theta * share) for part in first):
            return float(beta), theta * share
    return None


class Neighbours:
    """Whether the branch of a cell is that of the cell below, or the only solution of all at their common corner."""

    def __init__(self, problem: Cavity, dual: DualNorm, band: int, known: Known) -> None:
        self.branch = Branch(problem, dual)
        self.c = float(known["peak"][0] / np.sqrt(known["mu"][0])) * (1 + 1e-14)
        found = energy.bands(problem).gathered(known)
        self._stable, self._alpha = Cells(found["low"], found["high"], found["fields"], energy.DEGREES), found["alpha"]
        names = ("low", "high", "fields", "reach")
        below = [known[f"beyond_{name}_{band - 1}"] for name in names] if band else None
        self._below = Cells(below[0], below[1], below[2], DEGREES) if below else None
        self._reach = below[3] if below else np.zeros(0)

    def reach(self, cell: Cells, fine: np.ndarray | None, beta: float) -> float:
        """D of the branch over a cell, where that is followed from stable flows; -1 where it is not."""
        low, high = cell.low[0], cell.high[0]
        if fine is None:
            return -1.0
        D = self.branch.followed(fine, cell.fields[0], cell.degrees, (low, high), beta, self.c)
        if not np.isfinite(D):
            return -1.0
        here = cell.weights(0, low) @ cell.fields[0]

        def off(other: Cells, number: int) -> float:
            return self.branch.apart((other.weights(number, low) @ other.fields[number])[None], here[None])

        k = self._stable.find(low)
        if k >= 0:
            alphas = self._alpha[k]
            alpha = float(self._stable.weights(k, low) @ alphas) - 2 * UNITY * max(1.0, float(np.abs(alphas).max()))
            if alpha > self.c * (D + off(self._stable, k)) * (1 + 1e-12):
                return D
        k = -1 if self._below is None else _ending_at(self._below, low)
        if k >= 0 and self._reach[k] >= 0:
            assert self._below is not None
            if beta > self.c * (D + self._reach[k] + off(self._below, k)) * (1 + 1e-12):
                return D
        return -1.0


def _ending_at(cells: Cells, p: Float[np.ndarray, " 2"]) -> int:
    """The cell whose upper reynolds and lower profile these are; -1 where there is none."""
    there = np.flatnonzero((cells.high[:, 0] == p[0]) & (cells.low[:, 1] == p[1]))
    return int(there[0]) if len(there) else -1


def net(beta: float, theta: float) -> float:
    """beta_c (1 - theta), less what the sum of weights may be off from one: ||J_c^-1 C(a_c)|| <= 1 + 1 / beta_c."""
    return float(beta * (1 - theta) - 2 * UNITY * (1 + beta))


def bands(problem: Cavity) -> Bands:
    """Cells with their centres, the constants there, and how far the branch is from them."""
    parts = {"centre": ((problem.cells - 1) ** 2,), "beta": (), "theta": (), "reach": ()}
    return Bands(problem, (breaks(problem), profile_breaks(problem, PROFILES)), DEGREES, parts, "beyond_")


def _band(problem: Cavity, forms: Forms, dual: DualNorm, solved: Solved, band: int, known: Known) -> Arrays:
    """Cells of one range of reynolds."""
    verifier = Verifier(forms, float(known["scale"][0]))
    neighbours = Neighbours(problem, dual, band, known)

    def constants(low: np.ndarray, high: np.ndarray, fields: np.ndarray) -> tuple | None:
        cell = Cells(low[None], high[None], fields[None], DEGREES)
        centre = cell.centre(0)
        found = verified(verifier, fields, centre)
        if found is None:
            return None
        fine = control_fields(problem, low, high, FINE, solved)
        return centre, *found, neighbours.reach(cell, fine, net(*found))

    return bands(problem).made(band, known, solved, constants)


def _cells_objection(problem: Cavity, band: int, known: Known, made: Arrays) -> str:
    def possible(found: dict[str, np.ndarray]) -> bool:
        beta, theta = found["beta"], found["theta"]
        return bool((beta > 0).all() and (beta <= 1.01).all() and (theta > 0).all() and (theta < 1).all())

    return bands(problem).objection(band, made, possible)
