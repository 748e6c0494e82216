"""Answers in other arithmetic, where they are known: numpy's formats, cancellation, sums that hang on their order."""

import json
import sys

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import assay
from assay.cli import run
from assay.verify.precision.formats import FORMATS
from assay.verify.precision.rounded import rounded

BOX = assay.Box(("a", "b"), np.array([1.0, 1.0]), np.array([2.0, 2.0]))
FORM = {form.name: form for form in FORMATS}
KINDS = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
KEY = jax.random.key(0, impl="unsafe_rbg")


@pytest.fixture(scope="module")
def plane():
    return assay.black_box(lambda p: np.array([p[0], p[1], 1.0]), BOX, name="plane", norm="max")


def fields(one):
    """[n, 3] with these values first."""
    return jnp.stack([one, jnp.ones_like(one), jnp.ones_like(one)], axis=1)


def evaluated(function, P, form, way="nearest"):
    return np.asarray(rounded(function, len(P), P.shape[1], FORM[form], way)(P, KEY))


@pytest.mark.parametrize("name", KINDS)
def test_a_format_holds_what_numpy_says_it_does(name):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(4000) * 10.0 ** rng.uniform(-9, 6, 4000)
    x = np.concatenate([x, [0.0, -0.0, 65504.0, 65519.0, 65520.0, 6e-8, 2e-8, 1e300, -1e300, np.inf]])
    with np.errstate(over="ignore"):
        there = x.astype(KINDS[name]).astype(np.float64)
    assert np.array_equal(np.asarray(FORM[name].nearest(jnp.asarray(x))), there)
    assert np.array_equal(np.asarray(jax.jit(FORM[name].nearest)(jnp.asarray(x))), there)
    assert np.array_equal(np.asarray(FORM["float64"].nearest(jnp.asarray(x))), x)


@pytest.mark.parametrize("name", KINDS)
def test_every_operation_is_rounded_loops_and_branches_too(name):
    kind = KINDS[name]

    def function(P):
        def step(i, x):
            return jnp.where(i % 2 == 0, x + 0.01 * P[:, 0], x * 1.001)

        x = jax.lax.fori_loop(0, 30, step, P[:, 1])
        x = jax.lax.cond(P[0, 0] > 0, lambda x: x / 3, lambda x: x, x)
        x = jax.lax.while_loop(lambda x: x[0] < 50, lambda x: x * 1.1, x)
        return jax.nn.relu(jax.jit(lambda x: x - 0.1)(x))[:, None]

    P = np.random.default_rng(1).uniform(1, 2, (4, 2))
    p = P.astype(kind)
    x = p[:, 1]
    for i in range(30):
        x = x + kind(0.01) * p[:, 0] if i % 2 == 0 else x * kind(1.001)
    x = x / kind(3)
    while x[0] < 50:
        x = x * kind(1.1)
    x = x - kind(0.1)
    found = evaluated(function, P, name)[:, 0]
    # a scan unrolls to fused operations nowhere: the walk rounds each by itself, as numpy does
    np.testing.assert_allclose(found, x.astype(np.float64), rtol=FORM[name].unit)
    exact = np.asarray(function(jnp.asarray(P)))[:, 0]
    assert np.abs(found - exact).max() > FORM[name].unit / 4 * exact.max()


def test_a_sum_depends_on_its_order_only_where_that_is_changed():
    big = np.array([1e8, -1e8, 1.0, 1e8, -1e8, 1.0])

    def function(P):
        return P[:, :1] * (jnp.ones((len(P), 6)) @ jnp.asarray(big)[:, None])

    P = np.ones((8, 2))
    assert np.array_equal(evaluated(function, P, "float32"), 2 * np.ones((8, 1)))
    ordered = evaluated(function, P, "float32", "reordered")
    assert np.abs(ordered - 2).max() > 0.5
    assert np.abs(evaluated(function, P, "float64", "reordered") - 2).max() < 1e-6


def test_what_is_kept_and_what_is_not(plane):
    found = assay.precision(plane, lambda P: jnp.column_stack([P, jnp.ones(len(P))]), n=20)
    assert found.keeps == ("float64", "float32", "float16", "bfloat16") and not found.notes
    for name in KINDS:
        nearest = next(c for c in found.changes if c.format == name and c.way == "nearest")
        assert FORM[name].unit / 8 < nearest.mean <= nearest.worst <= FORM[name].unit / 2
    strict = assay.precision(plane, lambda P: jnp.column_stack([P, jnp.ones(len(P))]), 1e-4, n=20)
    assert strict.keeps == ("float64", "float32")  # half a unit: 6e-8, 4.9e-4, 3.9e-3
    assert strict.worst("bfloat16") > strict.worst("float16") > 1e-4


def test_cancellation_is_found_where_it_is_worst(plane):
    def cancels(P):
        large = 1e5 * (P[:, 0] - 1) ** 4
        return fields((P[:, 1] + large) - large)

    found = assay.precision(plane, cancels, 1e-4, n=20)
    assert found.keeps == ("float64",)
    change = next(c for c in found.changes if c.format == "float32" and c.way == "nearest")
    assert 1e-3 < change.worst < 1e-2 and change.worst_inputs[0] > 1.9 > 0 and change.worst > 2 * change.mean
    assert found.worst("float16") == np.inf  # 1e5 is more than float16 holds


def test_what_jax_cannot_trace_is_said(plane):
    found = assay.precision(plane, lambda P: np.column_stack([np.asarray(P), np.ones(len(P))]), n=10)
    assert "JAX cannot trace the surrogate" in found.notes[0] and "only its inputs and answers" in found.notes[0]
    assert {c.way for c in found.changes} == {"inputs and answers alone"}
    assert [c.format for c in found.changes] == ["float32", "float16", "bfloat16"]
    assert 0 < found.worst("bfloat16") <= 2 * FORM["bfloat16"].unit


def test_given_inputs_are_tried_and_an_answer_that_is_no_number_is_infinitely_changed(plane):
    p = np.array([1.25, 1.75])

    def breaks(P):
        hit = jnp.abs(P - p).max(axis=1) < 1e-9
        return fields(P[:, 0] + jnp.where(hit, (P[:, 0] + 1e7) - 1e7, P[:, 0]))

    found = assay.precision(plane, breaks, n=10, inputs=p[None])
    assert "float32" not in found.keeps
    assert found.inputs == 10 + 4 + 4 + 1
    without = assay.precision(plane, breaks, n=10)
    assert "float32" in without.keeps


def test_what_makes_no_sense_is_refused(plane):
    for wrong, message in (
        ({"n": 0}, "n is a whole number of draws"),
        ({"tolerance": 0.0}, "must be positive"),
        ({"inputs": np.array([[9.0, 1.0]])}, "outside"),
    ):
        with pytest.raises(ValueError, match=message):
            assay.precision(plane, lambda P: jnp.column_stack([P, jnp.ones(len(P))]), **wrong)


def test_the_verb(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine_precision.py").write_text(
        "import numpy as np, assay\nbox = assay.Box(('a',), np.array([1.0]), np.array([2.0]))\n"
        "plane = assay.black_box(lambda p: np.array([p[0], 1.0]), box, name='plane', norm='max')\n"
        "def plain(P): return np.column_stack([np.asarray(P), np.ones(len(P))])\n"
    )
    monkeypatch.delitem(sys.modules, "mine_precision", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    words = ["precision", "mine_precision:plain", "--problem", "mine_precision:plane", "--n", "5"]
    assert run([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["keeps"] == ["float32", "float16", "bfloat16"] and len(found["changes"]) == 3
    assert run([*words, "--tolerance", "1e-4"]) == 0
    out = capsys.readouterr().out
    assert "no change beyond 0.0001 was found in: float32" in out and "note: JAX cannot trace" in out
    assert run([*words, "--tolerance", "-1"]) == 2
    assert "must be positive" in capsys.readouterr().err


def test_answers_that_are_no_numbers_keep_nothing(plane):
    found = assay.precision(plane, lambda P: jnp.full((len(P), 3), jnp.nan), n=4)
    assert found.keeps == () and all(np.isnan(c.worst) and not c.keeps for c in found.changes)
    assert any("NaN or infinite" in note for note in found.notes)


def test_a_callback_is_not_rounded_inside_and_that_is_said(plane):
    def hosted(P):
        out = jax.ShapeDtypeStruct((P.shape[0], 3), jnp.float64)
        return jax.jit(lambda P: jax.pure_callback(lambda P: np.column_stack([P, np.ones(len(P))]), out, P))(P)

    found = assay.precision(plane, hosted, n=4)
    assert "computes outside of JAX" in found.notes[0]
    assert {c.way for c in found.changes} == {"inputs and answers alone"}


def test_what_is_prescribed_changes_nothing():
    """Errors are of fields with the problem's own boundary, whatever is answered there."""
    block = assay.problem("thermal-block", blocks=(1, 2), cells=2)
    found = assay.precision(block, lambda P: P[:, :1] * jnp.ones(block.size), n=4)
    assert found.worst("float64") < 1e-14 and "float64" in found.keeps
