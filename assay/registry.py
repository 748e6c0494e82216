"""Names, looked up in one place for Python and the command line: problems and surrogates."""

from __future__ import annotations

from .solvers.catalogue import PROBLEMS, closest, problem, problem_class, stored_problem

__all__ = ["PROBLEMS", "closest", "problem", "problem_class", "stored_problem", "surrogate_name"]


def surrogate_name(name: str) -> str:
    """The name, if there is such a surrogate.

    Raises:
        ValueError: there is none; the closest match is offered.
    """
    from .surrogates import SURROGATES

    if name not in SURROGATES:
        raise closest(name, SURROGATES, "surrogate")
    return name
