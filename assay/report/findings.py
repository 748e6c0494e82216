"""Where the surrogate is wrong: what a search found, and what shifts, formats and derivatives show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..verify.evidence import Evidence
from ..verify.search.counterexample import Counterexample
from ..verify.search.records import kept_records
from .content import DOWN, UP, Column, Section, level, real, said
from .pictures import failures_picture
from .sources import UNREADABLE, Sources

SHOWN = 12  # rows of a table
OBSERVED = Evidence.OBSERVED
RECORDS = "counterexamples.jsonl"


def at(inputs: Mapping[str, Any] | None) -> str:
    """An input in one cell: of a function's many values the first ones."""
    if inputs is None:
        return "-"
    shown = dict(list(inputs.items())[:6])
    return said(shown) + (f", ... ({len(inputs)} in all)" if len(inputs) > len(shown) else "")


def rest(count: int, where: str) -> str:
    """What a table does not show."""
    return f"and {count - SHOWN} more, in {where}" if count > SHOWN else ""


def worst_section(sources: Sources) -> Section:
    return sources.section(
        "worst", "Worst found by a search", "falsify", "falsify RUN --tolerance 1e-2",
        lambda section, found: _worst(sources, section, found),
    )  # fmt: skip


def _worst(sources: Sources, section: Section, found: dict[str, Any]) -> None:
    failures, tolerance = found["counterexamples"], real(found["tolerance"])
    falsified = found["verdict"] == "falsified"
    best = level(failures[0]["evidence"]) if failures else OBSERVED
    section.fact("verdict", f"{found['verdict']} at tolerance {tolerance:g}", best if falsified else OBSERVED)
    if found["worst"] is None:
        section.fact("largest error confirmed", None, Evidence.NONE, why="no error could be measured")
    else:
        section.fact("largest error confirmed by the solver", real(found["worst"]), OBSERVED)
        section.fact("at", at(found["worst_inputs"]))
    section.fact("tolerance, relative", tolerance)
    section.fact("tolerance, absolute", real(found["absolute"]))
    section.fact("of the output", found["output"])
    section.fact("solver calls", found["solver_calls"])
    section.fact(
        "solver calls to shrink failures and to solve on the doubled grid", found["shrink_calls"] + found["finer_calls"]
    )
    section.fact("searched by", f"{found.get('settings', {}).get('method', 'standard')}, signal: {found['signal']}")
    for name, error in found["component_errors"].items():
        section.fact(f"largest error of {name} by itself", real(error), OBSERVED)
    section.fact("independent draws", found["draws"])
    section.fact("of them failed", found["draws_failed"])
    section.fact("of them decided by a proof", found["draws_proved"])
    if found["draws"]:
        upper = real(found["failure_probability_upper"])
        section.fact("probability of failure, at most (95 % confidence)", upper, Evidence.STATISTICAL, UP)
        if found["draws_unsolved"]:
            both = real(found["failure_or_unsolved_upper"])
            section.fact("the same, failed solves counted as failures", both, Evidence.STATISTICAL, UP)
    _failures(section, failures)
    _regions(section, found["regions"])
    rows = [[at(one["inputs"]), one["reason"], one["found"]] for one in found["unsolved"]]
    columns = [Column("input"), Column("the solver says"), Column("found by")]
    section.table("Inputs where the truth itself fails", columns, rows[:SHOWN], rest(len(rows), RECORDS))
    if found.get("compared", {}).get("inputs"):
        section.pictures.append(failures_picture(sources.box, found))
    _records(sources, section)
    section.texts("notes", found["notes"])
    section.notes.append(f"errors are {found['measured']}, {found['against']}")
    if not falsified:
        section.notes.append("that nothing was found proves nothing")
    else:
        section.notes.append(f"one is solved again by `{sources.command(f'replay RUN/{RECORDS}#0')}`")
    section.summary = (
        found["found"] if falsified else f"{found['verdict']} at tolerance {tolerance:g}: {found['found']}"
    )


def _failures(section: Section, failures: list[dict[str, Any]]) -> None:
    columns = [
        Column("record"), Column("input"), Column("error", OBSERVED), Column("at least", "", DOWN),
        Column("at most", "", UP), Column("evidence of these ends"), Column("found by"),
        Column("shrunk to"), Column("error there", OBSERVED), Column("error on the doubled grid", OBSERVED),
    ]  # fmt: skip
    rows = [
        [
            f"{RECORDS}#{str(one['record']).rpartition('#')[2]}", at(one["inputs"]), real(one["error"]),
            real(one["lower"]), real(one["upper"]), level(one["evidence"]), one["found"], at(one["shrunk"]),
            one["shrunk_error"], one["finer_error"],
        ]
        for one in failures[:SHOWN]
    ]  # fmt: skip
    section.table("Counterexamples, worst first", columns, rows, rest(len(failures), RECORDS))


def _regions(section: Section, regions: list[dict[str, Any]]) -> None:
    columns = [
        Column("region"), Column("failing inputs found"), Column("worst error", OBSERVED), Column("at"),
        Column("from"), Column("to"), Column("share of all inputs", OBSERVED), Column("share of their"),
    ]  # fmt: skip
    rows = [
        [
            k + 1,
            r["failing"],
            real(r["error"]),
            at(r["worst"]),
            at(r["lower"]),
            at(r["upper"]),
            real(r["share"]),
            r["share_of"],
        ]
        for k, r in enumerate(regions[:SHOWN])
    ]
    section.table("Regions of failing inputs", columns, rows, rest(len(regions), "falsify.json"))


def _records(sources: Sources, section: Section) -> None:
    """How many findings of this problem are on record, those of other searches among them."""
    file = sources.run.file(RECORDS)
    if not file.is_file():
        return
    try:
        records = kept_records(file)
    except UNREADABLE as error:
        sources.strange[RECORDS] = f"cannot be read ({error})"
        return
    mine = [each for each in records if each.fingerprint in ("", sources.about.get("fingerprint"))]
    if len(mine) < len(records):
        sources.strange[RECORDS] = f"holds {len(records) - len(mine)} records of another problem: they are not counted"
    section.fact("counterexamples on record, of all searches", sum(isinstance(each, Counterexample) for each in mine))
    section.fact("inputs on record where the truth fails", sum(not isinstance(each, Counterexample) for each in mine))
    if records:
        sources.used.add(RECORDS)


def shifts_section(sources: Sources) -> Section:
    def write(section: Section, found: dict[str, Any]) -> None:
        errors = [Column(name, OBSERVED) for name in ("mean error", "95 % quantile", "worst")]
        columns = [Column("shift"), *errors, Column("solved"), Column("of"), Column("what")]
        rows = [
            [row["shift"], *(real(row[key]) for key in ("mean", "p95", "worst")), row["solved"], row["n"], row["what"]]
            for row in found["rows"]
        ]
        section.table("Errors where inputs, grids or data leave what was learnt", columns, rows)
        section.texts("notes", [f"not shifted: {each['shift']}: {each['why']}" for each in found["refused"]])
        section.texts("notes", [f"{row['shift']}: {note}" for row in found["rows"] for note in row["notes"]])
        section.texts("notes", found["notes"])
        section.notes.append(f"errors are {found['measured']}")

    return sources.section("shifts", "Beyond the inputs that it learnt from", "shifts", "shifts RUN", write)


def precision_section(sources: Sources) -> Section:
    def write(section: Section, found: dict[str, Any]) -> None:
        section.fact("tolerance", real(found["tolerance"]))
        keeps = ", ".join(found["keeps"]) or "none of them"
        section.fact("no change beyond the tolerance was found in", keeps, OBSERVED)
        columns = [Column("format"), Column("mean change", OBSERVED), Column("worst found", OBSERVED), Column("how")]
        rows = [[c["format"], real(c["mean"]), real(c["worst"]), c["way"]] for c in found["changes"]]
        section.table("Changes of the answer in float64", columns, rows)
        section.texts("notes", found["notes"])
        section.notes.append(f"changes are {found['measured']}; they add to the surrogate's own error")

    return sources.section("precision", "In other number formats", "precision", "precision RUN", write)


def tangent_section(sources: Sources) -> Section:
    spreads = {
        "jacobian_error": "relative Jacobian error",
        "largest_angle": "largest principal angle, radians",
        "error": "relative error of the field",
        "truth_rank": "directions that move the solution",
        "surrogate_rank": "directions that move the surrogate",
        "data_dimension": "dimension of the data",
    }

    def write(section: Section, found: dict[str, Any]) -> None:
        section.fact("points compared", found["compared"])
        section.fact("of points asked", found["points"])
        columns = [Column("quantity"), Column("median", OBSERVED), Column("largest", OBSERVED)]
        known = [(what, found[key]) for key, what in spreads.items() if found[key] is not None]
        rows = [[what, real(spread["median"]), real(spread["largest"])] for what, spread in known]
        section.table("How the surrogate moves where the solver moves", columns, rows)
        section.fact("rank correlation of Jacobian errors with errors", real(found["correlation"]), OBSERVED)
        section.fact("share of points with a low match", found["low_share"], OBSERVED)
        section.fact("derivatives of the solver by", found["truth_by"])
        section.fact("derivatives of the surrogate by", found["surrogate_by"])
        section.texts("notes", found["notes"])

    return sources.section("tangent", "Derivatives beside the solver's", "tangent", "tangent RUN", write)
