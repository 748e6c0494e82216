"""What a report says, apart from how it looks: sections of facts, tables and pictures, every number with its evidence.

The evidence is one of ``verify/evidence.py``, or ``RECORDED``: settings, counts, times and hashes, which claim nothing
of any error. A number that is none, or infinite, is said in words, with the reason where one is known.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..terminal.output import downward, number, upward
from ..verify.evidence import Evidence

RECORDED = "recorded"
LEVELS = {
    Evidence.PROVED: "a theorem whose assumptions are listed; rounding is covered",
    Evidence.STATISTICAL: "holds with the confidence stated, for inputs drawn from the law stated",
    Evidence.OBSERVED: "measured at the inputs stated, the largest that was found: elsewhere it may be larger",
    Evidence.NONE: "nothing is known",
    RECORDED: "settings, counts, times, hashes, as the run wrote them: they claim nothing of any error",
}
UP, DOWN = "up", "down"  # how a bound is rounded where it is shown with few digits
WORDS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}  # as they stand in JSON


def real(value: Any) -> float:
    """A number of a result file.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, str) and value in WORDS:
        return WORDS[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} stands where a number should")
    return float(value)


def level(value: Any) -> Evidence:
    """The evidence that a result file names.

    Raises:
        ValueError: there is no such evidence.
    """
    return Evidence(value)


def in_words(x: float) -> str:
    """What a number is that JSON does not have."""
    return "not a number" if math.isnan(x) else "infinite" if x > 0 else "minus infinity"


def valued(value: Any) -> Any:
    """A value for JSON and for people: numbers stay, those that JSON does not have become words."""
    if isinstance(value, float) or (isinstance(value, str) and value in WORDS):
        x = real(value)
        return x if math.isfinite(x) else in_words(x)
    if isinstance(value, Mapping):
        return {str(key): valued(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [valued(each) for each in value]
    return value


def said(value: Any, rounding: str = "", digits: int = 4) -> str:
    """``valued`` for people: few digits, a bound never on the wrong side of what it bounds."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if not math.isfinite(value):
            return in_words(value)
        return {UP: upward, DOWN: downward}.get(rounding, number)(value, digits)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={said(each, digits=digits)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(said(each, digits=digits) for each in value)
    return str(value)


@dataclass(frozen=True)
class Fact:
    """``why``: of a value that is missing or infinite."""

    name: str
    value: Any
    evidence: str = RECORDED
    rounding: str = ""
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        why = {"why": self.why} if self.why else {}
        return {"name": self.name, "value": self.value, "evidence": str(self.evidence), **why}


@dataclass(frozen=True)
class Column:
    """``evidence`` of the numbers below it; where that differs by row it is empty, and a column says it."""

    name: str
    evidence: str = RECORDED
    rounding: str = ""


@dataclass(frozen=True)
class Table:
    """``more``: what is not shown, in words."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    more: str = ""

    def to_json(self) -> dict[str, Any]:
        columns = [{"name": column.name, "evidence": str(column.evidence)} for column in self.columns]
        more = {"more": self.more} if self.more else {}
        return {"caption": self.caption, "columns": columns, "rows": [list(row) for row in self.rows], **more}


@dataclass(frozen=True)
class Picture:
    """``caption`` says what is drawn, and how far it is proved."""

    caption: str
    svg: bytes

    def to_json(self) -> dict[str, Any]:
        return {"caption": self.caption, "sha256": hashlib.sha256(self.svg).hexdigest()}


@dataclass
class Section:
    """``missing``: what was not run, or cannot be shown, and the ``command`` that makes it."""

    key: str
    title: str
    summary: str = ""  # one sentence for the head of the report
    missing: str = ""
    command: str = ""
    facts: list[Fact] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def fact(self, name: str, value: Any, evidence: str = RECORDED, rounding: str = "", why: str = "") -> None:
        """One more; a value that is missing is left out, unless it is said why."""
        if value is not None or why:
            self.facts.append(Fact(name, valued(value), evidence, rounding, why))

    def bound(self, name: str, value: Any, evidence: str, why: Iterable[str], rounding: str = UP) -> None:
        """A bound: where it is no finite number nothing is known, and it is said why."""
        x = real(value)
        if math.isfinite(x):
            self.fact(name, x, evidence, rounding)
        else:
            self.fact(name, x, Evidence.NONE, "", "; ".join(why) or "the verb did not say why")

    def table(self, caption: str, columns: Sequence[Column], rows: Iterable[Sequence[Any]], more: str = "") -> None:
        """One more; none without rows."""
        cells = [[valued(cell) for cell in row] for row in rows]
        if cells:
            self.tables.append(Table(caption, columns, cells, more))

    def texts(self, kind: str, lines: Any) -> None:
        """Add ``lines`` to "notes" or "assumptions".

        Raises:
            ValueError: they are no texts.
        """
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            raise ValueError(f"{kind} are not a list of texts")
        getattr(self, kind).extend(lines)

    def to_json(self) -> dict[str, Any]:
        lists = {name: [each.to_json() for each in getattr(self, name)] for name in ("facts", "tables", "pictures")}
        texts = {name: value for name in ("summary", "missing", "command") if (value := getattr(self, name))}
        said_ = {name: value for name in ("assumptions", "notes") if (value := getattr(self, name))}
        return {"key": self.key, "title": self.title, **texts, **{k: v for k, v in lists.items() if v}, **said_}
