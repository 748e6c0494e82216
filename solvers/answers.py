"""What a foreign solver answers, as a field, or the reason why it is none, in words that follow "the solver"."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from .real import real_array

LONGEST = 300  # characters of a reason


class Refused(ValueError):
    """An answer that is no field."""


def checked_answer(answer: Any, size: int | None, components: int) -> Float[np.ndarray, " N"]:
    """A copy of the solver's answer as a field.

    Raises:
        Refused: complex, masked, not finite, no numbers, or of another length than ``size`` (None: any).
    """
    u = real_array(answer, "answered with", Refused)
    if components > 1 and u.ndim > 1 and u.shape[-1] != components:
        raise Refused(f"answered with shape {list(u.shape)}: {components} components come last, [nodes, {components}]")
    if size is not None and u.size != size:
        raise Refused(f"answered with {u.size} values, not {size}")
    bad = u.size - int(np.isfinite(u).sum())
    if bad:
        raise Refused(
            f"answered with {bad} of {u.size} values NaN or infinite: where these are cells outside the domain, drop "
            "them, field[inside], and give the coordinates of the others"
        )
    if not u.size:
        raise Refused("answered with nothing: an empty array")
    return u.ravel()


def words(error: BaseException) -> str:
    """Of what kind an error is and what it says, in one line."""
    line = " ".join(f"{type(error).__name__}: {error}".removesuffix(": ").split())
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."


def reason(error: BaseException) -> str:
    """Why a solve failed, in words that follow "the solver": what it answered, or what it raised."""
    return str(error) if isinstance(error, Refused) else f"raised {words(error)}"
