"""What is claimed, and how it is decided.

A claim is a module in a folder beside this file. It holds

    CLAIM = Claim(claim="...", said="...", ...)     literals only: they are read without importing the module
    measure(run) -> {"rows": [...], ...}            numbers alone; what takes time inside ``run.row(key, function)``
                                                    (``run.py``)
    verdict(result) -> (HELD, "one sentence")       from what is stored alone, by the rule of the claim
    draw(result, figure)                            one picture, from what is stored alone

A row of the table is a dictionary; [estimate, low, high] is a number with its interval, and "evidence" says what kind
of knowledge the row is. What only the picture needs stands beside "rows" under names of the claim's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HELD, FAILED, DEPENDS = "held", "failed", "depends"
VERDICTS = (HELD, FAILED, DEPENDS)
PROVED, STATISTICAL, EMPIRICAL = "proved", "statistical", "empirical"
EVIDENCE = {
    PROVED: "a theorem whose assumptions were checked, rounding errors covered",
    STATISTICAL: "an interval that holds with its confidence, over the stated law of the draws",
    EMPIRICAL: "what was seen in these runs",
}


@dataclass(frozen=True)
class Claim:
    """The words of a claim.

    Attributes:
        claim: one sentence, as it is said.
        said: by whom, where that is known for sure; else "in the debate".
        experiment: what is measured.
        limits: what is not, and what the numbers do not say.
        rule: how the verdict follows from what is stored.
        theorem: what is known of it, with its reference: theorems first; empty where there is nothing.
    """

    claim: str
    said: str
    experiment: str
    limits: str
    rule: str
    theorem: str = ""


class Experiment(Protocol):
    """A module of a claim."""

    CLAIM: Claim

    def measure(self, run: Any) -> dict[str, Any]: ...

    def verdict(self, result: dict[str, Any]) -> tuple[str, str]: ...

    def draw(self, result: dict[str, Any], figure: Figure) -> None: ...
