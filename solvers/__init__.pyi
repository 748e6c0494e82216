"""The public names, and where each comes from."""

from .box import Box
from .classes.coercive import CoerciveProblem
from .problem import Problem, Solution, SolveError, solve
from .problems.affine import affine
from .problems.black_box import black_box
from .problems.thermal_block import ThermalBlock
from .snapshots.sample import Snapshots, load_snapshots, sample

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
