"""What a surrogate cannot have meant is a mistake, told before anything is solved; what it can have meant is read."""

import numpy as np
import pytest

from assay.solvers.answers import Unreadable, field_rows
from assay.solvers.box import Box
from assay.solvers.problems.black_box import black_box
from assay.solvers.tolerance import Tolerance
from assay.verify.answers.batch_remark import batch_remark
from assay.verify.answers.evaluate import evaluate
from assay.verify.answers.first_call import check_answers
from assay.verify.certify import certify
from assay.verify.certify_box import certify_box
from assay.verify.evidence import Evidence
from assay.verify.falsify import falsify
from assay.verify.guard import guard
from assay.verify.search.counterexample import Counterexample, replay

BOX = Box(("a", "b"), np.zeros(2), np.ones(2))
calls = []


def solve(p):
    calls.append(p)
    return np.full(5, 1 + p[0])


five = black_box(solve, BOX)


parts = black_box(lambda p: np.arange(12.0), BOX, components=("x", "y", "z"))  # four nodes


class Tensor:
    """As torch's, with requires_grad."""

    def detach(self):
        return self

    def __array__(self, *args, **kwargs):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")


def raises(P):
    raise RuntimeError("out of memory")


MISTAKES = {
    "tensor": (lambda P: Tensor(), "with a Tensor that numpy cannot read.*hand over its .detach"),
    "[N]": (lambda P: np.ones(5), r"with shape \[5\], not \[n, N\] = \[2, 5\]: one row for every input"),
    "one row": (lambda P: np.ones((1, 5)), "one row for every input"),
    "too many rows": (lambda P: np.ones((len(P) + 1, 5)), "one row for every input"),
    "transposed": (lambda P: np.ones((5, len(P))), "transpose the answer"),
    "another field": (lambda P: np.ones((len(P), 7)), "a field of black-box has 5 values"),
    "[n]": (lambda P: np.ones(len(P)), "a field of black-box has 5 values"),
    "complex": (lambda P: np.ones((len(P), 5)) * 1j, "two components"),
    "masked": (lambda P: np.ma.masked_greater(np.ones((len(P), 5)), 0), "values that are masked: fill them"),
    "None": (lambda P: None, "no numbers, but NoneType"),
    "text": (lambda P: "five", "no numbers, but str"),
    "ragged": (lambda P: [[1.0], [1.0, 2.0]], "no numbers in one array"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_told_before_anything_is_solved(name):
    surrogate, said = MISTAKES[name]
    calls.clear()
    with pytest.raises(ValueError, match=said):
        falsify(five, surrogate, 1e-2, budget=10)
    assert not calls


def test_a_surrogate_that_raises_is_a_mistake_where_it_would_cost_solves():
    with pytest.raises(ValueError, match=r"raised RuntimeError: out of memory.*\[n, 2\] with \[n, 5\]"):
        falsify(five, raises, 1e-2, budget=10)
    assert check_answers(five, raises, may_raise=True) is None


def test_every_verb_tells(small):
    transposed = lambda P: np.ones((small.size, len(P)))  # noqa: E731
    p = small.inputs.from_unit(np.full(4, 0.5))
    record = Counterexample(
        p, 1.0, 1.0, 1.0, Evidence.PROVED, 1e-2, "", 1, np.ones(small.size), small.name, small.settings, 0
    )
    for verb in (
        lambda: certify(small, transposed, p[None]),
        lambda: guard(small, transposed),
        lambda: certify_box(small, transposed),
        lambda: replay(small, record, transposed),
    ):
        with pytest.raises(ValueError, match="transpose the answer"):
            verb()


def test_a_row_more_or_less_shows_where_it_looks_right_at_first():
    two = black_box(lambda p: np.ones(2), BOX)
    with pytest.raises(ValueError, match="transpose"):  # [2, 2] would have looked right
        check_answers(two, lambda P: np.ones((2, len(P))))


@pytest.mark.parametrize("shape", [(3, 12), (3, 4, 3), (3, 1, 4, 3), (3, 4, 1, 3)])
def test_answers_in_the_shape_of_the_problem_are_flattened(shape):
    answer = np.arange(36.0).reshape(shape)
    np.testing.assert_array_equal(field_rows(answer, 3, parts), np.arange(36.0).reshape(3, 12))
    assert evaluate(lambda P: answer, np.zeros((3, 2)), parts).good.all()


def test_components_first_is_another_order():
    with pytest.raises(Unreadable, match=r"in the order \[4, 3\]"):
        field_rows(np.zeros((3, 3, 4)), 3, parts)
    with pytest.raises(Unreadable, match="has 12 values"):
        field_rows(np.zeros((3, 6, 2)), 3, parts)


def test_a_grid_of_nodes_and_a_single_number_are_flattened():
    nine = black_box(lambda p: np.arange(9.0), BOX)
    np.testing.assert_array_equal(field_rows(np.arange(18.0).reshape(2, 3, 3), 2, nine)[1], np.arange(9.0, 18))
    one = black_box(lambda p: p[0], BOX)
    np.testing.assert_array_equal(field_rows(np.array([1.0, 2.0]), 2, one), [[1.0], [2.0]])


def test_a_mistake_in_some_batches_alone_is_counted_and_said():
    def sometimes(P):
        return np.ones((len(P), 5)) if len(P) == 2 else np.ones((5, len(P)))

    result = evaluate(sometimes, np.zeros((3, 2)), five)
    assert result.good.tolist() == result.answered.tolist() == [False, True, True]  # 3 rows, then 1 and 2
    assert "answered with shape [5, 3]" in result.trouble[0] and "transpose" in result.trouble[0]
    assert "1 of 3 inputs were not answered" in result.trouble


def test_an_input_at_which_the_surrogate_raises_fails_no_other():
    asked = []

    def surrogate(P):
        asked.extend(P[:, 0].tolist())
        if (P[:, 0] > 0.95).any():
            raise RuntimeError("extrapolation")
        return 1 + P[:, :1] * np.ones((1, 5))

    P = np.linspace(0, 1, 40)[:, None] * np.ones((1, 2))
    result = evaluate(surrogate, P, five)
    np.testing.assert_array_equal(result.good, P[:, 0] <= 0.95)
    np.testing.assert_array_equal(result.fields[result.good], 1 + P[result.good][:, :1] * np.ones((1, 5)))
    assert len(asked) < 4 * len(P)
    found = falsify(five, surrogate, 1e-2, budget=1, seed=0, draws=40)
    assert 0 < found.draws_failed < 10 and found.draws == 40
    assert {c.evidence for c in found.counterexamples} == {Evidence.OBSERVED}


def exact(P):
    return 1 + P[:, :1] * np.ones((1, 5))


def alike(P):
    if P.std(axis=0).any():
        raise RuntimeError("rows differ")
    return exact(P)


def test_answers_that_depend_on_their_batch_are_remarked_on():
    rng = np.random.default_rng(0)
    allowed = Tolerance(1e-2)
    for surrogate, said in (
        (lambda P: exact(P) * (1 + 0.1 * P.std()), "depends on the other inputs of its batch"),
        (lambda P: exact(P) + 0.1 * rng.standard_normal((len(P), 5)), "answers at random"),
        (alike, "RuntimeError: rows differ"),
        (exact, ""),
        (lambda P: exact(P) * (1 + 1e-7 * P.std()), ""),  # as single precision does
    ):
        remark = batch_remark(five, surrogate, check_answers(five, surrogate), allowed)
        assert (said in remark) if said else remark == ""
    result = falsify(five, lambda P: exact(P) * (1 + 0.1 * P.std()), 1e-2, budget=4, seed=0)
    assert any("other inputs of its batch" in note for note in result.notes)
