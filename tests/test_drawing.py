"""Pictures of results, asked of the results themselves: what is shown, and that the same is drawn as the same bytes."""

import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

import assay
from assay.drawing.failures import Searched, failures_figure
from assay.drawing.files import own_style, picture
from assay.drawing.layout import Layout
from assay.solvers.snapshots.snapshot_file import Snapshots
from assay.surrogates.surrogate import Surrogate
from assay.verify.certificate import Against, Certificate
from assay.verify.evidence import Evidence
from assay.verify.falsification import Falsification
from assay.verify.guard import Answer
from assay.verify.shifts.named import Refused
from assay.verify.shifts.shifts import Shifted, Shifts
from assay.verify.statistics.calibration import Calibration

BOX = assay.Box(
    ("k", "load", "angle"), [1.0, 0.0, 0.0], [10.0, 1.0, 2.0], log=(True, False, False), units=("", "N", "")
)
UPPER = np.array([1e-3, np.inf, 1e-2, np.nan, 5e-3])
CERTIFICATE = Certificate(
    *([UPPER / 2] * 3), UPPER, *([UPPER] * 4), "energy", Against(None, "the truth"), Evidence.PROVED, (), notes=("why",)
)  # fmt: skip


def solved(problem, n=3):
    """Snapshots whose fields are anything: nothing is solved."""
    P, U = problem.inputs.sample(n, seed=0), np.random.default_rng(0).standard_normal((n, problem.size))
    about = (problem.name, problem.settings, problem.inputs, problem.fingerprint)
    return Snapshots(P, U, np.zeros(n), 0, *about)


def titles(figure):
    return [axes.get_title() for axes in figure.axes]


def panels(figure):
    """Colour bars are axes, too."""
    return [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]


# --- fields ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "settings", "count", "shown"),
    [
        ("thermal-block", {"cells": 4}, 3, ["k00="]),  # one picture each
        ("heat", {"cells": 4}, 2 * 5, ["t = 0", "t = "]),  # two rows of five frames
        ("elasticity", {}, 3, []),
        ("helmholtz", {"cells": 16}, 3 * 2, ["modulus", "phase"]),
        ("wave", {"cells": 4}, 2 * 2 * 5, ["displacement", "velocity"]),
        ("burgers", {}, 3, []),  # over x and t
    ],
)
def test_fields_are_drawn_by_what_they_are(name, settings, count, shown):
    figure = solved(assay.problem(name, **settings)).plot()
    assert len(panels(figure)) == count
    for word in shown:
        assert any(word in title for title in titles(figure))
    arrows = sum(type(drawn).__name__ == "Quiver" for axes in figure.axes for drawn in axes.collections)
    assert arrows == (3 if name == "elasticity" else 0)


def test_a_complex_field_is_shown_by_modulus_and_phase():
    problem = assay.problem("helmholtz", cells=16)
    z = 3.0 * np.exp(1j * np.linspace(-3, 3, problem.shape[1]))
    modulus, phase = Layout(problem).parts(np.stack([z.real, z.imag], axis=1).ravel())
    np.testing.assert_allclose(modulus.values, 3.0)
    np.testing.assert_allclose(phase.values[0], np.linspace(-3, 3, problem.shape[1]))


def test_fields_of_a_solver_of_ones_own_need_its_problem_for_their_places():
    owner = assay.black_box(lambda p: np.ones(5), assay.Box(("a",), [0.0], [1.0]), coordinates=np.linspace(2, 3, 5))
    found = solved(owner)
    lines = found.plot(problem=owner).axes[0].get_lines()
    np.testing.assert_allclose(lines[0].get_xdata(), np.linspace(2, 3, 5))
    np.testing.assert_allclose(found.plot().axes[0].get_lines()[0].get_xdata(), np.arange(5))
    with pytest.raises(ValueError, match="values"):
        found.plot(problem=assay.problem("thermal-block", cells=4))


def test_failed_solves_are_said_and_not_drawn():
    found = solved(assay.problem("thermal-block", cells=4))
    failed = replace(found, fields=np.full_like(found.fields, np.nan))
    assert "no solutions, 3 solves failed" in failed.plot().texts[0].get_text()
    some = found.fields.copy()
    some[0] = np.nan
    assert len(panels(replace(found, fields=some).plot())) == 2


# --- failures --------------------------------------------------------------------------------------------------------


def searched(**changes):
    P = BOX.draw(40, seed=0)
    errors = np.where(P[:, 1] > 0.7, 0.5, 1e-3)
    errors[:2] = np.nan, np.inf
    return replace(Searched(BOX, P, errors, 1e-2, P[5:6], [P[errors > 0.1]], "<title>"), **changes)


def test_a_search_is_drawn_along_each_input_and_in_each_pair():
    found = searched()
    assert found.failing[:2].all()  # what is no number, or infinite, is not within the tolerance
    figure = failures_figure(found)
    drawn = [axes for axes in panels(figure) if axes.axison]
    assert len(drawn) == 3 + 3
    assert [axes.get_xscale() for axes in drawn if axes.get_xlabel() == "k"] == ["log"]
    assert any(axes.get_xlabel() == "load [N]" or axes.get_ylabel() == "load [N]" for axes in drawn)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["within the tolerance", "beyond it", "the worst found", "the truth fails", "tolerance"]


def test_of_many_inputs_those_are_drawn_that_tell_of_failures():
    d = 9
    box = assay.Box(tuple(f"x{i}" for i in range(d)), np.zeros(d), np.ones(d))
    P = box.draw(200, seed=0)
    found = Searched(box, P, np.where((P[:, 7] > 0.8) & (P[:, 2] < 0.3), 1.0, 1e-3), 1e-2, P[:0])
    figure = failures_figure(found)
    labels = {axes.get_xlabel() for axes in panels(figure) if axes.axison}
    assert {"x2", "x7"} < labels and len(labels - {""}) == 4
    assert "5 more inputs are not shown" in " ".join(figure.get_suptitle().split())


def falsification(**changes):
    numbers = (0.5, BOX.centre, 40, 1e-2, 0.0, "falsified", "residual", 1, 0, 0, 0, 0, 1.0, 1.0)
    rows = {"asked": searched().inputs, "errors": searched().errors, "box": BOX, **changes}
    return Falsification([], *numbers, Against(None, "x"), 1.0, {}, ("<b>a note</b>",), **rows)


def test_a_falsification_without_its_box_says_so():
    assert len(panels(falsification().plot())) == 9
    with pytest.raises(ValueError, match="does not know the box"):
        falsification(box=None).plot()


# --- bounds ----------------------------------------------------------------------------------------------------------


def test_infinite_bounds_are_counted_and_errors_get_a_panel_of_their_own():
    labels = [text.get_text() for text in CERTIFICATE.plot(tolerance=1e-2).axes[0].get_legend().get_texts()]
    assert "no bound: 2" in labels and "tolerance 0.01" in labels
    figure = CERTIFICATE.plot(errors=[1e-4, 1.0, np.inf, 1e-3, 4e-3])
    assert len(figure.axes) == 2 and "3 rows without a bound or an error" in figure.axes[1].get_title()
    bounds = figure.axes[1].get_lines()[1].get_ydata()
    np.testing.assert_allclose(bounds, [1e-3, 5e-3])
    with pytest.raises(ValueError, match=r"\[5\]"):
        CERTIFICATE.plot(errors=[1.0])


def test_answers_are_drawn_by_route():
    labels = [text.get_text() for text in answers().plot().axes[0].get_legend().get_texts()]
    assert labels == ["accepted: 2", "solved: 1", "no bound: 2"]


def surrogate(curve):
    problem = assay.problem("thermal-block", cells=4)
    training = {"curve": curve, "steps": 20, "seconds": 1.0, "loss": curve[-1] if curve else 0.0, "warnings": ["<b>"]}
    architecture = {"name": "pod-mlp", "lift": False}
    return Surrogate(problem, architecture, {}, lambda *a: None, problem.inputs, 0, "ab" * 32, training)


def test_a_learning_curve_is_drawn_where_there_is_one():
    np.testing.assert_allclose(surrogate([1.0, 0.1, 0.01]).plot().axes[0].get_lines()[0].get_ydata(), [1.0, 0.1, 0.01])
    with pytest.raises(ValueError, match="no learning curve"):
        surrogate([]).plot()


def shifts():
    rows = [Shifted(name, "", np.zeros((4, 1)), np.array(e)) for name, e in (("none", [1e-3] * 4), ("wider", SOME))]
    return Shifts((*rows, Shifted("finer", "", np.zeros((1, 1)), np.array([np.nan]))), (Refused("rougher", "no"),), 9)


SOME = [1e-3, 1e-1, np.inf, np.nan]


def calibration(signal="bound"):
    errors, signals = np.array([1e-3, 1e-2, 0.2, np.inf]), np.array([1e-2, 1e-1, 1.0, np.inf])
    about = ("block", {}, "", "draws", BOX, 0.1, 0.0, 0.05, 0.95, 0, signal, 0.5, 3, 0, 0.6, 0)
    return Calibration(*about, BOX.sample(4, 0), errors, signals, np.zeros((4, 1)), np.zeros(2))


def test_shifts_are_a_row_each_and_what_is_not_there_is_counted():
    (axes,) = shifts().plot().axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["none", "wider"]
    points = [line for line in axes.get_lines() if line.get_marker() == "."]
    assert [len(line.get_xdata()) for line in points] == [4, 2]
    np.testing.assert_allclose(axes.get_lines()[-1].get_xdata(), [np.mean(SOME[:2])])
    assert "1 infinite errors are not here" in axes.get_title() and "no row for rougher" in axes.get_title()
    with pytest.raises(ValueError, match="no solve succeeded"):
        replace(shifts(), rows=shifts().rows[-1:]).plot()


def test_a_calibration_shows_its_draws_its_threshold_and_its_tolerance():
    (axes,) = calibration().plot().axes
    said = [text.get_text() for text in axes.get_legend().get_texts()]
    assert said == ["within: 2", "beyond: 1", "tolerance 0.1", "threshold 0.5"]
    assert "1 infinite ones are not here" in axes.get_title() and axes.get_xlabel() == "bound"
    (axes,) = calibration("constant").plot().axes
    assert axes.get_xlabel() == "draws" and axes.get_xscale() == "linear"


# --- files, bytes, notebooks -----------------------------------------------------------------------------------------


def answers():
    routes = np.array(["accepted", "failed", "solved", "solved", "accepted"])
    return Answer(np.zeros((5, 3)), routes, UPPER, CERTIFICATE, 1.0, ("<b>",), {"accepted": 2, "solved": 2}, UPPER)


@pytest.mark.parametrize(
    "result",
    [
        lambda: solved(assay.problem("elasticity")),
        lambda: solved(assay.problem("heat", cells=4)),
        lambda: surrogate([1.0, 0.1, 0.01]),
        lambda: CERTIFICATE,
        answers,
        falsification,
        shifts,
        calibration,
    ],
)
def test_every_picture_is_drawn_again_as_the_same_bytes(result):
    first = picture(result().plot(), "svg")
    assert first == picture(result().plot(), "svg")
    assert b"dc:date" not in first


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_the_same_is_drawn_as_the_same_bytes_in_every_style(kind):
    found = falsification()

    def drawn():
        with own_style():
            return picture(found.plot(), kind)

    first = drawn()
    with mpl.rc_context({"font.size": 23, "axes.grid": True, "svg.hashsalt": "other"}):
        assert drawn() == first


@pytest.mark.parametrize(("name", "is_formula"), [("$k_0$", True), (r"$\frac{$", False), ("US$", True)])
def test_words_between_dollars_are_formulas_where_they_can_be(name, is_formula):
    """Two names with one dollar each are two dollars in a title."""
    box = assay.Box((name, "US$ a day$"), [1.0, 0.0], [2.0, 1.0])
    P = box.draw(9, seed=0)
    figure = failures_figure(Searched(box, P, P[:, 0], 1.5, P[:0], title=f"fails at {name} = 1, US$ = 2"))
    picture(figure, "svg")
    axis = next(axes for axes in panels(figure) if axes.get_xlabel() == name)
    assert axis.xaxis.label.get_parse_math() == is_formula


def test_a_figure_is_given_back_and_written_where_a_path_is_given(tmp_path):
    figure = CERTIFICATE.plot(tmp_path / "bounds.png")
    assert isinstance(figure, Figure) and (tmp_path / "bounds.png").read_bytes() == figure._repr_png_()
    for name in ("bounds.gif", "no-folder/bounds.png"):
        with pytest.raises(ValueError, match="bounds"):
            CERTIFICATE.plot(tmp_path / name)


def test_matplotlib_is_imported_when_something_is_drawn():
    code = """
import sys, numpy as np, assay
from assay.drawing.files import check_path
one, fields, box = np.zeros((1, 1)), np.ones((1, 3)), assay.Box(("a",), [0.0], [1.0])
assert "matplotlib" not in sys.modules
assay.Snapshots(one, fields, np.zeros(1), 0, "mine", {}, box).plot()
assert "matplotlib" in sys.modules and "matplotlib.pyplot" not in sys.modules
"""
    root = Path(assay.__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_results_are_tables_in_notebooks_and_their_texts_are_texts():
    found = solved(assay.problem("thermal-block", cells=4))
    failed = replace(found, fields=np.full_like(found.fields, np.nan), reasons={0: "<b>no mesh</b>"})
    for shown in (falsification(), CERTIFICATE, answers(), failed, surrogate([1.0])):
        html = shown._repr_html_()
        assert html.startswith("<table>") and len(html) < 3000
        assert html.count("<b>") == 1  # of the title
    assert "&lt;b&gt;a note&lt;/b&gt;" in falsification()._repr_html_()
    assert "proved" in CERTIFICATE._repr_html_()
    unknown = replace(CERTIFICATE, **{f.name: np.full(5, np.inf) for f in fields(Certificate)[:8]})
    assert "undecided" in unknown._repr_html_() and "proved" not in unknown._repr_html_()
