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
    """The relations of a problem; () where ``why_not_held`` says why."""
    return () if why_not_held(problem) else tuple(problem.relations)


def why_not_held(problem: Problem) -> str:
    """In a sentence, where its class inherits relations and defines anew what they were derived from; else empty."""
    kind = next(cls for cls in type(problem).__mro__ if "relations" in vars(cls))
    if not kind.__module__.startswith(SOLVERS) or type(problem) in DECLARED:
        return ""
    anew = sorted(defined_anew(problem, kind) - NOT_READ - {"relations"})
    if not anew or not problem.relations:
        return ""
    return (
        f"{type(problem).__name__} defines {', '.join(anew)} anew, and whether the relations of {kind.__name__} hold "
        f"of its solutions is not known: where they do, say so by `relations = {kind.__name__}.relations` in the class"
    )
