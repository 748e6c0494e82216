"""A surrogate is called once before anything is spent on it: what it cannot have meant is a mistake, told at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from ...solvers.answers import Unreadable, field_rows
from ...solvers.foreign import SettingsChanged
from ...solvers.problem import Problem
from .evaluate import captured

ADAPTERS = {"torch": "torch_surrogate", "flax": "jax_surrogate", "equinox": "jax_surrogate"}


def check_answers(problem: Problem, surrogate: Any, *, may_raise: bool = False) -> Float[np.ndarray, "n N"] | None:
    """Call the surrogate once, at the centre of the problem's box, two or three equal rows: its answers as fields.

    Args:
        may_raise: give None where the surrogate raises, for verbs that count that and go on.

    Raises:
        ValueError: it raises, or answers with something that is no array of real numbers, or in another shape.
    """
    count = 2 if problem.size != 2 else 3  # a transposed answer must not look like one that is not
    centre = np.repeat(problem.inputs.centre[None], count, axis=0)
    try:
        return field_rows(captured(surrogate)(centre), count, problem)
    except SettingsChanged:
        raise
    except Unreadable as error:
        raise ValueError(f"the surrogate answered {count} inputs {error}") from None
    except Exception as error:
        if may_raise:
            return None
        asked = f"inputs of shape {list(centre.shape)}, the centre of the box"
        raise ValueError(
            f"the surrogate raised {type(error).__name__}: {error}; it was asked for {asked}, and has to answer "
            f"[n, {problem.inputs.dimension}] with [n, {problem.size}]{_adapter(surrogate)}"
        ) from error


def _adapter(surrogate: Any) -> str:
    """What to do with a model of a framework that does not take arrays; empty for anything else."""
    model = getattr(surrogate, "_function", surrogate)  # as it was before it was captured
    kinds = {kind.__module__.partition(".")[0] for kind in type(model).__mro__}
    name = next((adapter for package, adapter in ADAPTERS.items() if package in kinds), "")
    return f": wrap it, assay.{name}(model, problem)" if name else ""
