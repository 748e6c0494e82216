"""An input at which the truth fails: the solver raised, took longer than it may, or answered with no field. A finding
of its own: nothing can be said there of any surrogate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

FORMAT = 1
KIND = "the truth fails here"
LONGEST = 2000  # characters of a reason in a file


@dataclass(frozen=True)
class UnsolvedInput:
    """``reason``: in one sentence, naming the input; ``found``: what asked for the solve."""

    inputs: Float[np.ndarray, " d"]
    reason: str
    found: str
    problem_name: str
    problem_settings: dict[str, Any]
    fingerprint: str
    seed: int

    def __repr__(self) -> str:
        return f"UnsolvedInput({self.reason})"

    @property
    def key(self) -> tuple[Any, ...]:
        """Two records of one key are one."""
        return KIND, self.inputs.tobytes()

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "kind": KIND,
            "problem": self.problem_name,
            "settings": self.problem_settings,
            "fingerprint": self.fingerprint,
            "inputs": [float(x) for x in self.inputs],
            "reason": self.reason,
            "found": self.found,
            "seed": self.seed,
        }

    @staticmethod
    def from_json(data: Any) -> UnsolvedInput:
        """Raises ValueError where ``data`` is not such a record."""
        try:
            if data["format"] != FORMAT or data["kind"] != KIND:
                raise ValueError(f"format {data['format']} is not known, only {FORMAT}")
            return UnsolvedInput(
                inputs=np.array([float(x) for x in data["inputs"]]),
                reason=str(data["reason"])[:LONGEST],
                found=str(data["found"])[:LONGEST],
                problem_name=str(data["problem"]),
                problem_settings=dict(data["settings"]),
                fingerprint=str(data["fingerprint"]),
                seed=int(data["seed"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"not a record of an unsolved input: {type(error).__name__}: {error}") from None
