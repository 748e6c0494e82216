"""How likely a failure is: what independent draws from the sampling law say, at 95 % confidence.

Of n independent draws k failed. At 95 % confidence the probability of failure is then at most the x for which
P(Binomial(n, x) <= k) = 0.05 (Clopper and Pearson 1934): exact, and never a proof. Points that a search found are no
draws and never enter.

A draw whose error is proved to be within the tolerance is decided without a solve. A draw whose error is infinite (the
surrogate answered with no field of numbers), or no number, has failed. A draw that the *solver* could not answer is
left out: what remains are independent draws from the inputs that the solver answers, so that ``upper`` is about these
alone. ``upper_with_unsolved`` counts what was left out as failures, and is about all inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

from scipy.stats import beta

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Draws:
    """``decided`` draws, of which ``failed`` failed and ``proved`` were within the tolerance by a proof; ``unsolved``
    others had no truth.
    """

    decided: int
    failed: int
    proved: int = 0
    unsolved: int = 0

    def __add__(self, other: Draws) -> Draws:
        """Both together, if they are independent of each other."""
        return Draws(
            self.decided + other.decided,
            self.failed + other.failed,
            self.proved + other.proved,
            self.unsolved + other.unsolved,
        )

    @property
    def upper(self) -> float:
        """Of the probability of failure where the solver answers."""
        return clopper_pearson(self.decided, self.failed)

    @property
    def upper_with_unsolved(self) -> float:
        """Of the probability of failure, or of an input that the solver does not answer."""
        return clopper_pearson(self.decided + self.unsolved, self.failed + self.unsolved)


def clopper_pearson(draws: int, failed: int) -> float:
    """The upper end of the exact one-sided interval at 95 % for the probability of failure; 1 where all failed."""
    return float(beta.ppf(CONFIDENCE, failed + 1, draws - failed)) if draws > failed else 1.0
