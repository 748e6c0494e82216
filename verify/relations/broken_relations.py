"""``broken_relations``: proved lower bounds of a surrogate's error from what it answers alone (``solvers/relations/``).

Each relation that a problem declares is held against the answers at independent draws, or at given inputs. What breaks
one is wrong at one of the inputs that are compared; what keeps them all may be wrong all the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ...solvers.identity import check_problem
from ...solvers.precision import in_float64
from ...solvers.problem import Problem
from ...solvers.relations.relation import Relation
from ...solvers.seed import checked_seed
from ..answers.evaluate import Model, captured, evaluate
from ..answers.first_call import check_answers
from ..evidence import Evidence
from .held_relations import held_relations, why_not_held


@dataclass(frozen=True)
class BrokenRelation:
    """One of ``inputs``, those of the worst case, has a relative error of at least ``lower``: proved, for the exact
    discrete solutions, where there are any, and for computed ones as far as these are accurate to the relation's floor.
    """

    name: str
    statement: str
    inputs: Float[np.ndarray, "k d"]
    lower: float  # relative to the solution's size plus the problem's ``zero_scale``, as errors are
    absolute: float  # in the problem's norm
    broken: int  # of the inputs asked for, where it is broken by more than the floor
    compared: int
    evidence: Evidence = Evidence.PROVED

    def __repr__(self) -> str:
        return (
            f"BrokenRelation({self.name}: broken at {self.broken} of {self.compared} inputs, an error of at least "
            f"{self.lower:.3g}, {self.evidence})"
        )

    def words(self, problem: Problem) -> str:
        """In a sentence."""
        places = list(dict.fromkeys(problem.inputs.named(p) for p in self.inputs))
        where = f"at {places[0]}" if len(places) == 1 else f"at one of {len(places)} inputs, the first {places[0]}"
        return (
            f"{self.name}, {self.statement}, is broken at {self.broken} of {self.compared} inputs: an error of at "
            f"least {self.lower:.3g} {where} (proved of exact discrete solutions, without a solve)"
        )


@in_float64
def broken_relations(
    problem: Problem, surrogate: Callable[[Any], Any], n: int = 64, seed: int = 0, P: Any = None
) -> list[BrokenRelation]:
    """The declared relations that the surrogate breaks, the worst first; [] where it keeps them, or none is declared.

    An answer that is no number is infinitely wrong, whatever is declared: it comes first, as "answers".

    Args:
        n: independent draws from the sampling law that are asked for.
        P: these inputs [n, d] instead.

    Raises:
        ValueError: no inputs, or inputs outside the box; a surrogate that does not answer with fields; a class that
            inherits relations and changed the equations.
    """
    check_problem(problem)
    why = why_not_held(problem)
    if why:
        raise ValueError(why)
    if P is None:
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
            raise ValueError(f"n is a whole number of inputs, at least one, not {n!r}")
        P = problem.inputs.draw(n, checked_seed(seed))
    P = problem.inputs.check(P)
    model = captured(surrogate)
    check_answers(problem, model)
    found = [_no_numbers(problem, model, P)]
    found += [_worst(problem, relation, model, P, seed) for relation in held_relations(problem)]
    return sorted((one for one in found if one is not None), key=lambda one: -one.lower)


def relation_errors(problem: Problem, model: Model, P: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """The largest lower bound at each row over all relations; 0 where none applies, infinite where no field came."""
    answers = _answering(problem, model)
    bounds = [relation.violation(problem, answers, P).lower for relation in held_relations(problem)]
    largest = np.nan_to_num(np.array(bounds).reshape(len(bounds), len(P)), nan=0.0).max(axis=0, initial=0.0)
    return np.where(evaluate(model, P, problem).good, largest, np.inf)


def _answering(problem: Problem, model: Model) -> Callable[[Any], np.ndarray]:
    return lambda P: evaluate(model, P, problem).fields


def _no_numbers(problem: Problem, model: Model, P: np.ndarray) -> BrokenRelation | None:
    bad = ~evaluate(model, P, problem).good
    if not bad.any():
        return None
    where = P[np.argmax(bad)][None]
    return BrokenRelation("answers", "a field of finite numbers", where, np.inf, np.inf, int(bad.sum()), len(P))


def _worst(problem: Problem, relation: Relation, model: Model, P: np.ndarray, seed: int) -> BrokenRelation | None:
    found = relation.violation(problem, _answering(problem, model), P, seed)
    compared = np.isfinite(found.lower)
    broken = compared & (found.lower > 0)
    if not broken.any():
        return None
    i = int(np.argmax(np.where(compared, found.lower, -1.0)))
    return BrokenRelation(
        relation.name,
        relation.statement,
        found.inputs[i],
        float(found.lower[i]),
        float(found.absolute[i]),
        int(broken.sum()),
        int(compared.sum()),
    )
