"""Parametrised problems and their discrete truth: finite differences, finite elements, snapshots."""

if __name__ == "solvers":
    raise ImportError("this folder is a room of assay: write `from assay.solvers import ...`")

from .affine import affine
from .black_box import black_box
from .box import Box
from .coercive import CoerciveProblem
from .problem import Problem, Solution, SolveError, solve
from .snapshots import Snapshots, load_snapshots, sample
from .thermal_block import ThermalBlock

__all__ = [
    "Box",
    "CoerciveProblem",
    "Problem",
    "Snapshots",
    "Solution",
    "SolveError",
    "ThermalBlock",
    "affine",
    "black_box",
    "load_snapshots",
    "sample",
    "solve",
]
