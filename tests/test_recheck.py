"""Taylor models of the audit: every operation, and whole programs, against Arb and sampled points."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assay.verify.recheck import forms, functions, sigmoidal
from assay.verify.recheck.leaf_boxes import inputs
from assay.verify.recheck.model import Model, add, constant, linear, mul, total
from assay.verify.recheck.space import space
from assay.verify.recheck.tape import record
from assay.verify.recheck.taylor_evaluate import evaluate

flint = pytest.importorskip("flint", reason="the oracle is python-flint: pip install 'assay-pde[audit]'")

SPACE = space(2, 5)
RNG = np.random.default_rng(0)
T = np.concatenate([RNG.uniform(-1, 1, (40, 2)), [[-1, -1], [-1, 1], [1, -1], [1, 1], [0, 0]]])


def monomials(t, where=SPACE):
    return np.prod(np.asarray(t)[:, None] ** where.exponents[None], axis=2)


def model(centres, spread, radius, degree=2):
    """Random polynomials around ``centres`` [B]."""
    n = SPACE.count[degree]
    c = RNG.standard_normal((n, len(centres))) * spread / n
    c[0] = centres
    return Model(SPACE, c, np.full(len(centres), radius), np.zeros(len(centres)))


def values_of(a, shift):
    """Members of the models in Arb: at every point of T, the polynomial plus shift times the radius, [points, B]."""
    flint.ctx.prec = 160
    out = []
    for t in monomials(T).tolist():
        row = []
        for b in range(a.radius.shape[0]):
            terms = zip(t, a.coefficients[:, b].tolist(), strict=False)
            total_ = sum((flint.arb(x) * flint.arb(c) for x, c in terms), flint.arb(0))
            row.append(total_ + flint.arb(shift) * flint.arb(float(a.radius[b])))
        out.append(row)
    return out


def assert_holds(out, exact):
    """Every exact value lies in its model; returns the largest distance as a share of the radius."""
    worst = 0.0
    for t, row in zip(monomials(T).tolist(), exact, strict=True):
        for b, value in enumerate(row):
            r = float(out.radius[b])
            if not np.isfinite(r):
                continue
            terms = zip(t, out.coefficients[:, b].tolist(), strict=False)
            polynomial = sum((flint.arb(x) * flint.arb(c) for x, c in terms), flint.arb(0))
            off = abs(value - polynomial)
            assert off <= flint.arb(r), (b, r, off)
            worst = max(worst, float(off) / r if r else 0.0)
    return worst


UNARY = [
    ("exp", functions.exp, lambda v: v.exp(), False),
    ("expm1", functions.expm1, lambda v: v.expm1(), False),
    ("log1p", lambda a: functions.log1p(add(a, constant(SPACE, -1.0))), lambda v: (v - 1).log1p(), True),
    ("tanh", sigmoidal.tanh, lambda v: v.tanh(), False),
    ("logistic", sigmoidal.logistic, lambda v: 1 / (1 + (-v).exp()), False),
    ("softplus", lambda a: sigmoidal.logaddexp(a, constant(SPACE, 0.0)), lambda v: v.exp().log1p(), False),
    ("erf", sigmoidal.erf, lambda v: v.erf(), False),
    ("erfc", sigmoidal.erfc, lambda v: v.erfc(), False),
    ("sin", functions.sin, lambda v: v.sin(), False),
    ("cos", functions.cos, lambda v: v.cos(), False),
    ("log", functions.log, lambda v: v.log(), True),
    ("sqrt", lambda a: functions.power(a, 0.5), lambda v: v.sqrt(), True),
    ("rsqrt", lambda a: functions.power(a, -0.5), lambda v: v.rsqrt(), True),
    ("1.7", lambda a: functions.power(a, 1.7), lambda v: v ** flint.arb(1.7), True),
    ("reciprocal", functions.reciprocal, lambda v: 1 / v, True),
    ("cube", lambda a: functions.integer_power(a, 3), lambda v: v**3, False),
    ("square inverse", lambda a: functions.integer_power(a, -2), lambda v: 1 / v**2, True),
]


@pytest.mark.parametrize(("name", "apply", "exact", "positive"), UNARY, ids=[u[0] for u in UNARY])
@pytest.mark.parametrize("spread", [1e-12, 1e-3, 0.5, 3.0])
@pytest.mark.parametrize("radius", [0.0, 1e-9, 0.3])
def test_functions_of_models_hold_every_value(name, apply, exact, positive, spread, radius):
    centres = np.array([1e-3, 0.7, 2.0, 9.0]) if positive else np.array([-9.0, -1.1, 0.0, 0.4, 30.0])
    a = model(centres, spread, radius)
    with np.errstate(all="ignore"):
        out = apply(a)
    fine = a.lower > 0 if positive else np.ones(len(centres), bool)
    assert not np.isfinite(out.radius[~fine]).any()  # where the function may have no value, nothing is claimed
    a, out = (Model(SPACE, m.coefficients[:, fine], m.radius[fine], m.loss[fine]) for m in (a, out))
    for shift in (-1, 0, 1):
        assert_holds(out, [[exact(v) for v in row] for row in values_of(a, shift)])
    if spread <= 1e-3 and radius == 0:  # sharp: cubes of a small box, and rounding
        away = np.abs(a.coefficients[0]) > 0.3
        assert (out.radius <= 1e-7 * np.maximum(np.abs(out.coefficients[0]), 1e-2))[away].all()


def test_reciprocals_on_either_side_of_zero():
    a = model(np.array([-2.0, -0.5, 0.01]), 0.3, 0.0)
    with np.errstate(all="ignore"):
        out = functions.reciprocal(a)
    assert np.isinf(out.radius[2]) and np.isfinite(out.radius[:2]).all()
    assert_holds(out, [[1 / v for v in row] for row in values_of(a, 0)])


def test_sums_and_products_hold_every_value():
    a, b = model(np.array([1.0, -2.0, 1e8]), 3.0, 1e-3, 4), model(np.array([0.3, 1e-8, 5.0]), 2.0, 0.2, 5)
    for shift in (-1, 1):
        pairs = list(zip(values_of(a, shift), values_of(b, -shift), strict=True))
        assert_holds(mul(a, b), [[x * y for x, y in zip(*rows, strict=True)] for rows in pairs])
        assert_holds(mul(a, b, 2), [[x * y for x, y in zip(*rows, strict=True)] for rows in pairs])
        assert_holds(add(a, b), [[x + y for x, y in zip(*rows, strict=True)] for rows in pairs])


def vector(batch, size, radius):
    c = RNG.standard_normal((SPACE.count[3], batch, size))
    return Model(SPACE, c, np.full((batch, size), radius), np.zeros((batch, size)))


def entry(m, index):
    return Model(
        SPACE,
        m.coefficients[(slice(None), slice(None), *index)],
        m.radius[(slice(None), *index)],
        m.loss[(slice(None), *index)],
    )


def test_linear_maps_and_quadratic_forms_hold_every_value():
    v, W = vector(3, 4, 1e-4), RNG.standard_normal((4, 2))
    out, members = linear(v, "...a,ab->...b", W, 4), [values_of(entry(v, (i,)), 1) for i in range(4)]
    for j in range(2):
        exact = [
            [sum((flint.arb(W[i, j]) * members[i][t][b] for i in range(4)), flint.arb(0)) for b in range(3)]
            for t in range(len(T))
        ]
        assert_holds(entry(out, (j,)), exact)
    S = RNG.standard_normal((4, 4))
    exact = [
        [
            sum(
                (members[i][t][b] * flint.arb(S[i, j]) * members[j][t][b] for i in range(4) for j in range(4)),
                flint.arb(0),
            )
            for b in range(3)
        ]
        for t in range(len(T))
    ]
    assert_holds(forms.energy(v, S), exact)
    polynomials = vector(3, 4, 0.0)
    h = np.ascontiguousarray(polynomials.coefficients.transpose(1, 0, 2))
    members = [values_of(entry(polynomials, (i,)), 0) for i in range(4)]
    exact = [[sum((members[i][t][b] ** 2 for i in range(4)), flint.arb(0)) for b in range(3)] for t in range(len(T))]
    assert_holds(forms.squares(SPACE, h), exact)
    a = vector(3, 2, 1e-3)
    out = forms.outer(a, v)
    for q in range(2):
        for i in range(4):
            one, other = values_of(entry(a, (q,)), -1), values_of(entry(v, (i,)), 1)
            assert_holds(
                entry(out, (q, i)),
                [[x * y for x, y in zip(*rows, strict=True)] for rows in zip(one, other, strict=True)],
            )


@pytest.mark.parametrize(("d", "order"), [(1, 8), (2, 5), (3, 4)])
def test_bounds_of_polynomials(d, order):
    """Never below a value, and equal to the largest where the polynomial is affine."""
    where, rng = space(d, order), np.random.default_rng(1)
    c = rng.standard_normal((len(where.degree), 50)) * rng.uniform(0, 1, len(where.degree))[:, None]
    a = Model(where, c, np.full(50, 0.01), np.zeros(50))
    t = np.concatenate([rng.uniform(-1, 1, (400, d)), np.sign(rng.standard_normal((50, d)))])
    values = monomials(t, where) @ c
    high, low = forms.highest(a), forms.lowest(a)
    assert (high >= values.max(axis=0) + 0.01).all() and (low <= values.min(axis=0) - 0.01).all()
    affine = Model(where, c[: 1 + d], np.zeros(50), np.zeros(50))
    np.testing.assert_allclose(forms.highest(affine), c[0] + np.abs(c[1 : 1 + d]).sum(axis=0), rtol=1e-12)


def tanh_series(x, j):
    """tanh^(j)(x) / j!."""
    flint.ctx.prec, flint.ctx.cap = 160, j + 1
    e = (-2 * flint.arb_series([flint.arb(float(x)), 1], j + 1)).exp()
    return ((1 - e) / (1 + e))[j]


@pytest.mark.parametrize("j", [1, 4, 6, 9])
def test_derivatives_of_tanh_are_never_larger_than_the_table_says(j):
    rng = np.random.default_rng(j)
    low = np.concatenate([rng.uniform(-10, 10, 300), [-40.0, 7.99, -8.0, 0.0]])
    high = low + np.concatenate([10.0 ** rng.uniform(-9, 1, 300), [1.0, 0.02, 0.0, 0.0]])
    found = sigmoidal.largest_tanh(low, high, j)
    for share in np.linspace(0, 1, 21):
        series = [tanh_series(x, j) for x in low + share * (high - low)]
        assert all(float(abs(v).lower()) <= m for v, m in zip(series, found, strict=True))
    assert (found[-4:-3] < 1e-4).all() and np.isinf(
        sigmoidal.largest_tanh(np.array([np.nan]), np.array([1.0]), j)
    ).all()


def erf_series(x, j):
    flint.ctx.prec, flint.ctx.cap = 160, j + 1
    return flint.arb_series([flint.arb(float(x)), 1], j + 1).erf()[j]


def softplus_series(x, j):
    flint.ctx.prec, flint.ctx.cap = 160, j + 1
    return (1 + flint.arb_series([flint.arb(float(x)), 1], j + 1).exp()).log()[j]


@pytest.mark.parametrize(
    ("largest", "series"), [(sigmoidal.largest_erf, erf_series), (sigmoidal.largest_softplus, softplus_series)]
)
@pytest.mark.parametrize("j", [1, 2, 5, 10])
def test_derivatives_of_erf_and_softplus_are_never_larger_than_is_said(largest, series, j):
    rng = np.random.default_rng(j)
    low = np.concatenate([rng.uniform(-9, 9, 100), [-60.0, 39.9, -8.0, 0.0]])
    high = low + np.concatenate([10.0 ** rng.uniform(-9, 1, 100), [1.0, 2.0, 0.0, 0.0]])
    found = largest(low, high, j)
    for share in np.linspace(0, 1, 9):
        for x, most in zip(low + share * (high - low), found, strict=True):
            assert float(abs(series(x, j)).lower()) <= most
    tight = [abs(float(series(x, j).mid())) for x in np.linspace(-3, 3, 61)]
    assert largest(np.array([-3.0]), np.array([3.0]), j)[0] <= 3 * max(tight)
    assert np.isinf(largest(np.array([-np.inf]), np.array([1.0]), j)).all() or j == 1


LIBRARY = {
    "log1p": (jnp.log1p, lambda v: v.log1p(), functions.log1p, (-0.999, 5.0)),
    "expm1": (jnp.expm1, lambda v: v.expm1(), functions.expm1, (-30.0, 5.0)),
    "softplus": (
        jax.nn.softplus,
        lambda v: v.exp().log1p(),
        lambda a: sigmoidal.logaddexp(a, constant(SPACE, 0.0)),
        (-40.0, 40.0),
    ),
    "erf": (jax.lax.erf, lambda v: v.erf(), sigmoidal.erf, (-7.0, 7.0)),
    "erfc": (jax.lax.erfc, lambda v: v.erfc(), sigmoidal.erfc, (-7.0, 27.0)),
}


@pytest.mark.parametrize("name", LIBRARY)
def test_what_programs_lose_in_library_functions_is_covered(name):
    """At single points, where all that is off is rounding; what is lost stays near rounding."""
    program, exact, apply, (low, high) = LIBRARY[name]
    flint.ctx.prec = 160
    x = np.concatenate([np.random.default_rng(0).uniform(low, high, 1500), [0.0, 1e-9, -1e-9, 0.5, low, high]])
    out = apply(constant(SPACE, x))
    for computed, point, loss in zip(np.asarray(program(x)), x, np.broadcast_to(out.loss[0], x.shape), strict=True):
        assert abs(flint.arb(float(computed)) - exact(flint.arb(float(point)))) <= flint.arb(float(loss))
    assert (out.loss <= 1e-10).all()


def test_functions_far_out_and_without_bounds():
    """Where derivatives vanish in float64 the values stay enclosed; where nothing is known of a, nothing is claimed."""
    far = model(np.array([-1e3, -60.0, 45.0, 1e6]), 1e-3, 0.1)
    for apply, exact in (
        (sigmoidal.erf, lambda v: v.erf()),
        (sigmoidal.erfc, lambda v: v.erfc()),
        (lambda a: sigmoidal.logaddexp(a, constant(SPACE, 0.0)), lambda v: v.exp().log1p() if v < 700 else v),
    ):
        with np.errstate(all="ignore"):
            out = apply(far)
        assert_holds(out, [[exact(v) for v in row] for row in values_of(far, 1)])
        with np.errstate(all="ignore"):
            unknown = apply(model(np.array([0.0, np.inf, np.nan]), 1.0, np.inf))
        assert not np.isfinite(unknown.radius).any()


W = np.random.default_rng(5).standard_normal((2, 3, 3))
PROGRAMS = {
    "network": lambda p: jnp.tanh(jnp.tanh(jnp.log(p) @ W[0, :2]) @ W[1]),
    "polynomial": lambda p: jnp.stack([p[0] ** 3 - p[1], p[0] * p[1] ** 2, 1 / (1 + p[0] ** 2)]),
    "waves": lambda p: jnp.cos(3 * p) * jnp.sin(p[::-1]) + jnp.sqrt(p),
    "moves": lambda p: jnp.concatenate([p, p[jnp.array([1, 0])], jnp.zeros(1)]).at[1].set(2.0)[1:4] * p[0],
    "choices": lambda p: jnp.where(jnp.arange(2) > 0, p, -p) / jnp.maximum(p[0], 0.1) + jnp.abs(p - 0.7),
    "matrix": lambda p: jnp.outer(p, p) @ jnp.stack([p, p**0.3]),
    "softplus": lambda p: jax.nn.softplus(20 * (p @ W[0, :2]) - 10) + jnp.logaddexp(p[0], p[1]),
    "gelu": lambda p: jax.nn.gelu(3 * p - 2, approximate=False) + jax.lax.erf(p),
    "logarithms": lambda p: jnp.log1p(p) * jnp.expm1(-p) + jnp.log1p(jnp.exp(p @ W[0, :2, :2])),
    "sums so far": lambda p: jnp.cumsum(jnp.outer(p, p), axis=1) - jax.lax.cumsum(jnp.outer(p, 1 / p), reverse=True),
    "extremes": lambda p: jnp.max(jnp.outer(p, p), axis=0) - jnp.min(p) + jnp.max(p, initial=-jnp.inf),
    "softmax": lambda p: jax.nn.softmax(jnp.concatenate([p, 3 * p]) / 8),
    "logistic": lambda p: p * (1 / (1 + jnp.exp(-p))) + jnp.sum(p) - jnp.mean(p),
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("log", [(True, True), (True, False)])
def test_programs_are_enclosed_with_what_they_lose(name, log):
    function = PROGRAMS[name]
    tape = record(lambda p: (function(p),), 2)
    low = np.array([[0.0, 0.0], [0.3, 0.5], [0.9, 0.2]])
    high = low + np.array([[0.4], [0.01], [1e-9]])
    ends = np.stack([np.where(log, np.log(0.2), 0.2), np.where(log, np.log(9.0), 1.6)])
    (out,) = evaluate(tape, inputs(SPACE, ends, log, low, high))
    assert np.isfinite(out.radius).all() and (out.loss < 1e-11).all()
    for t in T:
        x = (low + high) / 2 + (high - low) / 2 * t
        z = ends[0] + ends[1] * x
        for b, p in enumerate(np.where(log, np.exp(z), z)):
            polynomial = np.tensordot(
                monomials([t])[0],
                np.pad(
                    out.coefficients,
                    [(0, len(SPACE.degree) - len(out.coefficients))] + [(0, 0)] * (out.coefficients.ndim - 1),
                ),
                1,
            )[b]
            off = np.abs(np.asarray(function(jnp.asarray(p))) - polynomial)
            assert (off <= out.radius[b] + out.loss[b] + 1e-14).all()
    assert (out.radius[2] < 1e-12).all()  # a narrow box leaves rounding


def test_programs_without_a_rule_are_refused_by_name():
    refused = [
        (jnp.sort, "sort"),
        (lambda p: p.astype(jnp.float32) * 2, "float32"),
        (jnp.floor, "floor"),
        (lambda p: jnp.take(p, jnp.array([5, 0]), mode="fill", fill_value=0.0), "reaches beyond"),  # 0 is no entry
        (lambda p: jax.lax.dot(p, jnp.eye(2), precision="F32_F32_F32"), "F32"),
        (lambda p: jax.lax.exp(p, accuracy=jax.lax.AccuracyMode.DEFAULT), "accuracy"),
    ]
    for function, name in refused:
        with pytest.raises(ValueError, match=name):
            record(lambda p, f=function: (f(p),), 2)


def test_inputs_that_are_not_logarithmic_may_be_negative_beside_those_that_are():
    """An entry known by no exponential says nothing of its sign: the branch is chosen by its own range."""
    ends, ones = np.array([[0.0, -2.0], [1.0, 1.0]]), np.ones((1, 2))
    p = inputs(SPACE, ends, (True, False), 0 * ones, ones)
    assert (p.lower[0] <= [1, -2]).all() and (p.upper[0] >= [np.e, -1]).all()
    (out,) = evaluate(record(lambda p: (jnp.maximum(p, 0.5),), 2), p)
    assert out.lower[0, 1] <= 0.5 <= out.upper[0, 1] < 0.6
    moved = record(lambda p: (jnp.concatenate([p[:1], -p[:1]]),), 2)
    assert evaluate(moved, p)[0].lower[0, 1] <= -np.e


def test_totals_and_constants():
    v = constant(SPACE, np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(total(v, (1,)).coefficients[0, 0], [3.0, 12.0])
