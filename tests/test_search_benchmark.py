"""The benchmark of searches measures what it says: shares, calls, and the same errors as a search of a user."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from assay.benchmarks.falsification.counted import Subject, calls_to, improvements, reached
from assay.benchmarks.falsification.pairs.catalogue import NEITHER, PAIRS, SIGNAL, SLOPES
from assay.benchmarks.falsification.pairs.solvers import predators, reaction, with_adjoint
from assay.benchmarks.falsification.searches import Peers, judged
from assay.verify.search.confirmation import Confirmation


@pytest.fixture(scope="module")
def subject():
    return Subject(next(pair for pair in PAIRS if pair.kind == NEITHER), 1e-3)


def test_shares_and_calls_are_read_off_a_search():
    found = improvements(SimpleNamespace(spent=[1, 3, 5, 6], errors=[0.1, np.nan, 0.4, 0.2]))
    assert found == [[1, 0.1], [5, 0.4]]
    assert [reached(found, calls) for calls in (0, 1, 4, 5, 9)] == [0.0, 0.1, 0.1, 0.4, 0.4]
    assert [calls_to(found, goal) for goal in (0.1, 0.4, 0.41)] == [1, 5, np.inf]


def test_errors_are_those_that_a_user_is_told(subject):
    P = subject.problem.inputs.draw(5, 3)
    quick = subject.counted(10, 0)
    slow = Confirmation(subject.problem, subject.model, subject.allowed, 10, 0, quick.report)
    np.testing.assert_allclose(quick.check(P, "here"), slow.check(P, "here"), rtol=1e-9)
    assert quick.spent == slow.spent == [1, 2, 3, 4, 5] and quick.worst == pytest.approx(slow.worst)


def test_the_worst_error_known_is_there_and_of_all_that_random_points_reach(subject):
    assert len({pair.name for pair in PAIRS}) == len(PAIRS) >= 8
    assert {pair.kind for pair in PAIRS} == {SIGNAL, SLOPES, NEITHER}
    assert all(0 < pair.best < np.inf for pair in PAIRS)
    assert subject.search("random", 64, 0).worst < subject.pair.best


def test_the_solvers_solve_and_the_adjoint_is_one():
    """The constant state stays, and so does what the discrete equation says; w . u falls as the adjoint has it."""
    birth, hunt, gain, death = 0.8, 0.8, 0.25, 0.4  # x = death / (gain hunt) = 2, y = birth / hunt = 1
    np.testing.assert_allclose(predators(np.array([birth, hunt, gain, death, 6.0])), np.full((61, 2), [2.0, 1.0]))
    problem = with_adjoint()
    p, w = problem.inputs.draw(1, 0)[0], np.random.default_rng(0).random(problem.size)
    steps = 1e-6 * np.eye(len(p))
    slope = [(w @ reaction(p + s) - w @ reaction(p - s)) / 2e-6 for s in steps]
    np.testing.assert_allclose(problem.gradient(p, w), slope, rtol=1e-6)


def test_a_peer_that_raises_counts_with_what_it_found(subject, capsys):
    """These are not installed here, so that nothing is."""
    peers = Peers(sys.executable)
    assert peers.search(subject, "psy-taliro", 5, 0).calls == 0
    assert "psy-taliro raised ModuleNotFoundError" in capsys.readouterr().err
    peers.close()


def test_claims_are_judged_by_what_a_search_had_to_go_by():
    def row(method, few, many, calls):
        return {"method": method, "share after 50": few, "share after 500": many, "calls to .9": calls}

    signal, slopes, neither = (next(p for p in PAIRS if p.kind == kind) for kind in (SIGNAL, SLOPES, NEITHER))
    rows = [row("standard-v1", 0.95, 0.99, 6.0), row("l-bfgs", 0.96, 1.0, 40.0), row("random", 0.2, 0.3, np.inf)]
    assert list(judged(signal, rows).values()) == [True, False]
    assert list(judged(slopes, rows).values()) == [False, False]
    assert list(judged(neither, [rows[0], rows[2]]).values()) == [True, True]
