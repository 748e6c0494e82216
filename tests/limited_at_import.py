"""A module as users write it: a problem with a time limit at its top level, made whenever the module is imported."""

from solvers_to_send import SQUARE, smooth

from assay.solvers.problems.black_box import black_box

PROBLEM = black_box(smooth, SQUARE, time_limit=60.0)
