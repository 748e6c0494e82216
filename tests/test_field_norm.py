"""Norms of fields: what they are worth, that no square leaves float64, and what is no norm."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla

import assay
from assay.solvers import Box, black_box
from assay.solvers.field_norm import field_norm
from assay.solvers.problems.catalogue import PROBLEMS

BOX = Box(("a",), [0.0], [1.0])
P = np.array([0.5])
U = np.array([3.0, -4.0, 0.0, 12.0, 1.0, 2.0])
MASS = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
LINE = sp.diags([np.ones(5), 4 * np.ones(6), np.ones(5)], [-1, 0, 1]) / 6
NORMS = [
    ("rms", np.sqrt(174 / 6)),
    (None, np.sqrt(174 / 6)),
    ("l2", np.sqrt(174.0)),
    ("max", 12.0),
    (MASS, np.sqrt(MASS @ U**2)),
    (MASS.reshape(3, 2), np.sqrt(MASS @ U**2)),
    (MASS[:3], np.sqrt(np.repeat(MASS[:3], 2) @ U**2)),
    (LINE, np.sqrt(U @ LINE @ U)),
    (LINE.todok(), np.sqrt(U @ LINE @ U)),
    (LINE.toarray(), np.sqrt(U @ LINE @ U)),
    (np.linalg.norm, np.sqrt(174.0)),
    (jnp.linalg.norm, np.sqrt(174.0)),
    (lambda p, u: float(np.abs(u).sum() * p[0]), 11.0),
    (lambda p, u: jnp.abs(u).sum() * p[0], 11.0),
]


@pytest.mark.parametrize(("norm", "value"), NORMS)
@pytest.mark.parametrize("scale", [1.0, 1e-170, 1e160, 1e-290, 1e300])
def test_every_kind_of_norm_is_measured_at_every_size(norm, value, scale):
    made = field_norm(norm, P, 3, 2)
    assert float(made(P, scale * U)) == pytest.approx(scale * value, rel=1e-14)
    assert float(jax.jit(made)(P, scale * U)) == pytest.approx(scale * value, rel=1e-14)
    assert float(made(P, 0 * U)) == 0.0


def test_what_is_not_finite_has_no_norm():
    for norm, _ in NORMS:
        for bad in (np.nan, np.inf):
            assert not np.isfinite(float(field_norm(norm, P, 3, 2)(P, np.where(U == 0, bad, U))))


@pytest.mark.parametrize(
    ("norm", "message"),
    [
        ("energy", "norm must be one of rms, l2, max, weights, a matrix or a function, not 'energy'"),
        (np.ones(5), r"weights must have shape \[6\], one for each value, or be a matrix \[6, 6\], not \[5\]"),
        (-np.ones(6), "none of them negative"),
        (np.zeros(6), "not all zero"),
        (np.full(6, np.nan), "must be finite"),
        (MASS + 1j, "weights have complex values"),
        (spla.aslinearoperator(LINE), "a matrix or a function, not _?MatrixLinearOperator"),
        (7, "weights, a matrix or a function, not int"),
        (LINE * (1 + 0j), "the norm's matrix has complex values"),
        (LINE * np.nan, "the norm's matrix has entries that are NaN"),
        (sp.identity(5), r"matrix must have shape \[6, 6\], not \[5, 5\]"),
        (sp.triu(LINE), "matrix must be symmetric"),
        (-LINE, "not positive semidefinite"),
        (sp.diags([1.0, 1.0, 1.0, 1.0, 1.0, -1e-6]), "not positive semidefinite"),
        (lambda u: u, "must give one finite number"),
        (lambda u: np.nan, "must give one finite number"),
        (lambda u: float(np.sum(u)), "of fields u, 2 u, -2 u it gives"),
        (lambda u: float(np.sum(u**2)), "of fields u, 2 u, -2 u it gives"),
        (lambda u: u.missing, "the norm raised AttributeError"),
        (lambda p, u, more: 1.0, "the norm raised TypeError"),
        (lambda u: 1j, "the norm raised ValueError|complex"),
    ],
)
def test_what_is_no_norm_is_refused(norm, message):
    with pytest.raises(ValueError, match=message):
        field_norm(norm, P, 3, 2)


SMALL = {
    "thermal-block": {"cells": 4},
    "lognormal-diffusion": {"d": 2, "cells": 4},
    "elasticity": {"cells": 4},
    "helmholtz": {"cells": 8, "width": 0.2},
    "advection-diffusion": {"cells": 4},
    "bratu": {"cells": 4},
    "heat": {"cells": 4, "steps": 2},
    "allen-cahn": {"cells": 8, "steps": 4},
    "burgers": {"cells": 8, "steps": 4},
    "wave": {"cells": 4, "steps": 8},
    "cavity": {"cells": 8},
    "hyperelastic": {"cells": 4},
}


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_the_norms_of_problems_neither_underflow_nor_overflow(name):
    problem = assay.problem(name, **SMALL.get(name, {}))
    p = problem.inputs.sample(1)[0]
    u = np.random.default_rng(0).standard_normal(problem.size)
    norm = jax.jit(problem.norm)
    one = float(norm(p, u))
    assert np.isfinite(one) and one > 0
    for power in (-600, 500):  # of two: exact, so that the same bits come out
        assert float(norm(p, np.ldexp(u, power))) == np.ldexp(one, power)
    assert float(norm(p, 0 * u)) == 0.0 and np.isnan(float(norm(p, np.where(u > 1, np.nan, u))))


@pytest.mark.parametrize("size", [1.0, 1e-170, 1e160])
def test_an_answer_of_zeros_is_wholly_wrong_at_every_size(size):
    x = np.linspace(1, 2, 5)
    problem = black_box(lambda p: size * (1 + p[0]) * x, BOX)
    truth = problem.solve([0.3])
    assert float(problem.relative_error([0.3], np.zeros(5), truth)) == 1.0
    assert float(problem.relative_error([0.3], 0.5 * truth, truth)) == 0.5
