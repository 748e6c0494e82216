"""Files know whose they are: what is stored of a problem is compared, and of a black box one solution solved again."""

import json

import numpy as np
import pytest
import scipy.sparse as sp

from assay import surrogates
from assay.solvers import Box, ThermalBlock, affine, black_box, load_snapshots, sample
from assay.solvers.identity import SAME, differences, first_difference
from assay.verify.evidence import Evidence
from assay.verify.falsify import falsify
from assay.verify.search.counterexample import Counterexample, replay

BOX = Box(("a", "b"), [1.0, 1.0], [2.0, 2.0])
X = np.linspace(0.1, 1.0, 5)
LAPLACE = sp.diags([-np.ones(4), 2 * np.ones(5), -np.ones(4)], [-1, 0, 1]).tocsr()
UNIT = sp.identity(5, format="csr")


def linear(slope, noise=0.0):
    """p -> slope b x, up to relative noise that is never the same."""
    draws = np.random.default_rng(0)
    return black_box(lambda p: slope * p[1] * X * (1 + noise * draws.uniform(-1, 1)), BOX)


def matrices(scale=1.0, weights=1.0, load=1.0):
    return affine([LAPLACE * scale, UNIT], lambda p: weights * p, load * np.ones(5), BOX)


def others():
    """Problems of one name, settings and box that are not the same: (how to make it, another)."""
    yield "black box", lambda: linear(1.0), lambda: linear(5.0)
    yield "black box, slightly", lambda: linear(1.0), lambda: linear(1.0 + 30 * SAME)
    yield "matrices", matrices, lambda: matrices(scale=1.001)
    yield "weights", matrices, lambda: matrices(weights=1.001)
    yield "load", matrices, lambda: matrices(load=1.001)


CASES = [pytest.param(make, other, id=name) for name, make, other in others()]


def poor(P):
    return np.tile(X, (len(P), 1))


@pytest.mark.parametrize(("make", "other"), CASES)
def test_no_file_of_another_problem_is_taken(make, other, tmp_path):
    old, file, model = make(), tmp_path / "s.h5", tmp_path / "m.safetensors"
    snapshots = sample(old, 4, path=file)
    surrogates.save(surrogates.train(old, "mean", snapshots), model)
    uses = [
        lambda problem: sample(problem, 8, path=file),
        lambda problem: sample(problem, 2, path=file),
        lambda problem: load_snapshots(file, problem),
        lambda problem: surrogates.train(problem, "mean", snapshots),
        lambda problem: surrogates.load(model, problem),
    ]
    if make is not matrices:  # whose bounds take seconds to compile
        (record, *_) = falsify(old, poor, 1e-3, 8).counterexamples
        uses += [lambda problem: replay(problem, record), lambda problem: replay(problem, record, poor)]
    for use in uses:
        with pytest.raises(ValueError, match="another") as caught:
            use(other())
        assert old.name in str(caught.value) and "\n" not in str(caught.value)
        use(make())  # made again, as in another process


def test_a_record_of_other_matrices_is_not_replayed():
    p, about = np.array([1.5, 1.5]), {"problem_name": "affine", "problem_settings": {}, "seed": 0}
    numbers = {"error": 1.0, "lower": 1.0, "upper": 1.0, "tolerance": 0.01, "solver_calls": 1}
    made = {"inputs": p, "evidence": Evidence.OBSERVED, "found": "draw", "field": np.zeros(5)}
    record = Counterexample(**made, **numbers, **about, fingerprint=matrices().fingerprint)
    assert Counterexample.from_json(record.to_json()).fingerprint == record.fingerprint
    with pytest.raises(ValueError, match="is of another affine: fingerprint"):
        replay(matrices(scale=1.001), record)


def test_a_journal_of_another_solver_is_not_gone_on_with(tmp_path):
    def stop(done, n):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample(linear(1.0), 4, path=tmp_path / "s.h5", progress=stop)
    with pytest.raises(ValueError, match=r"by 0\.8 of its norm"):
        sample(linear(5.0), 4, path=tmp_path / "s.h5")
    assert len(sample(linear(1.0), 4, path=tmp_path / "s.h5")) == 4


def test_a_solver_that_repeats_itself_to_rounding_alone_is_taken(tmp_path):
    file, model = tmp_path / "s.h5", tmp_path / "m.safetensors"
    snapshots = sample(linear(1.0, 1e-8), 4, path=file)
    surrogates.save(surrogates.train(linear(1.0, 1e-8), "mean", snapshots), model)
    (record, *_) = falsify(linear(1.0, 1e-8), poor, 1e-3, 8).counterexamples
    again = linear(1.0, 1e-8)
    assert len(sample(again, 8, path=file)) == 8 and replay(again, record).fails
    assert surrogates.load(model, again).name == "mean"


def test_a_solver_that_is_away_now_says_so(tmp_path):
    sample(linear(1.0), 4, path=tmp_path / "s.h5")
    asked = []

    def away(p):
        asked.append(p)
        if len(asked) > 1:
            raise RuntimeError("no seats left")
        return p[1] * X

    with pytest.raises(ValueError, match=r"cannot be told.*no seats left"):
        load_snapshots(tmp_path / "s.h5", black_box(away, BOX))


def test_names_tell_solvers_apart_without_solving(tmp_path):
    calls = []

    def solve(p):
        calls.append(p)
        return p[1] * X

    sample(black_box(solve, BOX, name="mesh 1"), 4, path=tmp_path / "s.h5")
    other = black_box(solve, BOX, name="mesh 2")
    calls.clear()
    with pytest.raises(ValueError, match=r"mesh 1.*mesh 2"):
        sample(other, 8, path=tmp_path / "s.h5")
    assert not calls


def test_fingerprints_are_those_of_the_content():
    prints = [linear(1.0).fingerprint, matrices().fingerprint, *(other().fingerprint for _, _, other in others())]
    assert len(set(prints)) == 5  # black boxes have one: what they solve is not seen
    assert matrices().fingerprint == matrices(scale=1 + 1e-15).fingerprint  # assembled in another order
    stiff = [affine([UNIT * 1e8 + k * LAPLACE, UNIT], None, np.ones(5), BOX).fingerprint for k in (1.0, 5.0)]
    assert stiff[0] != stiff[1]
    block = ThermalBlock((2, 1), 4)
    assert block.fingerprint == ThermalBlock((2, 1), 4).fingerprint != ThermalBlock((2, 1), 8).fingerprint

    class Warmer(ThermalBlock):
        pass

    assert Warmer((2, 1), 4).fingerprint != block.fingerprint


def test_built_in_problems_are_never_solved_for_it(tmp_path, monkeypatch):
    block = ThermalBlock((2, 1), 4)
    sample(block, 2, path=tmp_path / "s.h5")
    monkeypatch.setattr(ThermalBlock, "attempt_batch", None)
    assert len(load_snapshots(tmp_path / "s.h5", ThermalBlock((2, 1), 4))) == 2
    assert json.loads(json.dumps(block.fingerprint)) == block.fingerprint


@pytest.mark.parametrize(
    ("there", "here", "said"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, ["a is 1 there and 2 here"]),
        ({"a": {"b": [1]}}, {"a": {"b": [2]}}, ["a b is [1] there and [2] here"]),
        ({}, {"new": 0.5}, ["new is null there and 0.5 here"]),
        ({"old": "x"}, {}, ['old is "x" there and null here']),
        ({"blocks": [2, 1]}, {"blocks": (2, 1)}, []),
        ({"a": float("nan")}, {"a": float("nan")}, ["a is NaN there and NaN here"]),
        ({"fingerprint": "x", "b": 1}, {"b": 2}, ["b is 1 there and 2 here", 'fingerprint is "x" there and null here']),
    ],
)
def test_every_difference_is_named(there, here, said):
    assert differences(there, here) == said
    assert first_difference(there, here) == (said[0] if said else None)
