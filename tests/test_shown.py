"""What is shown of a result where it is printed: one short line, whatever it holds."""

from dataclasses import fields, replace

import numpy as np

import assay
from assay.solvers.problem import Solution
from assay.verify.audit import Audit
from assay.verify.certificate import Against, Certificate, OutputInterval
from assay.verify.evidence import Evidence
from assay.verify.falsification import Falsification
from assay.verify.guard import Answer
from assay.verify.precision.precision import Change, Precision
from assay.verify.relations.broken_relations import BrokenRelation
from assay.verify.search.counterexample import Counterexample, Replay
from assay.verify.shifts.shifts import Shifted, Shifts

N = 5000
ROWS = np.linspace(0.0, 1e-3, N)
CERTIFICATE = Certificate(
    *([ROWS] * 8), "energy", Against(None, "the discrete solution"), Evidence.PROVED, ("a " * 500,), notes=("b",)
)
WORST = Counterexample(np.zeros(2), 0.2, 0.19, 0.21, Evidence.PROVED, 0.01, "climb", 3, ROWS, "heat", {}, 0)


DRAG = OutputInterval(np.array([1.0, 3.0]), np.array([1.0, 4.0]), np.array([1.0, 3.0]))
OF_DRAG = replace(
    CERTIFICATE, **{f.name: ROWS[-2:] for f in fields(Certificate)[:8]}, outputs={"drag": DRAG}, output="drag"
)
UNKNOWN = replace(OF_DRAG, relative_upper=np.full(2, np.inf), output="")


def test_what_was_asked_for_is_what_is_shown():
    """The output's error is at most 1/4, the field's 0.001; with an absolute tolerance what was compared with it."""
    quarter = float(OF_DRAG.output_error(1.0)[1][1])  # with its roundings
    assert 0.25 <= quarter < 0.25 + 1e-15 and repr(OF_DRAG) == (
        f"Certificate(2 fields, 2 relative errors of 'drag' bounded (proved), the largest {quarter!r}, 1 notes)"
    )
    routes = np.array(["accepted", "solved"])
    answer = Answer(
        np.zeros((2, 3)), routes, ROWS[-2:], OF_DRAG, 1.0, (), {"accepted": 1, "solved": 1}, DRAG.value / 48
    )
    assert repr(answer) == "Answer(2 fields: 1 accepted, 1 solved; largest bound 0.0625)"
    of_drag = replace(answer, output=DRAG.value)
    assert repr(of_drag) == "Answer(2 fields: 1 accepted, 1 solved; largest error bound of 'drag' 0.0625)"


def test_nothing_is_not_proved():
    assert repr(UNKNOWN) == "Certificate(2 fields, 0 relative errors bounded, 1 notes)"
    open_ended = OutputInterval(np.full(2, -np.inf), np.full(2, np.inf), DRAG.value)
    found = replace(OF_DRAG, outputs={"drag": open_ended})
    assert repr(found) == "Certificate(2 fields, 0 relative errors of 'drag' bounded, 1 notes)"


def falsification():
    found = [WORST] * 100
    numbers = (0.2, np.zeros(2), 10, 0.01, 0.0, "falsified", "residual", 1, 2, 3, 4, 5, 0.5, 0.5)
    return Falsification(found, *numbers, Against(None, "x"), 1.0, {}, ("a note",))


def test_results_are_shown_in_one_short_line():
    certificate = "Certificate(5000 fields, 5000 relative errors bounded (proved), the largest 0.001, 1 notes)"
    shown = {
        repr(CERTIFICATE): certificate,
        repr(WORST): "Counterexample(heat at [0, 0]: error 0.2 against a tolerance of 0.01, proved)",
        repr(falsification()): "Falsification(falsified at tolerance 0.01: 100 counterexamples, worst confirmed error "
        "0.2, 10 solver calls, 1 notes)",
        repr(Solution(ROWS, 1e-13, 4, "newton", 0.25)): "Solution(5000 values from 0 to 0.001; newton, 4 iterations, "
        "relative residual 1.0e-13, 0.25 s)",
        repr(Answer(ROWS[None], np.array(["solved"]), ROWS[-1:], CERTIFICATE, 1.0, (), {"polished": 0, "solved": 1})): (
            "Answer(1 fields: 1 solved; largest bound 0.001)"
        ),
    }
    for found, wanted in shown.items():
        assert found == wanted and len(found) < 150
    nothing = np.zeros(0)
    assert repr(Certificate(*([nothing] * 8), "", Against(None), Evidence.NONE, ())).startswith(
        "Certificate(0 fields, 0 relative"
    )


def test_no_result_shows_its_arrays():
    """However many inputs and rows there are: a line or two."""
    d = 3000
    box = assay.Box(tuple(f"x{i}" for i in range(d)), np.zeros(d), np.ones(d))
    shifted = Shifted("wider", "w", np.zeros((N, d)), ROWS)
    unsolved = Shifted("finer", "f", np.zeros((2, d)), np.full(2, np.nan))
    change = Change("float16", "nearest", 1e-4, 2e-3, np.zeros(d), True)
    shown = {
        repr(box): "Box(x0 in [0, 1], x1 in [0, 1], x2 in [0, 1], x3 in [0, 1], x4 in [0, 1], x5 in [0, 1], "
        "... (3000 in all))",
        repr(assay.Box(("k", "f"), [1.0, 0.0], [10.0, 1.0], log=(True, False))): "Box(k in [1, 10] log, f in [0, 1])",
        repr(shifted): "Shifted(wider: mean 0.0005, worst 0.001, 5000 of 5000 solved)",
        repr(unsolved): "Shifted(finer: nothing was solved, 0 of 2 solved)",
        repr(Shifts((shifted, unsolved), (), 7)): "Shifts(2 rows, the worst error 0.001 (wider), 7 solves)",
        repr(change): "Change(float16, nearest: mean 0.0001, worst 0.002)",
        repr(
            Precision((change,), 0.01, N)
        ): "Precision(worst changes found: float16 0.002; tolerance 0.01, 5000 inputs)",
        repr(Audit(9, 9, 2, 1, 3.0)): "Audit(holds: 9 of 9 leaves proved again, 2 witnesses and 1 failures confirmed, "
        "3.0 s)",
        repr(BrokenRelation("mirror", "s", np.zeros((2, d)), 0.1, 0.2, 3, 4)): "BrokenRelation(mirror: broken at 3 of "
        "4 inputs, an error of at least 0.1, proved)",
        repr(Replay(WORST, 0.3, 0.2, 0.4, Evidence.PROVED, 0.0, True)): "Replay(fails again: error 0.3 against 0.01, "
        "proved)",
        repr(Replay(WORST, np.nan, 0.0, np.inf, Evidence.NONE, 0.0, None)): "Replay(undecided: error nan against "
        "0.01, undecided)",
    }
    for found, wanted in shown.items():
        assert found == wanted and len(found) < 150
