"""The intrinsic dimension of rows, on manifolds whose dimension is known."""

import numpy as np
import pytest
from scipy.stats import qmc

import assay
from assay.surrogates.networks.intrinsic import LEAST, MOST, intrinsic_dimension

AXES = np.linalg.qr(np.random.default_rng(7).standard_normal((40, 4)))[0].T  # orthonormal, in 40 dimensions


def circle(z):
    t = 2 * np.pi * z[:, 0]
    return np.stack([np.cos(t), np.sin(t)], axis=1) @ AXES[:2]


def sphere(z):
    """Equal areas for equal areas of the square."""
    t, h = 2 * np.pi * z[:, 0], 2 * z[:, 1] - 1
    r = np.sqrt(1 - h**2)
    return np.stack([r * np.cos(t), r * np.sin(t), h], axis=1) @ AXES[:3]


def plane(z):
    return z[:, :2] @ AXES[:2]


def front(z):
    """A flat manifold that holds it has dozens of dimensions."""
    return np.tanh((np.linspace(-0.5, 1.5, 40) - z[:, :1]) / 0.1)


@pytest.mark.parametrize("n", [64, 256])
@pytest.mark.parametrize("draw", ["random", "design"])
@pytest.mark.parametrize(("manifold", "dimension"), [(circle, 1), (front, 1), (sphere, 2), (plane, 2)])
def test_known_dimensions(manifold, dimension, draw, n):
    z = np.random.default_rng(n).random((n, 2)) if draw == "random" else qmc.Sobol(2, seed=n).random(n)
    rows = manifold(z)
    found = intrinsic_dimension(rows)
    assert 0.75 * dimension < found < 1.35 * dimension
    assert intrinsic_dimension(3e-5 * rows - 7 * AXES[0]) == pytest.approx(found, rel=1e-6)  # of shape alone


def test_rows_that_repeat_others_count_once():
    rows = circle(np.random.default_rng(0).random((60, 1)))
    again = np.concatenate([rows, rows[::2], rows[5:6] + 1e-12])
    assert intrinsic_dimension(again) == pytest.approx(intrinsic_dimension(rows), rel=1e-6)


def test_what_cannot_be_told_is_none():
    rows = plane(np.random.default_rng(0).random((LEAST, 2)))
    assert intrinsic_dimension(rows) is not None
    for few in (rows[:0], rows[:1], rows[: LEAST - 1], np.concatenate([rows[:-1], rows[:1]])):
        assert intrinsic_dimension(few) is None
    assert intrinsic_dimension(np.ones((50, 7))) is None  # one point
    assert intrinsic_dimension(np.eye(50)) is None  # all as far from each other
    assert intrinsic_dimension(np.where(np.eye(50) > 0, np.nan, 1.0)) is None


def test_of_many_rows_some_are_looked_at_wherever_they_stand():
    """In the order of a grid: the first ``MOST`` are a line, many times over."""
    side = 40
    grid = np.stack([a.ravel() for a in np.meshgrid(*[np.linspace(0, 1, side)] * 2, indexing="ij")], axis=1)
    rows = np.concatenate([np.linspace(0, 1, MOST)[:, None] * AXES[2], plane(3 * grid)])
    assert 0.9 < intrinsic_dimension(rows[:MOST]) < 1.4 < 1.6 < intrinsic_dimension(rows) < 2.3


def test_an_autoencoder_of_functions_tells_the_dimension_of_the_family():
    """40 numbers go in, and one of them would do; the size of the code stays what it was."""
    x = np.linspace(0, 1, 40)
    bumps = np.exp(-(((x - np.random.default_rng(0).random((64, 1))) / 0.3) ** 2))
    data = assay.dataset(bumps[..., None], bumps**2, x)
    told = assay.train(data.problem, "autoencoder", data.snapshots, steps=1, width=2, levels=2).training
    assert (told["latent"], told["inputs"]) == (40, 40) and 0.8 < told["intrinsic_dimension"] < 1.5
