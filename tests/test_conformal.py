"""Conformal bars: what they are called by, other laws than the sampled one, and what cannot be meant."""

import numpy as np
import pytest

import assay
from assay.verify.statistics.conformal import halves, quantile, weighted_quantile
from assay.verify.statistics.laws import largest_ratio, log_density, looks_drawn, ratio

BOX = assay.Box(("a", "b", "c"), [1.0, 1.0, -1.0], [3.0, 9.0, 1.0], log=(False, True, False), laws=(
    "uniform", "log-uniform", "normal"))  # fmt: skip


@pytest.fixture(scope="module")
def problem():
    return assay.black_box(lambda p: np.array([1.0, 2.0]), assay.Box(("a", "b"), [0.0, 0.0], [1.0, 1.0]), norm="max")


def wrong(P):
    """Errors of a / 2, relative."""
    return np.array([1.0, 2.0]) + np.outer(P[:, 0], [0.0, 1.0])


@pytest.fixture(scope="module")
def rows(problem):
    return assay.sample(problem, 99, seed=3, independent=True)


def test_the_quantile_by_all_its_names(problem, rows):
    errors = np.sort(rows.inputs[:, 0]) / 2
    bars = assay.conformal(problem, wrong, rows, 0.1)
    assert bars.quantile == bars.error == pytest.approx(errors[89])  # k = 100 * 0.9
    assert bars.worst == pytest.approx(errors[-1]) and bars.miscoverage == pytest.approx(0.1) and bars.rows == 99
    same = [assay.conformal(problem, wrong, rows, **named) for named in ({}, {"level": 0.9}, {"miscoverage": 0.1})]
    same += [assay.conformal(problem, wrong, rows, 0.9), assay.conformal(problem, wrong, tests=rows, miscoverage=0.1)]
    assert {x.quantile for x in same} == {bars.quantile}, "an earlier fourth argument was the level"
    assert assay.conformal(problem, wrong, rows, 0.005).quantile == np.inf
    assert "it takes 199" in assay.conformal(problem, wrong, rows, 0.005).remarks[0]


class Learnt:
    """``wrong``, which tells what it learnt from."""

    def __init__(self, inputs):
        self.trained_at = inputs

    def __call__(self, P):
        return wrong(P)


def test_rows_that_a_surrogate_learnt_from_are_no_evidence(problem, rows):
    some = Learnt(np.concatenate([problem.inputs.sample(5), rows.inputs[7:9]]))
    for ask, options in ((assay.conformal, {}), (assay.calibrate, {"tolerance": 0.3, "miscoverage": 0.1})):
        with pytest.raises(ValueError, match="learnt from 2 of these 99 inputs, and errors there say nothing"):
            ask(problem, some, rows, **options)
    for fresh in (Learnt(problem.inputs.sample(5)), Learnt("nobody knows"), Learnt(None)):
        assert assay.conformal(problem, fresh, rows).quantile == assay.conformal(problem, wrong, rows).quantile
    found = [assay.falsify(problem, s, 1.0, 2, 0, draws=0, tests=rows) for s in (some, wrong)]
    assert [f.draws for f in found] == [0, 99]
    assert any("learnt from 2 of the 99 test inputs" in note for note in found[0].notes)


def test_what_cannot_be_meant(problem, rows):
    for given, message in (
        ({"miscoverage": 0.0}, "the miscoverage is a probability between 0 and 1, such as 0.1, not 0.0"),
        ({"miscoverage": 0.1, "level": 0.9}, "give one of them"),
        ({"queries": BOX}, "a Box of the same inputs"),
        ({"queries": problem.inputs.replace(upper=[1.0, 2.0])}, "reaches beyond the sampled one in input 'b'"),
    ):
        with pytest.raises(ValueError, match=message):
            assay.conformal(problem, wrong, rows, **given)
    with pytest.raises(ValueError, match="takes solutions that training never saw"):
        assay.conformal(problem, wrong)
    with pytest.raises(ValueError, match=r"fields \[n, 2\]: sample\(problem, n, independent=True\)"):
        assay.conformal(problem, wrong, (rows.inputs, rows.fields))
    design = assay.conformal(problem, wrong, assay.sample(problem, 32), 0.1)
    assert any("no independent draws" in note for note in design.remarks)


def test_densities_are_those_of_the_draws():
    """They integrate to one, and the share of draws in a part of the box is that of its mass."""
    n = 4000
    for j in range(3):
        x = np.linspace(BOX.lower[j], BOX.upper[j], n)
        P = np.tile(BOX.centre, (n, 1))
        P[:, j] = x
        mass = np.exp(log_density(BOX, P)[:, j])
        assert np.trapezoid(mass, x) == pytest.approx(1, rel=1e-4)
        middle = BOX.lower[j] + (BOX.upper[j] - BOX.lower[j]) / 4
        share = (BOX.draw(20000, seed=1)[:, j] <= middle).mean()
        assert abs(np.trapezoid(mass * (x <= middle), x) - share) < 0.015
    assert (log_density(BOX, BOX.upper[None] + 1) == -np.inf).all()


@pytest.mark.parametrize("laws", [("normal", "uniform", "uniform"), ("log-uniform", "normal", "log-uniform"), BOX.laws])
def test_the_largest_ratio_is_reached_and_never_passed(laws):
    box = BOX.replace(lower=[1.0, 1.0, 0.25], upper=[3.0, 9.0, 1.0])
    query = box.replace(lower=[1.5, 2.0, 0.3], upper=[2.5, 8.0, 0.9], laws=laws)
    t = np.linspace(0, 1, 41)
    grid = np.stack(np.meshgrid(*[query.lower[j] + t * (query.upper[j] - query.lower[j]) for j in range(3)]), -1)
    found = ratio(query, box, grid.reshape(-1, 3)).max()
    assert found <= largest_ratio(query, box) * (1 + 1e-12) and found == pytest.approx(largest_ratio(query, box), 0.01)
    assert ratio(query, box, box.lower[None])[0] == 0, "outside the queries' box"


def test_equal_weights_are_no_weights():
    scores = np.random.default_rng(0).random(19)
    for level in (0.5, 0.9, 0.95, 0.99):
        assert weighted_quantile(scores, np.ones(19), 1.0, level) == quantile(scores, level)
    assert weighted_quantile(np.array([3.0, 1.0]), np.array([8.0, 1.0]), 1.0, 0.9) == 3.0
    assert weighted_quantile(np.array([3.0, 1.0]), np.array([8.0, 1.0]), 1.1, 0.9) == np.inf


def test_under_another_law_the_bars_hold_where_unweighted_ones_do_not(problem):
    """Errors grow with a, and queries crowd at large a."""
    queries = problem.inputs.replace(lower=[0.7, 0.0])
    held, plain = [], []
    for seed in range(30):
        rows = assay.sample(problem, 99, seed=seed, independent=True)
        new = queries.draw(50, seed=seed)[:, 0] / 2
        held.append((new <= assay.conformal(problem, wrong, rows, 0.2, queries=queries).quantile).mean())
        plain.append((new <= assay.conformal(problem, wrong, rows, 0.2).quantile).mean())
    assert np.mean(held) >= 0.8 and np.mean(plain) < 0.5
    few = assay.conformal(problem, wrong, rows, 0.01, queries=queries)
    assert few.quantile == np.inf and "count as" in few.remarks[0]


def test_rows_of_another_law_are_seen():
    drawn = BOX.draw(400, seed=2)
    assert looks_drawn(BOX, drawn) and looks_drawn(BOX, BOX.sample(256)) and looks_drawn(BOX, BOX.centre[None])
    assert not looks_drawn(BOX, np.tile(BOX.centre, (60, 1)))
    assert not looks_drawn(BOX, BOX.replace(laws=("normal", "log-uniform", "normal")).draw(400, seed=2))


def test_the_band_covers_what_comes_in_order_too():
    """Every other row of sorted ones is no sample: of 18 falling errors they cover a new one with .895, not .9."""
    rng, covered, fixed = np.random.default_rng(0), [], []
    for _ in range(20000):
        scores = np.sort(rng.random(18))[::-1]  # a new score is below x with probability x
        some, others = halves(scores[:, None])
        assert len(some) == len(others) == 9 and len({*some, *others}) == 18
        covered.append(quantile(scores[others], 0.9))
        fixed.append(quantile(scores[1::2], 0.9))
    assert np.mean(covered) == pytest.approx(0.9, abs=4 * np.std(covered) / np.sqrt(20000))
    assert np.mean(fixed) == pytest.approx(17 / 19, abs=4 * np.std(fixed) / np.sqrt(20000))


def test_rows_of_a_namesake_and_levels_of_another_kind_are_refused(problem):
    namesake = assay.black_box(lambda p: np.full(problem.size, 7.0), problem.inputs, size=problem.size)
    mine = assay.black_box(lambda p: np.full(problem.size, 1.0), problem.inputs, size=problem.size)

    def model(P):
        return np.ones((len(P), problem.size))

    with pytest.raises(ValueError, match="the set of rows is of another black-box: the solution stored"):
        assay.conformal(mine, model, assay.sample(namesake, 12, independent=True))
    for kind in ("miscoverage", "level"):
        with pytest.raises(ValueError, match=f"the {kind} is a probability between 0 and 1, not 'a'"):
            assay.conformal(mine, model, assay.sample(mine, 12, independent=True), **{kind: "a"})
