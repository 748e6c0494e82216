"""Box proofs by fluxes, for lognormal diffusion: every bound holds at sampled points, whatever flux it is made of."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assay.benchmarks.soundness.tampering import LIES, tampered
from assay.benchmarks.soundness.true_error import TrueError
from assay.solvers.discretisations import q1
from assay.solvers.problems.lognormal_diffusion import LognormalDiffusion
from assay.verify.answers.evaluate import captured
from assay.verify.audit import audit
from assay.verify.boxes.box_bound import BoundInputs
from assay.verify.boxes.box_proof import flux_bounds
from assay.verify.boxes.fluxes.box_flux import make_flux_bound
from assay.verify.boxes.fluxes.flux_family import defect, flux_family
from assay.verify.boxes.fluxes.flux_path import BY_FLUXES, flux_path
from assay.verify.boxes.fluxes.log_weights import log_weights
from assay.verify.certify import certify
from assay.verify.certify_box import certify_box
from assay.verify.guard import guard
from assay.verify.proofs.prover import proof_of

PROBLEM = LognormalDiffusion(d=2, sigma=0.4, length=0.5, cells=8)
LINE = LognormalDiffusion(d=1, sigma=0.4, length=0.5, cells=8)
ORDER = 3


class Smooth:
    """exp of a polynomial of degree two in the inputs, times the solution there: three modes, with a JAX program.

    ``spoil`` (x, c) -> c, x in unit coordinates.
    """

    def __init__(self, problem, spoil=lambda x, c: c, modes=3):
        self.box, self.spoil = problem.inputs, spoil
        P = self.box.from_unit(np.random.default_rng(1).random((40, problem.inputs.dimension)))
        U = np.asarray(problem.solve_batch(P))
        self.basis = np.linalg.svd(U.T, full_matrices=False)[0][:, :modes] * problem.free[:, None]
        self.weights = np.linalg.lstsq(np.asarray(self.terms(P)), U @ self.basis, rcond=None)[0]

    @staticmethod
    def terms(P):
        columns = list(jnp.asarray(P).T / 3)
        products = [a * b for i, a in enumerate(columns) for b in columns[i:]]
        return jnp.stack([jnp.ones_like(columns[0]), *columns, *products], axis=1)

    def coefficients(self, P):
        return self.spoil((jnp.asarray(P) + 3) / 6, self.terms(P) @ self.weights)

    def __call__(self, P):
        return np.asarray(self.coefficients(P)) @ self.basis.T


def errors(problem, surrogate, P):
    """Proved lower ends of the true relative errors."""
    measured = TrueError(problem)
    U, norms = measured.truths(P)
    return measured(P, U, norms, np.asarray(surrogate(P))).low / norms.high


def points(problem, n, seed=0):
    d = problem.inputs.dimension
    corners = np.stack(np.meshgrid(*[[0.0, 1.0]] * d, indexing="ij"), axis=-1).reshape(-1, d)
    return problem.inputs.from_unit(np.concatenate([np.random.default_rng(seed).random((n, d)), corners]))


@pytest.fixture(scope="module")
def plane():
    """(surrogate, sampled inputs, their errors) in two dimensions."""
    surrogate, P = Smooth(PROBLEM), points(PROBLEM, 3000)
    return surrogate, P, errors(PROBLEM, surrogate, P)


@pytest.fixture(scope="module")
def compiled(plane):
    """The bound of boxes [n, 2] as a function of (low, high, data), as ``certify_box`` uses it, and the data."""
    model = captured(plane[0])
    path = flux_path(PROBLEM, model, proof_of(PROBLEM).basis(model))
    model = path.model
    bounds = flux_bounds(model.architecture, PROBLEM.inputs.log, ORDER)
    ends = np.stack(PROBLEM.inputs.scaled_ends())

    def bound(low, high, data=path.data, scale=0.0):
        return np.asarray(bounds(low, high, BoundInputs(ends, data, model.weights, np.float64(scale))).upper)

    return bound, path.data


@pytest.fixture(scope="module")
def trust(plane):
    return certify_box(PROBLEM, plane[0], 0.5 * plane[2].max(), seconds=30, order=ORDER, width=1 / 8)


def test_the_whole_box_is_decided_and_every_leafs_bound_holds(plane, trust):
    surrogate, P, found = plane
    assert trust.certified_volume > 0.5 and trust.falsified_volume > 0 and trust.undecided_volume == 0
    upper = trust.relative_upper_at(P)
    assert (found <= upper).all()
    assert 0.99 * found.max() <= trust.relative_lower <= trust.relative_upper <= 1.3 * found.max()
    assert (trust.verdict(P[found > trust.tolerance]) == "falsified").all()
    assert BY_FLUXES in trust.assumptions


def test_a_map_is_saved_gone_on_with_and_guarded_by(plane, trust, tmp_path):
    surrogate, P, found = plane
    path = tmp_path / "map.json"
    trust.save(path)
    after = certify_box(PROBLEM, surrogate, trust.tolerance, seconds=30, order=ORDER, resume=path, ratio=1.0005)
    assert after.boxes > trust.boxes and after.relative_upper <= 1.0005 * after.relative_lower
    assert (found <= after.relative_upper_at(P)).all()
    good = P[trust.verdict(P) == "certified"][:50]
    answer = guard(PROBLEM, surrogate, trust.tolerance, trust=path)(good)
    assert (answer.route == "accepted").all() and any("trust map" in note for note in answer.notes)
    assert np.array_equal(answer.relative_upper, trust.relative_upper_at(good))
    assert np.abs(answer.u - surrogate(good)).max() < 1e-12
    other = Smooth(PROBLEM, lambda x, c: 1.001 * c)
    with pytest.raises(ValueError, match="about another surrogate"):
        guard(PROBLEM, other, trust.tolerance, trust=path)


def test_an_audit_proves_the_leaves_by_other_means_and_finds_lies(plane, trust, tmp_path):
    surrogate, path, other = plane[0], tmp_path / "map.json", tmp_path / "lie.json"
    trust.save(path)
    found = audit(path, PROBLEM, surrogate)
    assert (found.proved, found.leaves) == (trust.boxes, trust.boxes) and found.witnesses >= 1 and found.falsified >= 1
    for lie, reason in ((LIES[11], "an error of at least|not reproduced"), (LIES[3], "failure")):
        with pytest.raises(ValueError, match=reason):
            audit(tampered(path, lie, other), PROBLEM, surrogate)


def test_tiny_boxes_have_the_bound_of_their_point(plane, compiled):
    surrogate, (bound, _) = plane[0], compiled
    for x in np.random.default_rng(2).random((20, 2)) * 0.9:
        p = PROBLEM.inputs.from_unit(x[None])
        true, point = errors(PROBLEM, surrogate, p)[0], certify(PROBLEM, surrogate, p).relative_upper[0]
        (upper,) = bound(x[None], x[None] + 1e-6)
        assert true <= upper <= 1.01 * true and upper <= 1.01 * point


def test_bounds_hold_over_boxes_of_every_size_and_are_close_on_small_ones(plane, compiled):
    _, P, found = plane
    X, bound = PROBLEM.inputs.to_unit(P), compiled[0]
    rng = np.random.default_rng(3)
    for depth in (1, 2, 3, 4):
        ratios = []
        for _ in range(8):
            low = rng.integers(0, 2**depth, 2) / 2**depth
            inside = ((low <= X) & (low + 0.5**depth >= X)).all(axis=1)
            (upper,) = bound(low[None], low[None] + 0.5**depth)
            assert (found[inside] <= upper).all()
            ratios.append(upper / found[inside].max())
    assert np.median(ratios) < 1.5


def test_an_absolute_part_enters_the_bound_of_every_box(plane, compiled):
    """sup ||e|| / (s + ||u||): above what sampled points have, below E / s and the relative bound."""
    bound, _ = compiled
    surrogate, P, _ = plane
    measured = TrueError(PROBLEM)
    U, norms = measured.truths(P)
    error = measured(P, U, norms, np.asarray(surrogate(P))).low
    scale = 3 * float(np.median(norms.value))
    low = np.linspace(0, 0.9, 12)[:, None] * np.ones(2)
    high = low + 0.1
    relative, mixed = bound(low, high), bound(low, high, scale=scale)
    X = PROBLEM.inputs.to_unit(P)
    for a, b, most, least in zip(low, high, relative, mixed, strict=True):
        inside = ((a <= X) & (b >= X)).all(axis=1)
        assert inside.any() and (error[inside] / (scale + norms.high[inside]) <= least).all()
        sizes = norms.value[inside]
        assert least < most * sizes.max() / (scale + sizes.max()) * 1.1


def test_any_flux_gives_a_valid_bound_and_a_wrong_one_a_larger_bound(plane, compiled):
    """A start with a divergence of its own: charged, never overlooked."""
    _, P, found = plane
    bound, data = compiled
    X, (low, high) = PROBLEM.inputs.to_unit(P), (np.array([[0.25, 0.5]]), np.array([[0.375, 0.625]]))
    worst = found[((low <= X) & (high >= X)).all(axis=1)].max()
    (honest,) = bound(low, high)
    family, f = data.family, np.asarray(PROBLEM.load(jnp.zeros(2)))
    noise = np.random.default_rng(4).standard_normal(family.start.shape)
    before = honest
    for size in (1e-7, 1e-5, 1e-3, 1e-1):
        start = np.asarray(family.start) + size * noise
        spoilt = replace(family, start=jnp.asarray(start), defects=family.defects.at[0].set(defect(PROBLEM, start, f)))
        (upper,) = bound(low, high, replace(data, family=spoilt))
        assert upper >= worst and upper > before * (1 - 1e-12)
        before = upper
    assert before > 2 * honest >= 2 * worst
    zero = replace(family, modes=0 * family.modes)  # no freedom at all
    assert bound(low, high, replace(data, family=zero))[0] > honest >= worst


def test_the_family_is_free_of_divergence_to_its_stated_defect(compiled):
    family, free = compiled[1].family, PROBLEM.free
    n = PROBLEM.cells
    f = np.asarray(PROBLEM.load(jnp.zeros(2)))
    adjoint = jax.linear_transpose(q1.flux, jax.ShapeDtypeStruct((n + 1, n + 1), jnp.float64))
    for j, y in enumerate([family.start, *family.modes]):
        left = (f if j == 0 else 0 * f) - np.asarray(adjoint(y.reshape(3, n, n))[0]).ravel()
        assert np.linalg.norm(left[free]) <= family.defects[j] <= 1e-12
        assert np.linalg.norm(y) <= family.sizes[j]
    wrong = np.asarray(family.start) * 1.001
    assert defect(PROBLEM, wrong, f) >= 0.000999 * np.linalg.norm(f)


def test_a_planted_failure_and_coefficients_that_are_no_numbers_show_in_every_leaf_that_holds_them():
    """One input: a bump of standard deviation 2 % of the box, NaN beyond 0.9."""

    def spoil(x, c):
        return c * jnp.where(x > 0.9, jnp.nan, 1 + 0.5 * jnp.exp(-((x - 0.37) ** 2) / (2 * 0.02**2)))

    surrogate, P = Smooth(LINE, spoil), points(LINE, 3000)
    model = captured(surrogate)
    path = flux_path(LINE, model, proof_of(LINE).basis(model))
    model = path.model
    compiled = jax.jit(make_flux_bound((False,), model.architecture, ORDER))
    given = BoundInputs(np.stack(LINE.inputs.scaled_ends()), path.data, model.weights)

    def bound(low, high):
        return np.array([float(compiled(a, b, given, np.True_).upper) for a, b in zip(low, high, strict=True)])

    leaf = np.minimum((LINE.inputs.to_unit(P)[:, 0] * 64).astype(int), 63)
    low = np.arange(64)[:, None] / 64
    upper, bad = bound(low, low + 1 / 64)[leaf], LINE.inputs.to_unit(P)[:, 0] > 0.9
    found = errors(LINE, surrogate, P[~bad])
    assert (found <= upper[~bad]).all() and np.isinf(upper[bad]).all()
    assert found.max() > 0.4 and np.median(upper[~bad] / found) < 1.5
    wide = bound(np.array([[0.0], [0.25]]), np.array([[0.25], [0.5]]))
    assert wide[1] >= found.max() and wide[0] < 0.3


class Raised(LognormalDiffusion):
    """The weights are not what the settings say, nor is their logarithm affine."""

    def theta(self, p):
        return super().theta(p) + 1.0


class Stretched(LognormalDiffusion):
    """The factor is in no setting."""

    factor = 1.0

    def theta(self, p):
        return self.factor * super().theta(p)


class Loaded(LognormalDiffusion):
    """The load is another at every input."""

    def load(self, p):
        return p[0] * super().load(p)


class Sorted(LognormalDiffusion):
    """The load's program has no enclosure."""

    def load(self, p):
        return jnp.sort(p)[0] * super().load(p)


class Unsolved(LognormalDiffusion):
    """Its solver fails everywhere."""

    def attempt_batch(self, P, tolerance=None):
        found = super().attempt_batch(P, tolerance)
        return found._replace(u=np.full(np.shape(found.u), np.nan))


def test_why_there_are_no_bounds_by_fluxes_is_told_with_its_cause():
    for kind, cause in ((Loaded, "it varies"), (Sorted, "'sort'"), (Raised, "second derivatives")):
        assert cause in flux_path(kind(d=1, cells=8), None, None)
    family = flux_family(Unsolved(d=1, cells=8), None)
    assert "failed at 67 of 67 inputs. The first: lognormal-diffusion was not solved at" in family


class Thick(LognormalDiffusion):
    """Cells that are not copies of the weights."""

    def cell_weights(self, theta):
        return 4.0 * super().cell_weights(theta)


def test_weights_are_known_from_their_program_alone():
    weights = log_weights(PROBLEM)
    for p in points(PROBLEM, 5):
        z = np.asarray(weights.centre.mid) + (p - weights.at) @ np.asarray(weights.slopes.mid)
        assert np.abs(z - np.log(np.asarray(PROBLEM.theta(p)))).max() < 1e-14
    assert np.asarray(weights.slopes.rad).max() < 1e-13
    assert "second derivatives" in log_weights(Raised(d=1, cells=8))
    thick, plain = (log_weights(kind(d=1, cells=8)) for kind in (Thick, LognormalDiffusion))
    assert np.allclose(np.asarray(thick.centre.mid - plain.centre.mid), np.log(4), atol=1e-14)


def test_a_problem_is_hashed_with_the_weights_of_its_cells():
    """One class, equal settings: nothing else tells."""
    first, second = Stretched(d=1, cells=8), Stretched(d=1, cells=8)
    assert proof_of(first).problem_hash() == proof_of(second).problem_hash()
    object.__setattr__(second, "factor", 2.0)
    assert proof_of(first).problem_hash() != proof_of(second).problem_hash()


class Bump:
    """One mode; nothing is solved for it."""

    def __init__(self, problem):
        self.basis = problem.free[:, None] * 1.0

    def coefficients(self, P):
        return jnp.asarray(P)[:, :1]

    def __call__(self, P):
        return np.asarray(self.coefficients(P)) @ self.basis.T


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (Raised(d=1, cells=8), "affine"),
        (LognormalDiffusion(d=5, cells=8), "at most 4 inputs"),
    ],
)
def test_what_has_no_bound_by_fluxes_is_undecided_with_the_reason(problem, reason):
    trust = certify_box(problem, Bump(problem), 0.1, seconds=1)
    assert trust.undecided_volume == 1 and trust.relative_upper == np.inf and reason in trust.notes[0]
