"""The cavity's offline constants, verified: mu with V >= mu X, and cells with alpha_k with sym J(a_k) >= alpha_k V.

Values are estimated by Lanczos' method and proved by one Cholesky factorisation each (``cholesky.py``): what could not
be proved is lowered, and in the end left out. Cells go up in reynolds as long as there is a flow stable in energy.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from jaxtyping import Float

from ....solvers.linear_algebra.superlu import symmetric_lu
from ....solvers.problems.cavity import Cavity
from ..constants import Arrays, Known, Stage
from .bands import Bands
from .cells import Solved, controls
from .cholesky import is_semidefinite
from .forms import ENTRY, Form, Forms, combined, symmetric

DEGREES = (3, 3)
WIDTH, PROFILES = 50.0, 0.5  # of cells: bases are off by 1e-5 or so of the field
LOWERED = (1e-4, 1e-3, 1e-2, 0.1)  # of the least eigenvalue, or of one, what is given up where that is not proved
WORTH = 0.02  # least alpha of a cell for which it is kept
NEVER = -1e3  # alpha where none is proved


def stages(problem: Cavity, forms: Forms) -> tuple[Stage, ...]:
    """mu first, then one stage for each range of reynolds, so that what was interrupted goes on."""
    solved = Solved()
    breaks = reynolds_breaks(problem)
    seconds = 6.0 * len(profile_breaks(problem)) * (problem.cells / 96) ** 3
    return (
        Stage("energy", 1.0, partial(_energy, forms), partial(_energy_objection, forms)),
        *(
            Stage(
                f"coercive-{i}",
                seconds,
                partial(_coercive, problem, forms, solved, i),
                partial(_cells_objection, problem, i),
            )
            for i in range(len(breaks) - 1)
        ),
    )


def reynolds_breaks(problem: Cavity) -> Float[np.ndarray, " k"]:
    """Of cells that may be stable in energy: no flow of this problem is beyond 500."""
    low, high = problem.reynolds[0], min(problem.reynolds[1], 500.0)
    if low >= high:
        return np.array([low])
    return np.linspace(low, high, 1 + int(np.ceil((high - low) / WIDTH)))


def profile_breaks(problem: Cavity, width: float = PROFILES) -> Float[np.ndarray, " k"]:
    low, high = problem.profile
    return np.linspace(low, high, 1 + int(np.ceil((high - low) / width)))


def least(matrix: sp.csr_matrix, V: sp.csr_matrix, solve: spla.LinearOperator) -> float:
    """An estimate of the least eigenvalue of matrix x = lambda V x."""
    start = np.ones(matrix.shape[0])  # not at random: the same constants every time
    found = spla.eigsh(matrix, k=1, M=V, Minv=solve, which="SA", tol=1e-4, v0=start, return_eigenvectors=False)
    return float(found[0])


def inverse(matrix: sp.csr_matrix) -> spla.LinearOperator:
    return spla.LinearOperator(matrix.shape, symmetric_lu(matrix).solve)


def proved(form: Form) -> bool:
    """Whether the form is shown to be positive semidefinite."""
    return is_semidefinite(form.value, ENTRY * form.size)


def _energy(forms: Forms, known: Known) -> Arrays:
    estimate = 1 / -least(-forms.X.value, forms.V.value, inverse(forms.V.value))
    for share in LOWERED:
        mu = estimate * (1 - share)
        if proved(combined((1.0, forms.V), (-mu, forms.X))):
            return {"mu": np.array([mu])}
    raise ValueError(f"V >= mu X was not proved for any mu near {estimate:.4g}: take fewer cells or a smaller stretch")


def _energy_objection(forms: Forms, known: Known, made: Arrays) -> str:
    if set(made) != {"mu"} or made["mu"].shape != (1,) or not made["mu"][0] > 0:
        return "mu is not one positive number"
    return "" if proved(combined((1.0, forms.V), (-float(made["mu"][0]), forms.X))) else "V >= mu X does not hold"


def alpha_of(forms: Forms, a: Float[np.ndarray, " n"], solve: spla.LinearOperator) -> float:
    """alpha with V + sym C(a) >= alpha V, proved; ``NEVER`` where it could not be."""
    part = symmetric(forms.carried(a))
    lowest = least(part.value, forms.V.value, solve)
    for share in LOWERED:
        alpha = 1 + lowest - share * max(1.0, abs(lowest))
        if proved(combined((1 - alpha, forms.V), (1.0, part))):
            return alpha
    return NEVER


def bands(problem: Cavity) -> Bands:
    """Cells with alpha of each control field."""
    breaks = reynolds_breaks(problem), profile_breaks(problem)
    return Bands(problem, breaks, DEGREES, {"alpha": (controls(DEGREES),)})


def _coercive(problem: Cavity, forms: Forms, solved: Solved, band: int, known: Known) -> Arrays:
    """Cells of one range of reynolds."""
    solve = inverse(forms.V.value)

    def constants(low: np.ndarray, high: np.ndarray, fields: np.ndarray) -> tuple | None:
        alphas = np.array([alpha_of(forms, a, solve) for a in fields])
        return (alphas,) if alphas.max() >= WORTH else None

    return bands(problem).made(band, known, solved, constants)


def _cells_objection(problem: Cavity, band: int, known: Known, made: Arrays) -> str:
    return bands(problem).objection(band, made, lambda found: bool((found["alpha"] <= 1.01).all()))
