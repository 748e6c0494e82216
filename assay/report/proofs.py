"""What is proved: at points, over the box, checked again; and what a guard let out by it."""

from __future__ import annotations

import math
from typing import Any

from ..results import file_hash
from ..verify.boxes.map_file import load_trust_map
from ..verify.boxes.trust_map import TrustMap
from ..verify.evidence import Evidence
from .content import DOWN, UP, Column, Section, in_words, level, real, said
from .findings import SHOWN, at, rest
from .pictures import bounds_picture, trust_map_picture
from .sources import Foreign, Sources

PROVED = Evidence.PROVED
MAP = "trust-map.json"


def points_section(sources: Sources) -> Section:
    def write(section: Section, found: dict[str, Any]) -> None:
        lower, upper = ([real(x) for x in found[key]] for key in ("relative_lower", "relative_upper"))
        absolute = [real(x) for x in found["upper"]]
        bounded, evidence, notes = sum(map(math.isfinite, upper)), level(found["evidence"]), found["notes"]
        section.fact("inputs", len(upper))
        section.fact("inputs with a bound", bounded)
        worst = max(upper, key=lambda x: math.inf if math.isnan(x) else x)
        section.bound("largest relative error, at most", worst, evidence, notes)
        if bounded and bounded < len(upper):
            finite = max(x for x in upper if math.isfinite(x))
            section.fact("the same, where there is a bound", finite, evidence, UP)
        known = [x for x in lower if math.isfinite(x)]
        section.fact("largest relative error, at least", max(known, default=None), evidence, DOWN)
        section.fact("norm", found["norm"])
        _spent(section, found)
        names = found["names"]
        columns = [
            Column("row"), Column("input"), Column("relative error at least", evidence, DOWN),
            Column("at most", evidence, UP), Column("absolute at most", evidence, UP),
        ]  # fmt: skip
        more = [key for key in ("error", "effectivity") if key in found]
        columns += [
            Column({"error": "error against a solve"}.get(key, "bound / error"), Evidence.OBSERVED) for key in more
        ]
        order = sorted(range(len(upper)), key=lambda i: (-upper[i] if not math.isnan(upper[i]) else -math.inf, i))
        rows = [
            [i, at(dict(zip(names, found["inputs"][i], strict=True))), lower[i], upper[i], absolute[i]]
            + [real(found[key][i]) for key in more]
            for i in order[:SHOWN]
        ]
        section.table("Bounds at inputs, largest first", columns, rows, rest(len(order), "certify.json"))
        _outputs(section, found, order)
        if bounded:
            tolerance = found.get("settings", {}).get("tolerance")
            section.pictures.append(bounds_picture(lower, upper, tolerance, evidence))
        section.texts("assumptions", found["assumptions"])
        section.texts("notes", notes)
        section.notes.append(f"bounds are {found['against']}; they say nothing of inputs in between")
        most = f"the relative error is at most {said(worst, UP, 3)} ({evidence})"
        if not math.isfinite(worst):
            most = f"{len(upper) - bounded} errors have no bound: {'; '.join(notes) or in_words(worst)}"
        section.summary = f"at {len(upper)} inputs {most}"

    return sources.section("points", "Proofs at points", "certify", "certify RUN --random 100", write)


def _outputs(section: Section, found: dict[str, Any], order: list[int]) -> None:
    for name, ends in found["outputs"].items():
        columns = [
            Column("row"),
            Column("at least", level(found["evidence"]), DOWN),
            Column("at most", level(found["evidence"]), UP),
        ]
        columns += [Column("the surrogate's own", Evidence.OBSERVED)] * ("value" in ends)
        keys = [key for key in ("lower", "upper", "value") if key in ends]
        rows = [[i, *(real(ends[key][i]) for key in keys)] for i in order[:SHOWN]]
        section.table(f"The truth's output {name!r}", columns, rows, rest(len(order), "certify.json"))


def _spent(section: Section, found: dict[str, Any]) -> None:
    for name, value in found["cost"].items():
        section.fact(f"spent: {name.replace('_', ' ')}", real(value))


def box_section(sources: Sources) -> Section:
    """By ``certify-box.json``, and the map where it is still the one that was made then."""

    def write(section: Section, found: dict[str, Any]) -> None:
        notes, upper = found["notes"], real(found["relative_upper"])
        section.fact("tolerance, relative", real(found["tolerance"]))
        section.fact("tolerance, absolute", real(found["absolute"]))
        for verdict in ("certified", "falsified", "undecided"):
            evidence = Evidence.NONE if verdict == "undecided" else PROVED
            section.fact(f"share of the box {verdict}", real(found[f"{verdict}_volume"]), evidence, DOWN)
        section.bound("largest relative error over the box, at most", upper, PROVED, notes)
        confirmed = real(found["relative_lower"])
        section.fact(
            "largest relative error over the box, at least", confirmed, PROVED if confirmed else Evidence.NONE, DOWN
        )
        section.fact("boxes", found["boxes"])
        section.fact("seconds of proving", real(found["seconds"]))
        for verdict in ("falsified", "undecided"):
            _clusters(section, verdict, found["clusters"][verdict])
        trust = _map(sources, found)
        if trust is not None:
            section.pictures.append(trust_map_picture(trust))
        section.texts("assumptions", found["assumptions"])
        section.texts("notes", notes)
        section.notes.append(f"errors are {found['measured']}, {found['against']}")
        share = said(100 * real(found["certified_volume"]), DOWN)
        most = f"at most {said(upper, UP)}" if math.isfinite(upper) else "without a bound"
        tolerance = f"{real(found['tolerance']):g}"
        section.summary = (
            f"{share} % certified at tolerance {tolerance}, largest error {most} ({level(found['evidence'])})"
        )

    made = sources.section("box", "Proof over the box: the trust map", "certify-box", "certify RUN --box all", write)
    if made.missing and sources.run.file(MAP).is_file():
        sources.strange.setdefault(MAP, "is of no proof on record here, or one that was not finished: it is not shown")
    return made


def _clusters(section: Section, verdict: str, clusters: list[dict[str, Any]]) -> None:
    columns = [
        Column("share of the box", PROVED),
        Column("inputs"),
        Column("error at least", PROVED, DOWN),
        Column("at"),
    ]
    rows = []
    for c in clusters[:SHOWN]:
        ends = ", ".join(f"{name} in [{low:.4g}, {high:.4g}]" for name, (low, high) in list(c["inputs"].items())[:6])
        rows.append([real(c["volume"]), ends, None if c["worst"] is None else real(c["worst_lower"]), at(c["worst"])])
    section.table(f"Where it is {verdict}", columns, rows, rest(len(clusters), "certify-box.json"))


def _map(sources: Sources, found: dict[str, Any]) -> TrustMap | None:
    file = sources.run.file(MAP)
    if not found["map_hash"] or not file.is_file():
        return None
    if file_hash(file) != found["map_hash"]:
        sources.strange[MAP] = "was changed since `certify --box`, or is another map: it is not shown"
        return None
    try:
        trust = load_trust_map(file)
    except ValueError as error:
        sources.strange[MAP] = f"is damaged: {error}"
        return None
    sources.used.add(MAP)
    return trust


def audit_section(sources: Sources) -> Section:
    def write(section: Section, found: dict[str, Any]) -> None:
        file = sources.run.file(MAP)
        if not file.is_file() or found["map_hash"] != file_hash(file):
            raise Foreign(f"is about another map than {MAP}")
        section.fact(
            "the map", found["answer"], PROVED if found["holds"] else Evidence.NONE, why=found.get("reason", "")
        )
        for key, what in (
            ("leaves", "leaves"), ("proved_again", "leaves proved again"), ("parts", "in parts"),
            ("witnesses", "witnesses confirmed"), ("falsified", "failures confirmed"), ("seconds", "seconds"),
        ):  # fmt: skip
            section.fact(what, found.get(key))
        section.texts("notes", [f"not checked: {line}" for line in found.get("not_checked", [])])
        section.summary = f"the trust map was checked again: {found['answer']}"

    return sources.section("audit", "The proof over the box checked again", "audit", f"audit RUN/{MAP}", write)


def guard_section(sources: Sources) -> Section:
    def write(section: Section, found: dict[str, Any]) -> None:
        totals, evidence = found["totals"], level(found["evidence"])
        section.fact("tolerance, relative", real(found["tolerance"]))
        section.fact("tolerance, absolute", found["absolute"] if found.get("absolute") is not None else None)
        section.fact("of the output", found.get("output"))
        for key, value in totals.items():
            if key not in ("worst_upper", "seconds"):
                section.fact({"n": "queries"}.get(key, key.replace("_", " ")), value)
        section.bound("largest error let out, at most", totals["worst_upper"], evidence, found["notes"])
        section.fact("seconds", real(totals["seconds"]))
        calibration = found.get("calibration")
        if calibration:
            by = sum(bool(row.get("statistical")) for row in found["rows"])
            section.fact("answers accepted by statistics", by, Evidence.STATISTICAL)
            section.fact("what that means", calibration["says"], Evidence.STATISTICAL)
        uppers = [real(row["upper"]) for row in found["rows"]]
        order = sorted(range(len(uppers)), key=lambda i: (-uppers[i] if not math.isnan(uppers[i]) else -math.inf, i))
        columns = [Column("row"), Column("input"), Column("route"), Column("error at most", evidence, UP)]
        rows = [[i, at(found["rows"][i]["inputs"]), found["rows"][i]["route"], uppers[i]] for i in order[:SHOWN]]
        section.table("Answers, largest bounds first", columns, rows, rest(len(order), "guard.json"))
        failed = [[at(one["inputs"]), one["reason"]] for one in found["unsolved"]]
        columns = [Column("input"), Column("the solver says")]
        section.table(
            "Queries that the solver did not answer", columns, failed[:SHOWN], rest(len(failed), "guard.json")
        )
        section.texts("assumptions", found["assumptions"])
        section.texts("notes", found["notes"])
        section.notes.append(f"bounds are {found['against']} ({found['norm']})")
        without = totals["n"] - totals["solver_calls"]
        section.summary = (
            f"{without} of {totals['n']} queries answered without a solve at tolerance {real(found['tolerance']):g}"
        )

    return sources.section("guard", "Guarded answers", "guard", "guard RUN --random 100 --tolerance 1e-2", write)
