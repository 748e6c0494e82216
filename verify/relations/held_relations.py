"""``held_relations``: those that were derived from the equations that a problem has now.

A class of somebody's own that derives from a problem of ``solvers/problems/`` and defines a part anew has other
solutions: what the parent's relations say of them is not known, as with theorems (``proofs/prover.py``). Such a class
has none, unless it declares them itself, ``relations = Parent.relations``.
"""

from __future__ import annotations

from ...solvers.problem import Problem
from ...solvers.problems.black_box import BlackBox
from ...solvers.problems.dataset import DatasetProblem
from ...solvers.relations.relation import Relation
from ..proofs.prover import NOT_READ, SOLVERS, defined_anew

DECLARED = (BlackBox, DatasetProblem)  # by whoever made them, for their own equations


def held_relations(problem: Problem) -> tuple[Relation, ...]:
    """The relations of a problem; () where its class inherits them and defines anew what they were derived from."""
    kind = next(cls for cls in type(problem).__mro__ if "relations" in vars(cls))
    own = not kind.__module__.startswith(SOLVERS) or type(problem) in DECLARED
    return tuple(problem.relations) if own or not defined_anew(problem, kind) - NOT_READ - {"relations"} else ()
