"""Name and settings of a problem follow from its dataclass; settings that make no sense are refused by name."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from assay.solvers import Box, Problem, ThermalBlock
from assay.solvers.problems.catalogue import PROBLEMS, problem
from assay.solvers.problems.elasticity import Elasticity
from assay.solvers.settings import check_cells, check_range, halved


class Plain(Problem):
    """A problem of no structure: the number of its values is a setting, the field is p."""

    inputs = Box(("p",), [0.0], [1.0])
    coordinates = np.zeros((1, 1))
    shape = (1, 1, 1)
    norm_name = "absolute value"

    def solve_jax(self, p, tolerance=None):
        raise NotImplementedError

    def norm(self, p, u):
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Heat1D(Plain):
    """Every kind of field that JSON has a word for."""

    width: float = 1.0
    cells: int = 4
    sides: tuple[float, float] = (0.0, 1.0)
    scheme: str = "upwind"
    front: float | None = None
    lumped: bool = True
    steps: Any = 3


@dataclass(frozen=True, eq=False)
class Loaded(Plain):
    load: Any = None


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_problem_is_made_again_from_its_name_and_settings(name):
    first = problem(name)
    assert first.name == name
    assert problem(first.name, **first.settings).fingerprint == first.fingerprint


def test_settings_are_the_fields_as_json_values():
    made = Heat1D(np.float32(0.5), np.int64(8), (np.float64(1), 2), front=np.float64(0.25), steps=np.int32(7))
    assert made.name == "heat-1d"
    found = made.settings
    assert found == {
        "width": 0.5,
        "cells": 8,
        "sides": [1.0, 2],
        "scheme": "upwind",
        "front": 0.25,
        "lumped": True,
        "steps": 7,
    }
    kinds = {key: type(value) for key, value in found.items()}
    assert kinds["width"] is float and kinds["cells"] is int and kinds["lumped"] is bool and kinds["steps"] is int
    assert Heat1D(width=Fraction(1, 3)).settings["width"] == 1 / 3 and type(Heat1D(2).settings["width"]) is float


def test_a_subclass_without_settings_of_its_own_keeps_the_name():
    class Warmer(ThermalBlock):
        pass

    assert Warmer((2, 1), 4).name == "thermal-block" and Warmer((2, 1), 4).settings == ThermalBlock((2, 1), 4).settings


def test_what_cannot_be_read_says_what_to_do():
    with pytest.raises(TypeError, match=r"Plain is no dataclass.*@dataclass\(frozen=True, eq=False\)"):
        _ = Plain().settings
    with pytest.raises(TypeError, match=r"loaded\.load is a ndarray.*define the property settings"):
        _ = Loaded(np.ones(3)).settings


@pytest.mark.parametrize("wrong", [{"width": [8.0]}, {"width": "8"}, {"cells": 2.5}, {"cells": None}])
def test_a_number_that_is_none_is_refused(wrong):
    (name,) = wrong
    kind = "int" if name == "cells" else "float"
    with pytest.raises(TypeError, match=rf"heat-1d\.{name} is .*, not a number declared {kind}"):
        _ = Heat1D(**wrong).settings


def test_settings_left_out_stand_with_the_values_that_they_take():
    assert Elasticity("cook", cells=4).settings["poisson"] == 1 / 3
    assert Elasticity("cook", cells=4, low=0.5).settings["low"] == 0.5


@pytest.mark.parametrize("cells", [3, 4.5, True, "8", None])
def test_cells_that_make_no_sense_are_refused(cells):
    with pytest.raises(ValueError, match=f"cells must be a whole number of at least 4, not {cells!r}"):
        check_cells(cells)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        (1.0, "speed is a pair of numbers"),
        ((1.0, "fast"), "speed is a pair of numbers"),
        ((1.0, 2.0, 3.0), "speed is a pair of numbers"),
        ((2.0, 1.0), "speed needs finite low < high"),
        ((0.0, np.nan), "speed needs finite low < high"),
        ((-1.0, 1.0), "speed must be above 0, not from -1"),
        ((0.0, 1.0), "speed must be above 0, not from 0"),
    ],
)
def test_ranges_that_make_no_sense_are_refused(bounds, message):
    with pytest.raises(ValueError, match=message):
        check_range("speed", bounds, 0.0, open_end=True)


def test_a_range_is_a_pair_of_floats():
    assert check_range("speed", [0, 2], 0.0) == (0.0, 2.0) and type(check_range("speed", [0, 2])[1]) is float
    assert check_cells(8.0) == 8 and type(check_cells(np.int32(8))) is int


def test_a_coarser_grid_needs_cells_to_halve():
    assert halved(8, 4) == 4
    for cells in (7, 6):
        with pytest.raises(ValueError, match=f"an even number of at least 8 cells per side, not {cells}"):
            halved(cells, 4)
