"""Outputs: what they are, proved intervals against exact numbers, planted faults, and every verb on an output."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from against_truth import wrong

from assay import Box, black_box, certify, falsify, guard, output
from assay.solvers import ThermalBlock
from assay.solvers.discretisations.q1 import ELEMENT
from assay.solvers.outputs import areas, values
from assay.solvers.problems.advection_diffusion import AdvectionDiffusion
from assay.solvers.problems.bratu import Bratu
from assay.solvers.problems.burgers import Burgers
from assay.solvers.problems.catalogue import PROBLEMS, problem
from assay.solvers.problems.cavity import Cavity
from assay.solvers.problems.elasticity import Elasticity
from assay.solvers.problems.heat import Heat
from assay.solvers.problems.helmholtz import Helmholtz
from assay.solvers.problems.wave import Wave
from assay.verify.proofs import primal_dual, thomson
from assay.verify.proofs.bounds import output_errors
from assay.verify.proofs.prover import proof_of
from assay.verify.proofs.thomson import Directions

pytestmark = pytest.mark.rounding
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def block():
    return ThermalBlock((2, 2), 8, low=0.1, high=10.0)


# ---- what an output is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "weights", "why"),
    [
        ("", [1.0], "needs a name"),
        (3, [1.0], "needs a name"),
        ("a", [[1.0]], r"of shape \[1, 1\]"),
        ("a", [1.0, np.nan], "finite numbers.*NaN or infinity"),
        ("a", ["x"], "must be numbers"),
        ("a", 1.0, r"of shape \[\]"),
        ("a", [1.0 + 1j], "must be numbers|complex"),
    ],
)
def test_weights_that_make_no_output_are_refused(name, weights, why):
    with pytest.raises(ValueError, match=why):
        output(name, weights)


def test_unknown_names_list_the_known_ones(block):
    fields = np.zeros((1, block.size))
    with pytest.raises(ValueError, match="no output 'centr'; it has: compliance, mean.*did you mean 'centre'"):
        certify(block, fields, block.inputs.centre[None], output="centr")
    with pytest.raises(ValueError, match="has 3 weights, but a field of thermal-block has 81"):
        certify(block, fields, block.inputs.centre[None], output=output("mine", np.ones(3)))
    with pytest.raises(ValueError, match="names no outputs: make one"):
        guard(black_box(lambda p: p, Box(("a",), np.zeros(1), np.ones(1))), lambda P: P, output="mean")
    with pytest.raises(ValueError, match="takes a name or assay.output"):
        falsify(block, wrong(block), output=3)


def test_every_problem_names_outputs_of_its_own_size():
    for name in PROBLEMS:
        found = problem(name).outputs
        assert found and all(key == one.name for key, one in found.items())
        for one in found.values():
            assert one.constant is None or one.constant.shape == (problem(name).size,)


def test_outputs_are_what_their_names_say(block):
    p = np.ones((1, 4))
    u = np.asarray(block.solve_batch(p))
    said = {name: values(block, one, p, u)[0] for name, one in block.outputs.items()}
    assert said["compliance"] == pytest.approx(np.asarray(block.load(p[0])) @ u[0], rel=1e-12)
    assert said["mean"] == pytest.approx(said["compliance"], rel=1e-12)  # the source is one
    assert said["centre"] == u[0].reshape(9, 9)[4, 4]
    assert [said[f"flux-{side}"] for side in ("left", "right", "bottom", "top")] == pytest.approx([0.25] * 4, rel=1e-12)
    assert areas(np.array([[0.0], [0.5], [2.0]])) == pytest.approx([0.25, 1.0, 0.75])


def test_supports_carry_what_is_put_on():
    membrane = Elasticity(blocks=(2, 1), cells=4, body=(0.5, 0.0))
    p = membrane.inputs.sample(1, seed=0)
    u = np.asarray(membrane.solve_batch(p))
    found = [values(membrane, membrane.outputs[f"reaction-{c}"], p, u)[0] for c in "xy"]
    assert found == pytest.approx([-0.5, -1.0], rel=1e-9)
    c = certify(membrane, wrong(membrane), p, output="reaction-y")
    assert c.output_lower[0] <= -1 <= c.output_upper[0] and c.output_upper[0] - c.output_lower[0] < 0.1


# ---- intervals against exact numbers -------------------------------------------------------------------------------


def exact(p, n=4):
    """The thermal block's solution in fractions, of two blocks side by side."""
    flint = pytest.importorskip("flint")
    side = n - 1
    stiff, load = flint.fmpq_mat(side**2, side**2), flint.fmpq_mat(side**2, 1)
    for cx in range(n):
        for cy in range(n):
            corners = [(cx, cy), (cx + 1, cy), (cx, cy + 1), (cx + 1, cy + 1)]
            weight = rational(p[0] if cx < n // 2 else p[1])
            for a, (i, j) in enumerate(corners):
                for b, (k, m) in enumerate(corners):
                    if 0 < i < n and 0 < j < n and 0 < k < n and 0 < m < n:
                        row, column = (i - 1) * side + j - 1, (k - 1) * side + m - 1
                        stiff[row, column] = stiff[row, column] + flint.fmpq(round(6 * ELEMENT[a, b]), 6) * weight
    for i in range(side**2):
        load[i, 0] = flint.fmpq(1, n * n)
    u = np.zeros((n + 1, n + 1), dtype=object)
    u[:] = flint.fmpq(0)
    u[1:-1, 1:-1] = np.array([stiff.solve(load)[i, 0] for i in range(side**2)], dtype=object).reshape(side, side)
    return u.ravel()


def rational(x):
    flint = pytest.importorskip("flint")
    whole = Fraction(float(x))
    return flint.fmpq(whole.numerator, whole.denominator)


def inside(low, l, u, high):
    """Whether the exact l . u lies between the ends."""
    truth = sum((rational(w) * x for w, x in zip(l, u, strict=True)), rational(0))
    return rational(low) <= truth <= rational(high)


OBLONG = ThermalBlock((2, 1), 4, low=0.01, high=100.0)


@pytest.mark.parametrize("steps", [0, 2])
def test_intervals_hold_to_the_last_bit_of_exact_solutions(steps):
    """Fields some ulps from the truth: what is left is rounding. Others are far off, or zero."""
    for p in ([1.0, 1.0], [0.013, 87.0]):
        u = exact(p)
        near = np.array([float(Fraction(int(x.p), int(x.q))) for x in u])
        noise = RNG.standard_normal(near.size)
        fields = np.stack([near, near * (1 + 4e-16 * np.sign(noise)), near * 1.01, 0 * near, near + noise])
        P = np.repeat([p], len(fields), axis=0)
        for l in (RNG.standard_normal(near.size), np.arange(25) == 12, np.ones(25), 1e-9 * noise):
            c = certify(OBLONG, fields, P, output=output("mine", l), steps=steps)
            assert all(inside(low, l, u, high) for low, high in zip(c.output_lower, c.output_upper, strict=True))
            width = (c.output_upper - c.output_lower) / (np.abs(l) @ np.abs(near))
            assert width[0] < 1e-9 and np.isfinite(width).all()


def test_intervals_of_weights_that_depend_on_the_input_hold_too():
    p = [0.013, 87.0]
    u = exact(p)
    near = np.array([float(Fraction(int(x.p), int(x.q))) for x in u])
    psi = np.zeros((5, 5))
    psi[0] = [0.5, 1, 1, 1, 0.5]
    c = certify(OBLONG, np.stack([near, near * 1.01]), [p, p], output="flux-left")
    # psi.(f - A u), element by element: the left column of cells alone touches the side
    leaves, grid = rational(0), u.reshape(5, 5)
    for j in range(4):
        local = [(0, j), (1, j), (0, j + 1), (1, j + 1)]
        for a, one in enumerate(local):
            share = rational(psi[one])
            flow = sum((rational(round(6 * ELEMENT[a, b])) * grid[at] for b, at in enumerate(local)), rational(0))
            leaves += share * (rational(1) / 64 - rational(p[0]) * flow / 6)
    assert all(
        rational(low) <= leaves <= rational(high) for low, high in zip(c.output_lower, c.output_upper, strict=True)
    )
    assert c.output_upper[0] - c.output_lower[0] < 1e-9


@pytest.mark.parametrize("wanted", ["compliance", "mean", "mean-quarter", "centre"])
def test_the_width_is_that_of_a_product(block, wanted):
    P = block.inputs.sample(8, seed=2)
    truth = np.asarray(block.solve_batch(P))
    c = certify(block, wrong(block), P, output=wanted)
    t = values(block, block.outputs[wanted], P, truth)
    assert ((c.output_lower <= t) & (t <= c.output_upper)).all()
    assert ((c.output_upper - c.output_lower) / np.abs(t) <= 2.5 * c.relative_upper**2).all()
    assert c.outputs["compliance"].lower is not None and c.output == wanted


@pytest.mark.parametrize("fault", ["", "upper_bound", "_dual"])
def test_a_factor_that_is_half_of_what_it_should_be_is_caught(monkeypatch, fault):
    """The zero field, nothing corrected, and an output that is a multiple of the load: there the product is sharp."""
    whole = {name: getattr(primal_dual, name) for name in ("upper_bound", "_dual")}
    halved = {
        "upper_bound": lambda *args: (whole["upper_bound"](*args)[0] / 2, whole["upper_bound"](*args)[1]),
        "_dual": lambda *args: (whole["_dual"](*args)[0], whole["_dual"](*args)[1] / 2),
    }
    if fault:
        monkeypatch.setattr(primal_dual, fault, halved[fault])

    def still(problem, theta, r, steps):
        return Directions(jnp.zeros_like(r), problem.reference_solve(r), jnp.zeros_like(r))

    for module in (thomson, primal_dual):  # of the field, and of the dual
        monkeypatch.setattr(module, "cg_directions", still)
    p, u = jnp.ones(2), exact([1.0, 1.0])
    _, lower, upper = primal_dual.bound_output(OBLONG, p, jnp.zeros(25), 0, output("sum", np.ones(25)), None)
    assert inside(float(lower), np.ones(25), u, float(upper)) is (not fault)
    if not fault:
        assert float(upper) <= float(sum(u)) * (1 + 1e-9)


# ---- by a radius: the dual norm of each theorem against dense linear algebra ---------------------------------------


def dense_dual(gram, w):
    return float(np.sqrt(w @ np.linalg.solve(gram, w)))


@pytest.mark.parametrize(
    ("problem", "p"),
    [
        (Bratu(cells=8), [3.0, 0.7]),
        (Bratu(dimension=1, cells=8), [2.0]),
        (Helmholtz(cells=8, width=0.2), [30.0, 0.05, 0.4, 0.6]),
        (AdvectionDiffusion(cells=6), [0.3, 1.0, 0.1]),
        (Burgers(cells=8, steps=2), None),
    ],
)
def test_dual_norms_are_those_of_the_problems_norm(problem, p):
    p, N = jnp.asarray(problem.inputs.centre if p is None else p), problem.size
    moved = np.asarray(problem.prescribe(p, np.full(N, 7.0)))
    free = np.flatnonzero(problem.free) if hasattr(problem, "free") else np.flatnonzero(moved == 7.0)
    gram = np.zeros((len(free), len(free)))
    unit = np.eye(N)
    pairs = [(a, b) for a in range(len(free)) for b in range(a + 1)]
    norms = jax.jit(jax.vmap(lambda u: problem.norm(p, u) ** 2))
    square, both = (
        np.asarray(norms(u)) for u in (unit[free], np.stack([unit[free[a]] + unit[free[b]] for a, b in pairs]))
    )
    for (a, b), whole in zip(pairs, both, strict=True):
        gram[a, b] = gram[b, a] = square[a] if a == b else (whole - square[a] - square[b]) / 2
    dual = jax.jit(proof_of(problem).dual_norm_row)
    for w in (RNG.standard_normal(N) * (moved == 7.0), unit[free[0]], unit[free[len(free) // 2]]):
        found = float(dual(p, jnp.asarray(w)))
        assert found == pytest.approx(dense_dual(gram, w[free]), rel=1e-7) and found >= dense_dual(gram, w[free]) / (
            1 + 1e-9
        )


def test_the_heat_equations_factor_is_sharp_for_one_step():
    """Crank-Nicolson, one step, an eigenvector with lambda dt = 2: |e|_M^2 is half of dt ||r||^2, not less."""
    problem = Heat(blocks=(1, 1), cells=4, steps=1, scheme="crank-nicolson", low=0.1, high=10.0)
    mode = np.sin(np.pi * np.arange(5) / 4)
    e = np.outer(mode, mode)
    q = ThermalBlock((1, 1), 4, low=0.1, high=10.0)
    lam = float(q.norm(jnp.ones(1), e.ravel())) ** 2 / (problem.mass * (e**2).sum())  # at k = 1
    k = 2 / (lam * problem.end_time)
    assert 0.1 <= k <= 10
    p = np.array([[k, 1.0]])
    truth = np.asarray(problem.solve_batch(p))[0]
    field = truth + np.concatenate([np.zeros(25), 1e-3 * e.ravel()])
    l = output("along", np.concatenate([np.zeros(25), e.ravel()]))
    c = certify(problem, field[None], p, output=l, steps=0)
    off = abs(values(problem, l, p, field[None]) - values(problem, l, p, truth[None]))[0]
    assert off <= (c.output_upper - c.output_lower)[0] / 2 <= 1.001 * off


@pytest.mark.parametrize(
    "problem",
    [
        Bratu(cells=8),
        Helmholtz(cells=16),
        Heat(blocks=(2, 1), cells=4, steps=3),
        AdvectionDiffusion(cells=8),
        Burgers(cells=16, steps=8, nu_low=0.05),
    ],
    ids=lambda problem: problem.name,
)
def test_intervals_by_a_radius_hold(problem):
    P = problem.inputs.sample(4, seed=4)
    truth = np.asarray(problem.solve_batch(P))
    for name in (name for name in problem.outputs if "half" in name or "quarter" in name):
        for steps, width in ((0, np.inf), (2, 1e-2)):
            c = certify(problem, wrong(problem), P, output=name, steps=steps)
            t = values(problem, problem.outputs[name], P, truth)
            assert ((c.output_lower <= t) & (t <= c.output_upper)).all(), name
            assert (c.output_upper - c.output_lower <= width * np.abs(t).max()).all()


# ---- what cannot be proved -----------------------------------------------------------------------------------------


def test_without_a_theorem_nothing_is_proved_and_that_is_said():
    problem = Wave(cells=8, steps=16)
    P = problem.inputs.sample(2, seed=0)
    c = certify(problem, np.zeros((2, problem.size)), P, output="final-centre-velocity")
    assert np.isneginf(c.output_lower).all() and np.isposinf(c.output_upper).all() and (c.output_value == 0).all()
    assert any("no proved bound is known for wave" in note for note in c.notes)
    guarded = guard(problem, wrong(problem, 1e-9), output="final-centre-velocity")(P)
    assert list(guarded.route) == ["solved"] * 2 and np.isinf(guarded.error_upper).all()
    assert guarded.output == pytest.approx(
        values(problem, problem.outputs["final-centre-velocity"], P, np.asarray(problem.solve_batch(P)))
    )


def test_rows_that_say_nothing_have_no_interval(block):
    P = np.vstack([block.inputs.centre, block.inputs.centre, 2 * block.inputs.upper])
    fields = np.zeros((3, block.size))
    fields[1, 40] = np.nan
    c = certify(block, fields, P, output="mean")
    assert (
        np.isfinite(c.output_lower[0])
        and np.isneginf(c.output_lower[1:]).all()
        and np.isposinf(c.output_upper[1:]).all()
    )
    with pytest.raises(ValueError, match=r"certify\(..., output=NAME\)"):
        certify(block, fields, P).output_lower  # noqa: B018


@pytest.mark.parametrize(
    ("value", "low", "high", "scale", "errors"),
    [
        (1.0, 1.0, 1.0, 0.0, (0, 0)),
        (0.0, 0.0, 0.0, 0.0, (0, 0)),
        (1.0, 2.0, 4.0, 0.0, (0.5, 0.75)),
        (1.0, -1.0, 2.0, 0.0, (0, np.inf)),
        (1.0, -1.0, 2.0, 1.0, (0, 1)),
        (-1.0, 2.0, 4.0, 0.0, (1.25, 1.5)),
        (1.0, -np.inf, 2.0, 0.0, (0, np.inf)),
        (np.nan, 1.0, 2.0, 0.0, (0, np.inf)),
        (1.0, 2.0, 1.0, 0.0, (0, np.inf)),  # an empty interval proves nothing
    ],
)
def test_errors_of_an_output_from_its_interval(value, low, high, scale, errors):
    found = [float(x) for x in output_errors(value, low, high, scale)]
    assert found == pytest.approx(errors, abs=1e-14)
    if 0 < found[1] < np.inf:
        l = np.linspace(low, high, 1001)
        each = abs(l - value) / (scale + abs(l))
        assert found[0] <= each.min() and each.max() <= found[1]


def test_the_cavitys_dual_norm_is_that_of_the_vorticity_and_its_intervals_hold():
    problem = Cavity(cells=10, stretch=0.6, reynolds=(60.0, 150.0), profile=(0.2, 0.7))
    proof, free = proof_of(problem), np.flatnonzero(problem.free)
    areas_, N = np.outer(problem.widths[1], problem.widths[1]).ravel(), problem.size
    curl = jax.jit(jax.vmap(lambda e: problem.curl(problem.grid(e), jnp.zeros(11)).reshape(-1)))
    curls = np.asarray(curl(np.eye(N)[free]))
    gram, dual = curls * areas_ @ curls.T, jax.jit(proof.dual_norm_row)
    p, mu = jnp.asarray(problem.inputs.centre), float(proof.constants["mu"][0])
    for w in (RNG.standard_normal(N), problem.outputs["u-centre"].constant):
        found = float(dual(p, jnp.asarray(w))) / np.sqrt(mu)
        assert found == pytest.approx(dense_dual(gram, w[free]), rel=1e-6) and found >= dense_dual(gram, w[free]) * (
            1 - 1e-9
        )
    P = problem.inputs.sample(3, seed=1)
    truth = np.asarray(problem.solve_batch(P, 1e-13))
    for name in ("v-centre", "psi-centre"):
        c = certify(problem, wrong(problem), P, output=name)
        t = values(problem, problem.outputs[name], P, truth)
        assert ((c.output_lower <= t) & (t <= c.output_upper)).all()
        assert ((c.output_upper - c.output_lower) <= 1e-3 * np.abs(t)).all()
