"""Whether what a verb was handed is a problem at all."""

from __future__ import annotations

from typing import Any

from .problem import Problem


def check_problem(problem: Any) -> None:
    """
    Raises:
        ValueError: it is none, but perhaps the name of one, its class, or a thing that has one.
    """
    if isinstance(problem, Problem):
        return
    kind, how = f"a {type(problem).__name__}", "assay.problem makes one"
    if isinstance(problem, str):
        how = f"assay.problem({problem!r:.40}) makes one"
    elif isinstance(problem, type):
        kind = f"the class {problem.__name__}"
        how = "call it, with its settings" if issubclass(problem, Problem) else how
    elif isinstance(getattr(problem, "problem", None), Problem):
        how = "its .problem is one"  # a data set, or a surrogate where the problem goes
    raise ValueError(f"the problem is {kind}: {how}")
