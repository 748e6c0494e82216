"""What an error within the tolerance may hide, told from the solutions that were solved anyway: solutions that hardly
vary, and parts of them that the norm hardly counts."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ...solvers.component_errors import component_shares
from ...solvers.problem import Problem
from ...solvers.problems.black_box import BlackBox
from ...solvers.tolerance import Tolerance, scaled
from ..measured_error import magnitude_of, norm_of

LEAST = 3  # solutions, before anything is said of how they vary
ROUNDING = 1e-12  # of the largest value: smaller ones are zeros


class Unseen:
    """What the solutions met so far have in common: ``add`` each, then ``notes`` says what would pass unseen."""

    def __init__(self, problem: Problem, allowed: Tolerance) -> None:
        self.problem, self.allowed = problem, allowed
        self.count, self.variation = 0, 0.0
        self.shares = np.zeros(len(problem.component_names))
        self.squares = np.zeros(problem.size)
        self.first = np.zeros(problem.size)
        self.first_inputs = np.zeros(problem.inputs.dimension)

    def add(self, p: Float[np.ndarray, " d"], truth: Float[np.ndarray, " N"]) -> None:
        """A solution at p."""
        scale = self.allowed.scale
        if self.count == 0:
            self.first, self.first_inputs = truth, p
        with np.errstate(over="ignore", invalid="ignore"):
            away = norm_of(self.problem, p, truth - self.first)
        self.variation = float(np.maximum(self.variation, scaled(away, magnitude_of(self.problem, p, truth), scale)))
        if len(self.shares) > 1:
            self.shares = np.maximum(self.shares, component_shares(self.problem, p, truth, scale))
        largest = float(np.abs(truth).max(initial=0.0))
        self.squares += (truth / largest) ** 2 if largest > 0 else 0.0
        self.count += 1

    def notes(self) -> list[str]:
        """Sentences, none where nothing is to be said."""
        said = [self._constant(), self._component(), self._values()]
        return [note for note in said if note]

    def _constant(self) -> str:
        if self.count < LEAST or not self.variation <= self.allowed.relative:
            return ""
        remedy = "lower the tolerance"
        if isinstance(self.problem, BlackBox):
            remedy = "measure from a fixed field (black_box(..., offset=...)), or lower the tolerance"
        return (
            f"the solutions at {self.count} inputs differ from one of them by at most {self.variation:.2g} of their "
            "size, less than the tolerance: that one, answered at all inputs, would pass. To see how wrong the "
            f"variation is, {remedy}"
        )

    def _component(self) -> str:
        small = (self.shares > 0) & (self.shares <= self.allowed.relative)
        if not (self.count and small.any()):
            return ""
        names = ", ".join(np.array(self.problem.component_names)[small])
        return (
            f"{names}: at most {self.shares[small].max():.2g} of the solution's size, so that zero answered for it "
            "would pass. Look at the errors of the components by themselves (component_errors), or weigh them in the "
            "norm"
        )

    def _values(self) -> str:
        """Somebody else's solver answers with numbers of which only it knows what they are: two populations of values,
        far apart, are two components that were not declared.
        """
        if not (isinstance(self.problem, BlackBox) and len(self.shares) == 1 and self.count):
            return ""
        size = np.sqrt(self.squares)
        order = np.sort(size[size > ROUNDING * size.max()])
        if len(order) < 2:
            return ""
        gap = int(np.argmax(order[1:] / order[:-1]))
        small = size <= order[gap]
        without = norm_of(self.problem, self.first_inputs, np.where(small, self.first, 0.0))
        share = scaled(without, magnitude_of(self.problem, self.first_inputs, self.first), self.allowed.scale)
        apart = order[gap] <= self.allowed.relative * order[gap + 1]
        if not (apart and share <= self.allowed.relative):
            return ""
        return (
            f"{int(small.sum())} of the {self.problem.size} values are at most {order[gap] / order[gap + 1]:.1g} of "
            "the others, so that zero answered for them would pass. If they are another quantity, say so "
            "(black_box(..., components=...)), or weigh them in the norm"
        )
