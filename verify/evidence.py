"""What a number is worth: proved, statistical, or merely observed."""

from enum import StrEnum


class Evidence(StrEnum):
    """From strongest to weakest; the values are what is printed."""

    PROVED = "proved"  # a theorem, its assumptions checked, rounding covered
    STATISTICAL = "statistical"  # a finite-sample statement over a stated law
    OBSERVED = "observed"  # the largest found
    NONE = "undecided"  # nothing is known
