"""What draws say of later inputs, never a proof: error bars, calibration, the probability of failure."""

from __future__ import annotations

import math
from typing import Any

from ..verify.evidence import Evidence
from .content import DOWN, RECORDED, UP, Section, real, said
from .sources import Sources

STATISTICAL = Evidence.STATISTICAL


def probability_section(sources: Sources) -> Section:
    def write(section: Section, found: dict[str, Any]) -> None:
        reliable = found["reliable"]
        evidence = STATISTICAL if reliable else Evidence.NONE
        why = "" if reliable else "the interval is not reliable"
        section.fact("tolerance", real(found["tolerance"]))
        section.fact("probability of failure, estimate", real(found["estimate"]), evidence, why=why)
        section.fact("at least", real(found["lower"]), evidence, DOWN, why)
        section.fact("at most", real(found["upper"]), evidence, UP, why)
        section.fact("confidence of the interval", real(found["confidence"]))
        for key in ("method", "calls", "failed", "law"):
            section.fact({"calls": "solves", "failed": "failures among them"}.get(key, key), found[key])
        section.texts("notes", found["notes"])
        ends = f"between {said(real(found['lower']), DOWN, 3)} and {said(real(found['upper']), UP, 3)}"
        section.summary = f"the probability of failure lies {ends} ({evidence})"

    return sources.section("probability", "Probability of failure", "probability", "probability RUN", write)


def conformal_section(sources: Sources) -> Section:
    def write(section: Section, found: dict[str, Any]) -> None:
        section.bound("a new error is at most", found["quantile"], STATISTICAL, found["notes"])
        section.fact(
            "with probability", real(found["level"]), STATISTICAL if _finite(found["quantile"]) else Evidence.NONE
        )
        section.bound("all values at once are within", found["band_largest"], STATISTICAL, found["notes"])
        section.fact("rows that training never saw", found["rows"])
        section.fact("for", found["law"])
        section.fact("worst error found", real(found["worst_found"]), Evidence.OBSERVED)
        section.fact("worst error found by", found["worst_found_by"])
        section.texts("notes", found["notes"])
        section.notes.append(f"errors are {found['measured']}; a bar says nothing about the worst case")
        if _finite(found["quantile"]):
            bar = said(real(found["quantile"]), UP, 3)
            section.summary = f"a new error is at most {bar} with probability {real(found['level']):g} (statistical)"

    return sources.section("conformal", "Error bars for new inputs", "conformal", "conformal RUN", write)


def calibration_section(sources: Sources) -> Section:
    def write(section: Section, found: dict[str, Any]) -> None:
        evidence = STATISTICAL if found["qualifies"] else Evidence.NONE
        section.fact("statement", found["statement"], evidence)
        section.fact("tolerance", real(found["tolerance"]))
        section.fact("share of answers accepted by it", real(found["share_accepted"]), evidence)
        for key in ("signal", "threshold", "n", "accepted", "failed", "miscoverage", "confidence", "law", "hash"):
            section.fact({"n": "draws"}.get(key, key), found[key], RECORDED)
        section.texts("notes", found["notes"])
        section.notes.append(f"errors are {found['measured']}")

    return sources.section("calibration", "Calibrated acceptance", "calibrate", "calibrate RUN --tolerance 1e-2", write)


def _finite(value: Any) -> bool:
    return math.isfinite(real(value))
