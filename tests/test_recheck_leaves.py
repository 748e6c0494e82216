"""Leaves proved again by Taylor models: a claim is proved if it is true, and not if it is false."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assay.benchmarks.soundness.faulty import Quadratic
from assay.solvers import ThermalBlock
from assay.solvers.problems.lognormal_diffusion import LognormalDiffusion
from assay.verify.answers.evaluate import captured
from assay.verify.answers.frozen import Frozen
from assay.verify.boxes.fluxes.flux_path import flux_path
from assay.verify.certify import certify
from assay.verify.proofs.prover import proof_of, prover
from assay.verify.recheck.halving import BUDGET, HOPELESS, PROVED, Leaves, prove
from assay.verify.recheck.prepare import flux_leaves, leaves_of, reduced_leaves

BLOCK = ThermalBlock((2, 1), 8, low=10**-0.5, high=10**0.5)
LEAF = np.array([[0.25, 0.5]]), np.array([[0.5, 0.75]])


def largest_error(problem, surrogate, low, high):
    """The largest certificate at points of a leaf, and the largest proved error."""
    X = np.concatenate([low + (high - low) * np.random.default_rng(0).random((200, low.shape[1])), low, high])
    P = problem.inputs.from_unit(X)
    found = certify(problem, surrogate(P), P)
    return float(found.relative_upper.max()), float(found.relative_lower.max())


class Soft(Quadratic):
    """The same beside a term with one kink too many in its program, and none in fact."""

    @staticmethod
    def terms(P):
        terms = Quadratic.terms(P)
        return jnp.concatenate([terms, jax.nn.softplus(terms[:, 1:2] + 2 * terms[:, 2:3])], axis=1)


@pytest.mark.parametrize(
    ("share", "kind"),
    [(0.5, Quadratic), (0.99, Quadratic), (1.03, Quadratic), (3.0, Quadratic), (0.99, Soft), (1.03, Soft)],
)
def test_a_leaf_is_proved_if_its_claim_is_true(share, kind):
    surrogate = kind(BLOCK)
    bound = reduced_leaves(BLOCK, prover(BLOCK, surrogate).reduced.bound, Frozen(surrogate, 2), BLOCK.inputs)
    upper, lower = largest_error(BLOCK, surrogate, *LEAF)
    leaves = leaves_of(BLOCK, BLOCK.inputs, *LEAF, np.array([share * (upper if share > 1 else lower)]))
    (answer,), (spent,) = prove(bound, leaves, 3000)
    assert answer == (PROVED if share > 1 else HOPELESS) and spent < 100
    assert prove(bound, leaves, 3000, stop=lambda: True)[0] == [BUDGET]


def scaled_errors(problem, surrogate, low, high, scale):
    """The largest ||e|| / (scale + ||u||) at points of a leaf, by the certificate and proved from below."""
    X = np.concatenate([low + (high - low) * np.random.default_rng(0).random((200, low.shape[1])), low, high])
    P = problem.inputs.from_unit(X)
    found = certify(problem, surrogate(P), P)
    upper = found.upper / (scale + np.sqrt(found.square_lower))
    return float(upper.max()), float((found.lower / (scale + np.sqrt(found.square_upper))).max())


@pytest.mark.parametrize("kind", ["reduced", "fluxes"])
@pytest.mark.parametrize("share", [0.99, 1.05])
@pytest.mark.parametrize("scale", [0.01, 1.0, 1e3])
def test_errors_with_an_absolute_part(kind, share, scale, lognormal):
    """Relative to scale + ||u||: where the scale is large, what is bounded is the absolute error."""
    if kind == "reduced":
        problem, (low, high) = BLOCK, LEAF
        surrogate = Quadratic(BLOCK)
        bound = reduced_leaves(BLOCK, prover(BLOCK, surrogate).reduced.bound, Frozen(surrogate, 2), BLOCK.inputs)
    else:
        problem, surrogate, _, bound = lognormal
        low, high = np.array([[0.5, 0.375]]), np.array([[0.625, 0.5]])
    upper, lower = scaled_errors(problem, surrogate, low, high, scale)
    leaves = leaves_of(problem, problem.inputs, low, high, np.array([share * (upper if share > 1 else lower)]), scale)
    assert (prove(bound, leaves, 500)[0] == [PROVED]) == (share > 1)


def test_a_budget_that_does_not_reach_is_told_apart():
    surrogate, whole = Quadratic(BLOCK), (np.zeros((1, 2)), np.ones((1, 2)))
    bound = reduced_leaves(BLOCK, prover(BLOCK, surrogate).reduced.bound, Frozen(surrogate, 2), BLOCK.inputs)
    leaves = leaves_of(BLOCK, BLOCK.inputs, *whole, np.array([1.03 * largest_error(BLOCK, surrogate, *whole)[0]]))
    assert prove(bound, leaves, 4)[0] == [BUDGET] and prove(bound, leaves, 3000)[0] == [PROVED]


@pytest.mark.parametrize("share", [0.5, 0.99, 1.05])
def test_a_leaf_is_proved_by_fluxes_if_its_claim_is_true(share, lognormal):
    problem, surrogate, path, bound = lognormal
    low, high = np.array([[0.5, 0.375]]), np.array([[0.625, 0.5]])
    upper, lower = largest_error(problem, surrogate, low, high)
    claimed = np.array([share * (upper if share > 1 else lower)])
    (answer,), _ = prove(bound, Leaves(low, high, claimed, {"scale": np.zeros(1)}), 500)
    assert answer == (PROVED if share > 1 else HOPELESS)


class Plain(Quadratic):
    """The same in the inputs themselves."""

    @staticmethod
    def terms(P):
        x, y = jnp.asarray(P).T
        return jnp.stack([jnp.ones_like(x), x, y, x * x, x * y, y * y], axis=1)


@pytest.fixture(scope="module")
def lognormal():
    problem = LognormalDiffusion(d=2, cells=4, sigma=0.5)
    surrogate = Plain(problem)
    model = captured(surrogate)
    path = flux_path(problem, model, proof_of(problem).basis(model))
    return problem, surrogate, path, flux_leaves(path, problem.inputs)
