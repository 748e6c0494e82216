"""The enclosure of the exact solution: it holds where the exact one is known, and is close."""

import numpy as np
import pytest

from assay.solvers.discretisations import prager_synge
from assay.solvers.precision import gamma
from assay.solvers.problems.lognormal_diffusion import LognormalDiffusion

# ||u||^2 = int u for -Lap u = 1: the double sine series 64/pi^6 sum 1/(i^2 j^2 (i^2 + j^2)) over odd i, j.
ODD = np.arange(1.0, 801, 2)
ENERGY = np.sqrt(64 / np.pi**6 * (1 / (np.outer(ODD, ODD) ** 2 * np.add.outer(ODD**2, ODD**2))).sum())


def blocks(n: int, seed: int) -> np.ndarray:
    """Weights of 4 x 4 blocks, contrast 100."""
    return np.kron(10 ** np.random.default_rng(seed).uniform(-1, 1, (4, 4)), np.ones((n // 4, n // 4)))


@pytest.mark.parametrize("n", [4, 8, 16, 32])
def test_poisson_is_enclosed_with_the_known_effectivity(n: int) -> None:
    v = prager_synge.refined_solution(np.ones((n, n)))
    error = np.sqrt(ENERGY**2 - v.sum() / n**2)
    for refine, effectivity in ((1, 1.27), (2, 1.08), (3, 1.04)):
        bound = prager_synge.bound_discretisation_error(np.ones((n, n)), v, refine)
        assert bound.energy_lower <= ENERGY <= bound.energy_upper
        assert bound.lower <= error <= bound.upper
        assert bound.relative_lower <= error / ENERGY <= bound.relative_upper
        assert bound.upper <= effectivity * error or n == 4
        assert (
            refine == 1 or bound.lower >= np.sqrt(1 - 1 / refine**2) * error * 0.98
        )  # all but the finer grid's own error


@pytest.mark.parametrize("seed", range(4))
def test_any_field_is_enclosed_on_discontinuous_coefficients(seed: int) -> None:
    """Against a Q1 solution on cells four times finer, whose own error is enclosed too."""
    n = 8
    w, finer = blocks(n, seed), np.kron(blocks(n, seed), np.ones((8, 8)))
    truth = prager_synge.refined_solution(finer)
    own = prager_synge.bound_discretisation_error(finer, truth, 1).upper
    rng = np.random.default_rng(seed)
    for size in (0.0, 0.01, 1.0):
        v = prager_synge.refined_solution(w)
        v[1:-1, 1:-1] += size * np.abs(v).max() * rng.standard_normal((n - 1, n - 1))
        difference = prager_synge.split(v, 8) - truth
        terms, _ = prager_synge._cell_terms(
            finer, difference, prager_synge.Flux(np.zeros((65, 64)), np.zeros((64, 65)))
        )
        distance = np.sqrt(sum((g**2).sum() for g in terms))
        bound = prager_synge.bound_discretisation_error(w, v)
        assert bound.lower <= distance + own and distance - own <= bound.upper
        assert bound.upper <= 1.6 * distance + own


def test_flux_is_balanced_to_rounding() -> None:
    w = blocks(16, 9) * np.exp(np.random.default_rng(0).standard_normal((16, 16)))
    sigma = prager_synge.equilibrated_flux(w)
    size = np.abs(sigma.x).max()
    assert np.abs(prager_synge.divergence(sigma) + 1 / 16**2).max() <= gamma(40) * size


def test_an_unbalanced_flux_costs_its_imbalance(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault: the flux of half the load must not give half the bound."""
    n = 8
    v = prager_synge.refined_solution(np.ones((n, n)))
    error = np.sqrt(ENERGY**2 - v.sum() / n**2)
    right = prager_synge.equilibrated_flux

    def halved(w: np.ndarray) -> prager_synge.Flux:
        sigma = right(w)
        return prager_synge.Flux(sigma.x / 2, sigma.y / 2)

    monkeypatch.setattr(prager_synge, "equilibrated_flux", halved)
    bound = prager_synge.bound_discretisation_error(np.ones((n, n)), v)
    assert bound.upper >= error and bound.energy_upper >= ENERGY


def test_lognormal_truth_is_enclosed_for_the_continuous_field() -> None:
    """The true coefficient varies within the cells; a solution on cells eight times finer stands in for the exact."""
    coarse, fine = (LognormalDiffusion(d=4, length=0.5, cells=n) for n in (8, 64))
    for p in coarse.inputs.sample(3, seed=7):
        bound = coarse.discretisation_error(p)
        own = fine.discretisation_error(p)
        v = prager_synge.split(coarse.solve_report(p).u.reshape(9, 9), 8)
        distance = float(fine.norm(p, v.ravel() - fine.solve_report(p).u))
        stretch = np.exp(fine.oscillation(p).max() / 2)  # between the norms of the continuous and the cellwise field
        assert bound.lower <= stretch * distance + own.upper
        assert distance / stretch - own.upper <= bound.upper
        assert own.energy_lower <= bound.energy_upper and bound.energy_lower <= own.energy_upper
        assert bound.upper <= 3.2 * distance  # 2.8 measured, where the field varies by 1.9 within a cell


def test_oscillation_bounds_the_field_within_cells() -> None:
    problem = LognormalDiffusion(d=6, sigma=1.5, length=0.3, cells=8)
    finer = LognormalDiffusion(d=6, sigma=1.5, length=0.3, cells=72)  # nine midpoints per side in every cell
    for p in problem.inputs.sample(4, seed=1):
        g, inside = np.asarray(problem.log_field(p)), np.asarray(finer.log_field(p))
        spread = np.abs(inside.reshape(8, 9, 8, 9) - g[:, None, :, None]).max(axis=(1, 3))
        delta = problem.oscillation(p)
        assert (spread <= delta).all() and delta.max() <= 3 * spread.max()


def test_bad_fields_and_weights_are_named() -> None:
    with pytest.raises(ValueError, match="vanish on the boundary"):
        prager_synge.bound_discretisation_error(np.ones((4, 4)), np.ones((5, 5)))
    with pytest.raises(ValueError, match="must be positive"):
        prager_synge.bound_discretisation_error(np.zeros((4, 4)), np.zeros((5, 5)))
