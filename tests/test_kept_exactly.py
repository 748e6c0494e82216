"""What networks of fields keep to rounding, by whatever they are wrapped in, and what is left to their loss instead."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assay import sample, train
from assay.solvers.problems.heat import Heat
from assay.solvers.problems.thermal_block import ThermalBlock
from assay.solvers.problems.wave import Wave
from assay.surrogates import Ensemble, load, save
from assay.surrogates.networks.field_network import weights_of
from assay.surrogates.networks.field_training import _minimise
from assay.surrogates.networks.projection import projection
from assay.surrogates.training.pod import prepare
from assay.surrogates.training.residual_loss import constraint_loss, unkept

SMALL = {"steps": 1, "widths": (4,)}


def broken(problem, s, n=3):
    """How far answers are from their images, relative to the largest value."""
    P = problem.inputs.sample(n, seed=4)
    U = s(P)
    return max(np.abs(s(P[:, g.inputs]) - U[:, g.entries]).max() for g in problem.symmetries) / np.abs(U).max()


@pytest.fixture(scope="module")
def block():
    return ThermalBlock(cells=4, low=0.5, high=2.0)


@pytest.fixture(scope="module")
def rows(block):
    return sample(block, 16)


@pytest.mark.parametrize("case", [ThermalBlock(cells=4), Heat(cells=4, steps=2)], ids=repr)
def test_a_basis_has_the_symmetries_to_rounding_wherever_it_is_cut(case):
    data = prepare(case, sample(case, 12))
    ranks = []
    for modes in range(1, 8):
        found = projection(case, data, modes, "average")
        V, dual = found["basis"], found["dual"]
        np.testing.assert_allclose(dual.T @ V, np.eye(V.shape[1]), atol=1e-13)
        for g in case.symmetries:
            moved = V[g.entries]
            assert np.abs(moved - V @ (dual.T @ moved)).max() <= 1e-13 * np.abs(V).max()
        ranks.append(V.shape[1])
    assert ranks[0] == 1 and sorted(ranks) == ranks and all(k - r in (0, 1) for k, r in enumerate(ranks, 1))
    assert any(k > r for k, r in enumerate(ranks, 1))  # a cut through two modes that turn into each other


@pytest.mark.parametrize("way", ["average", "canonical"])
def test_a_projected_network_keeps_its_symmetries(block, rows, way, tmp_path):
    s = train(block, "mlp", rows, project=3, symmetry=way, **SMALL)
    assert broken(block, s) <= 1e-13 and broken(block, train(block, "mlp", rows, project=3, **SMALL)) > 1e-3
    P = block.inputs.sample(3, seed=5)
    np.testing.assert_allclose(np.asarray(s.coefficients(P)) @ s.basis.T, s(P), rtol=1e-12, atol=1e-14)
    assert np.array_equal(load(save(s, tmp_path / "model"), block)(P), s(P))


@pytest.mark.parametrize(
    "options", [{"precision": "float32"}, {"physics_weight": 1.0, "physics_points": 8}], ids=["float32", "physics"]
)
def test_symmetries_are_kept_by_every_kind_of_training(block, rows, options):
    s = train(block, "mlp", None if "physics_weight" in options else rows, symmetry="average", **options, **SMALL)
    assert broken(block, s) <= 1e-13


def test_an_inner_product_without_the_symmetries_is_refused():
    class Weighted(ThermalBlock):
        @property
        def energy_matrix(self):
            M = super().energy_matrix.copy()
            M[0, 0] *= 2
            return M

    problem = Weighted(cells=4, low=0.5, high=2.0)
    with pytest.raises(ValueError, match="modes does not have its symmetries.*: leave project at 0, or symmetry"):
        projection(problem, prepare(problem, sample(problem, 3)), 3, "average")


@pytest.fixture(scope="module")
def wave():
    problem = Wave(cells=4, steps=8)
    return problem, sample(problem, 4)


def spread(problem, s):
    P = problem.inputs.sample(2, seed=7)
    E = np.stack([problem.conserved(p, u) for p, u in zip(jnp.asarray(P), jnp.asarray(s(P)), strict=True)])
    return float((np.ptp(E, axis=1) / E[:, 0]).max())


def test_what_is_conserved_is_not_projected_without_saying_so(wave):
    problem, rows = wave
    told = 'does not keep what wave conserves: leave project at 0, or what is .* with constraints="soft"'
    with pytest.raises(ValueError, match=told):
        train(problem, "mlp", rows, project=3, **SMALL)
    s = train(problem, "mlp", rows, project=3, constraints="soft", **SMALL)
    assert s.training["constraints"] == "soft" and s.has_basis and spread(problem, s) > 1e-3


def test_states_that_are_zero_have_nothing_to_scale_and_this_is_told(wave):
    """As of a network that has not left its mean, which vanishes for waves."""
    problem, rows = wave
    away, zero = (train(problem, "mlp", rows, base="mean", **{**SMALL, "steps": n}) for n in (30, 1))
    for s in (away, zero):
        broken = spread(problem, s) > 1e-12
        assert any("what wave conserves is not kept" in told for told in s.training["warnings"]) == broken
        assert s.training["constraints"] == ("hard, but for what is conserved" if broken else "hard")
    assert unkept(problem, jnp.asarray(rows.inputs), jnp.asarray(rows.fields)) == []
    first = np.arange(problem.size) < problem.size // problem.shape[0]
    assert unkept(problem, jnp.asarray(rows.inputs), jnp.where(jnp.asarray(first), rows.fields, 0.0))


def test_an_ensemble_keeps_the_energy_that_its_members_keep(wave):
    """A mean of fields of one energy has less."""
    problem, rows = wave
    members = [train(problem, "mlp", rows, seed=k, **{**SMALL, "steps": 30}) for k in (0, 1)]
    both, P = Ensemble(tuple(members)), problem.inputs.sample(2, seed=7)
    assert max(spread(problem, s) for s in (*members, both)) < 1e-12
    assert spread(problem, lambda P: (members[0](P) + members[1](P)) / 2) > 1e-8
    np.testing.assert_allclose(jax.jit(both)(P), both(P), rtol=1e-10, atol=1e-12)
    one = train(problem, "mlp", rows, constraints="soft", **SMALL)
    mixed = Ensemble((members[0], one))
    np.testing.assert_array_equal(mixed(P), (members[0](P) + one(P)) / 2)


def losses(monkeypatch, problem, rows, **options):
    """The loss of a training, its sets, and what was trained."""
    kept = {}

    def minimise(fit, kind, weights, sets, *more):
        kept.update(loss=fit, sets=sets)
        return _minimise(fit, kind, weights, sets, *more)

    monkeypatch.setattr("assay.surrogates.networks.field_training._minimise", minimise)
    s = train(problem, "mlp", rows, **SMALL, **options)
    return kept["loss"], kept["sets"], s


@pytest.mark.parametrize(("problem", "norm"), [(Heat(cells=4, steps=2), "problem"), (Wave(cells=4, steps=8), "l2")])
def test_soft_constraints_are_penalised_with_data_alone(monkeypatch, problem, norm):
    """By their squared relative defect at the snapshots; of heat also an initial state, which its norm does not see."""
    fit, sets, s = losses(monkeypatch, problem, sample(problem, 3), constraints="soft", norm=norm)
    weights = weights_of(s.arrays)
    defects = jax.vmap(constraint_loss(problem, norm))(sets.P, s(np.asarray(sets.P)))
    added = fit.loss(weights, sets) - fit.data(weights, sets.P, sets.U, sets.sizes)
    assert float(added) == pytest.approx(float(jnp.mean(defects)), rel=1e-9) and float(added) > 1e-3
    kept = jax.vmap(lambda p, u: constraint_loss(problem, norm)(p, problem.prescribe(p, u)))(sets.P, sets.U)
    assert float(jnp.max(kept)) < 1e-20
    hard, _, _ = losses(monkeypatch, problem, sample(problem, 3), norm=norm)
    assert hard.loss(weights, sets) == hard.data(weights, sets.P, sets.U, sets.sizes)


def test_symmetries_are_penalised_motion_by_motion(monkeypatch, block, rows):
    fit, sets, s = losses(monkeypatch, block, rows, symmetry="soft")
    weights, P = weights_of(s.arrays), np.asarray(sets.P[:2])
    assert "norm.group.inputs" not in s.arrays and s.training["symmetry"] == "soft"
    squares = []
    for g in block.symmetries[1:]:
        away = s(P[:, g.inputs]) - s(P)[:, g.entries]  # moved back it has the same norm
        sizes = [float(block.norm(p[g.inputs], e) / block.norm(p, u)) for p, e, u in zip(P, away, s(P), strict=True)]
        squares.append(np.square(sizes))
    for turn in range(8):
        two = [squares[turn % 7][0], squares[(turn + 1) % 7][1]]
        assert float(fit.broken(weights, sets.P[:2], turn)) == pytest.approx(np.mean(two), rel=1e-9)
    assert min(map(min, squares)) > 1e-8


def test_a_penalty_is_learnt_from(block, rows):
    s, plain = (
        train(block, "mlp", rows, steps=300, widths=(8,), base="mean", symmetry=way) for way in ("soft", "none")
    )
    assert 1e-6 < broken(block, s) < 0.8 * broken(block, plain)


def test_who_has_no_such_option_names_who_has(block, rows):
    for option in ("constraints", "symmetry"):
        with pytest.raises(ValueError, match=f"no option of pod-mlp called '{option}', which mlp, resnet, .* have$"):
            train(block, "pod-mlp", rows, **{option: "soft"})
