"""Surrogates that are off by a known share of the truth, and what is proved of them held against it."""

import numpy as np

from assay.benchmarks.soundness.true_error import TrueError
from assay.verify.answers.evaluate import captured
from assay.verify.guard import guard
from assay.verify.measured_error import measured_error
from assay.verify.proofs.prover import prover


def wrong(problem, share=1e-2):
    """A surrogate: the truth with an error of about this share, that no output is blind to."""
    bump = 1 + share * np.sin(np.arange(problem.size) / 3.0)

    def surrogate(P):
        return np.asarray(problem.attempt_batch(P).u) * bump

    return surrogate


def guard_goes_by_the_proof(problem, share_at, P, least):
    """Of a surrogate off by ``share_at(P)``: more than ``least`` answers are accepted, and polished, all within 1e-2,
    and every record of an error is proved and fits its bound.
    """
    answer = guard(problem, lambda P: np.asarray(problem.attempt_batch(P).u) * (1 + share_at(P)[:, None]), 1e-2)(P)
    assert answer.counts["accepted"] > least and answer.counts["polished"] > least and answer.counts["failed"] == 0
    for p, v, u, most in zip(P, answer.u, np.asarray(problem.attempt_batch(P).u), answer.relative_upper, strict=True):
        error, lower, upper, evidence = measured_error(problem, p, v, u)
        assert error <= 1e-2 and lower <= most and lower <= upper and str(evidence) == "proved"


def true_errors(problem, surrogate, P):
    """Proved lower ends of the true relative errors."""
    measured = TrueError(problem)
    U, norms = measured.truths(P)
    return measured(P, U, norms, np.asarray(surrogate(P))).low / norms.high


def compiled_boxes(problem, surrogate, box, order):
    """The compiled bound over boxes, to be asked of boxes and with other data."""
    model = captured(surrogate)
    found = prover(problem, model).over_boxes(model, box, 0.0)
    found.prepare(order, 600, lambda left: None)
    return found
