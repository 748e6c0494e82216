"""What counts as close enough: ||e|| <= absolute + relative ||u||, as numpy.allclose has it.

A relative error says nothing where the solution is zero. With the scale s = absolute / relative the same condition
reads ||e|| / (s + ||u||) <= relative; the left-hand side is the error as reported everywhere, and with s = 0 it is the
relative error.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from .identity import check_problem
from .problem import Problem


@dataclass(frozen=True)
class Tolerance:
    """An error e of a solution u is allowed if ||e|| <= absolute + relative ||u||; made by ``Tolerance.of``."""

    relative: float
    absolute: float = 0.0

    @staticmethod
    def of(problem: Problem, tolerance: Any, absolute: Any = None, output: str | None = None) -> Tolerance:
        """``absolute=None``: what the problem itself counts as zero, tolerance * ``problem.zero_scale``; of an output,
        by its name, nothing.

        Raises:
            ValueError: no problem, the tolerance is not a positive number, ``absolute`` is negative, or either is not
                finite.
        """
        check_problem(problem)
        if (
            isinstance(tolerance, bool | np.bool_)
            or not isinstance(tolerance, Real)
            or not 0 < float(tolerance) < np.inf
        ):
            raise ValueError(f"the tolerance is a relative error and must be positive and finite, not {tolerance!r}")
        relative = float(tolerance)
        if absolute is None:
            return Tolerance(relative, relative * float(problem.zero_scale) if output is None else 0.0)
        if isinstance(absolute, bool | np.bool_) or not isinstance(absolute, Real) or not 0 <= float(absolute) < np.inf:
            what = f"in the norm of {problem.name} ({problem.norm_name})" if output is None else f"of output {output!r}"
            raise ValueError(f"absolute is an error {what}, zero or positive and finite, not {absolute!r}")
        made = Tolerance(relative, float(absolute))
        if not np.isfinite(made.scale):
            raise ValueError(
                f"absolute={absolute!r} is too large beside the tolerance {tolerance!r}: nothing would fail"
            )
        return made

    @property
    def scale(self) -> float:
        """s, correct to one rounding: a proof that stands on it has to allow for that."""
        return self.absolute / self.relative

    def words(self, norm_name: str, output: str | None = None) -> str:
        """What a reported error is: "errors are ..."."""
        if output is not None:
            beside = f", plus {self.scale:.3g}" if self.scale else ""
            return f"of output {output!r}, relative to the solution's{beside}"
        words = measured_in(norm_name, self.scale)
        return words if self.absolute == 0 else f"{words} (where the solution is zero, {self.absolute:.3g} is allowed)"

    def scaled(self, error: Any, norm: Any) -> Any:
        """error / (s + norm), elementwise; 0 / 0 is 0.

        NaN, which is within no tolerance and beyond none, where a number is missing: either one NaN or negative, or
        the norm infinite. An infinite error beside a finite norm stays infinite.
        """
        return scaled(error, norm, self.scale)


def measured_in(norm_name: str, scale: float) -> str:
    """What errors at this scale are, in words."""
    return f"in the {norm_name}, relative to the solution's" + (f" plus {scale:.3g}" if scale else "")


def scaled(error: Any, norm: Any, scale: float) -> Any:
    """error / (scale + norm), elementwise; 0 / 0 is 0, and NaN where a number is missing (``Tolerance.scaled``)."""
    e, u = np.asarray(error, dtype=np.float64), np.asarray(norm, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        size = scale + u
        known = (e >= 0) & (u >= 0) & np.isfinite(size)
        value = np.where(e == 0, 0.0, e / size)
    result = np.where(known, value, np.nan)
    return float(result) if result.ndim == 0 else result
