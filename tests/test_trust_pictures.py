"""Pictures of trust maps show what the map holds; the command line draws them, lists clusters, guards with the file."""

import json
from dataclasses import replace

import numpy as np
import pytest

import assay.commands.boxes as boxes
from assay.benchmarks.soundness.faulty import Quadratic
from assay.cli import run
from assay.drawing.trust_map import COLOURS, _Picture
from assay.solvers import Box
from assay.solvers.problems.catalogue import problem as find
from assay.verify.answers.frozen import Frozen
from assay.verify.boxes.trust_map import VERDICTS, TrustMap
from assay.verify.certificate import against
from assay.verify.proofs.prover import proof_of

OWN = ["--problem", "thermal-block", "--set", "blocks=2,1", "--set", "cells=4"]
MODULE = """
import assay
from assay.benchmarks.soundness.faulty import Quadratic
poor = Quadratic(assay.problem("thermal-block", blocks=(2, 1), cells=4))
"""


def a_map(d, log=True, **changes):
    """Every input halved once or twice, all verdicts there, one leaf without a bound."""
    axis, children, ends = [-1], [(-1, -1)], [0]
    for k in range(4 * d):
        node = ends.pop(0)
        axis[node], children[node] = k % d, (len(axis), len(axis) + 1)
        ends += [len(axis), len(axis) + 1]
        axis += [-1, -1]
        children += [(-1, -1), (-1, -1)]
    verdicts = np.arange(len(axis)) % 3
    low, high = (np.full(d, 0.1), np.full(d, 10.0)) if log else (np.zeros(d), np.ones(d))
    about = {
        "box": Box(tuple("abcde"[:d]), low, high, (log,) * d, units=("m",) * d),
        "tolerance": 0.1,
        "axis": np.array(axis),
        "children": np.array(children),
        "bound": np.where(verdicts == 0, 0.05, np.where(verdicts == 1, 0.2, np.inf)),
        "verdicts": verdicts,
        "witness": np.full((1, d), 0.25),
        "witness_lower": np.array([0.15]),
        "seconds": 1.0,
        "evaluated": 9,
        "problem_name": "made-up",
        "problem_settings": {},
        "against": "the discrete solution",
    }
    return TrustMap(**{**about, **changes})


def areas(axes, box, i, j):
    """Share of the panel in each colour, measured in unit coordinates."""
    (collection,) = axes.collections
    found = dict.fromkeys(VERDICTS, 0.0)
    for path, colour in zip(collection.get_paths(), collection.get_facecolors(), strict=True):
        P = np.full((len(path.vertices), box.dimension), box.upper)
        P[:, [i, j]] = path.vertices
        X = box.to_unit(P)[:, [i, j]]
        hexadecimal = "#" + "".join(f"{round(255 * c):02x}" for c in colour[:3])
        found[VERDICTS[COLOURS.index(hexadecimal)]] += float(np.prod(np.ptp(X, axis=0)))
    return found


@pytest.mark.parametrize("log", [False, True])
def test_the_areas_of_two_inputs_are_the_volumes(log):
    trust = a_map(2, log)
    panel = _Picture(trust, None).slices().subfigs[0].axes[0]
    expected = {name: getattr(trust, f"{name}_volume") for name in VERDICTS}
    assert areas(panel, trust.box, 0, 1) == pytest.approx(expected, abs=1e-12)
    assert panel.get_xscale() == ("log" if log else "linear") and panel.get_xlabel() == "a [m]"


@pytest.mark.parametrize("at", [0.0, 0.3, 0.5, 1.0])
def test_a_slice_is_covered_once_wherever_it_goes(at):
    """Also along faces of leaves."""
    trust = a_map(4)
    picture = _Picture(trust, trust.box.from_unit(np.full(4, at)))
    assert len(picture.pairs()) == 6
    for panel, (i, j) in zip(np.reshape(picture.slices().subfigs[0].axes, (3, 2)).T.flat, picture.pairs(), strict=True):
        assert sum(areas(panel, trust.box, i, j).values()) == pytest.approx(1.0)


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_a_file_is_written(d, tmp_path):
    files = [tmp_path / "map.png", tmp_path / "again.png"]
    for path in files:
        a_map(d).plot(path)
    first, again = (path.read_bytes() for path in files)
    assert first[:8] == b"\x89PNG\r\n\x1a\n" and len(first) > 10_000 and first == again


def test_a_map_that_proves_nothing_has_a_picture(tmp_path):
    nothing = {"axis": np.array([-1]), "children": np.array([[-1, -1]]), "verdicts": np.array([2])}
    trust = a_map(2, **nothing, bound=np.array([np.inf]), witness=np.zeros((0, 2)), witness_lower=np.zeros(0))
    assert "nothing is decided anywhere" in trust.plot(tmp_path / "map.svg").texts[0].get_text()
    assert (tmp_path / "map.svg").stat().st_size > 1000


def test_bad_paths_and_points_are_refused(tmp_path):
    with pytest.raises(ValueError, match="written as .png"):
        a_map(2).plot(tmp_path / "map.txt")
    with pytest.raises(ValueError, match="input 'b': 11 is outside"):
        a_map(3).plot(tmp_path / "map.png", point=[1.0, 11.0, 1.0])


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a surrogate of one's own, and a made-up map of it in place of a proof."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "poor_model.py").write_text(MODULE)
    problem = find("thermal-block", blocks=(2, 1), cells=4)
    trust = a_map(
        2,
        box=problem.inputs,
        tolerance=0.9,
        problem_name=problem.name,
        problem_settings=problem.settings,
        problem_hash=proof_of(problem).problem_hash(),
        model_hash=Frozen(Quadratic(problem), 2).hash,
    )
    numbers, low, high = trust.leaves()
    failures = np.full((len(trust.axis), 2), np.nan)
    failures[numbers] = np.where(trust.verdicts[numbers, None] == 1, (low + high) / 2, np.nan)
    bound = np.where(trust.axis >= 0, np.inf, np.where(trust.bound == 0.2, 1.2, trust.bound))
    trust = replace(
        trust,
        bound=bound,
        failures=failures,
        against=against(problem),
        assumptions=proof_of(problem).box_assumptions[0],
    )
    monkeypatch.setattr(boxes, "certify_box", lambda *_, **__: trust)
    return trust


@pytest.mark.smoke
def test_the_command_line_draws_lists_clusters_and_guards(here, capsys):
    certify = ["certify", "poor_model:poor", *OWN, "--box", "all", "--tolerance", "0.9", "--plot", "map.png"]
    assert run([*certify, "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    for verdict in ("falsified", "undecided"):
        assert sum(c["volume"] for c in told["clusters"][verdict]) == told[f"{verdict}_volume"] > 0
    assert told["plot"] == "map.png" and run(certify) == 3
    text = " ".join(capsys.readouterr().out.split())
    largest = told["clusters"]["falsified"][0]
    assert f"falsified: {100 * largest['volume']:.3g} % in k00 in [" in text and "its picture: map.png" in text
    assert run(["guard", "poor_model:poor", *OWN, "--random", "30", "--trust-map", "trust-map.json", "--json"]) in (
        0,
        3,
    )
    told = json.loads(capsys.readouterr().out)
    assert told["trust_map"] == "trust-map.json" and told["totals"]["n"] == 30


def test_mistakes_with_pictures_and_maps_are_named(here, capsys):
    assert run(["certify", "poor_model:poor", *OWN, "--random", "2", "--plot", "map.png"]) == 2
    assert "goes with --box" in capsys.readouterr().err
    assert run(["certify", "poor_model:poor", *OWN, "--box", "all", "--plot", "map.txt"]) == 2
    assert "pictures are written as" in capsys.readouterr().err
    assert run(["guard", "poor_model:poor", *OWN, "--random", "2", "--trust-map", "none.json"]) == 2
    assert "none.json could not be read" in capsys.readouterr().err
