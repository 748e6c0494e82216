"""The run itself: its problem, its truth, its training, and the errors at inputs that training never saw."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ..data_run import NO_BAR
from ..run_folder import DATA
from ..solvers.snapshots.snapshot_file import Snapshots
from ..terminal.words import counted
from ..verify.evidence import Evidence
from .content import RECORDED, Column, Section, real, said
from .pictures import curve_picture, fields_picture
from .sources import Sources

ASKED_AGAINST = ("certify", "falsify", "guard", "certify-box")  # results that say how far the truth is from the PDE


def problem_section(sources: Sources) -> Section:
    about, section = sources.about, Section("problem", "Problem")
    name = str(about["name"])
    section.fact("name", name)
    if sources.problem is not None:
        section.fact("what it is", _first_paragraph(sys.modules[type(sources.problem).__module__].__doc__))
        section.fact("errors are measured in", sources.problem.norm_name)
        times, nodes, components = sources.problem.shape
        parts = (counted(times, "time"), counted(nodes, "node"), counted(components, "component"))
        section.fact("a field is", " x ".join(parts))
    for key, value in about["settings"].items():
        section.fact(f"setting {key}", value)
    if "data" in about:
        section.fact("data", f"a copy in {DATA}")
    box = sources.box
    scales = ("logarithmic" if log else "linear" for log in box.log)
    columns = [Column(head) for head in ("input", "from", "to", "scale", "sampling law", "unit")]
    rows = list(zip(box.names, box.lower.tolist(), box.upper.tolist(), scales, box.laws, box.units, strict=True))
    more = f"and {len(rows) - 20} more inputs" if len(rows) > 20 else ""
    section.table(f"{box.dimension} inputs", columns, rows[:20], more)
    section.summary = f"{name}, {box.dimension} inputs"
    return section


def _first_paragraph(text: str | None) -> str | None:
    return None if not text else " ".join(text.strip().split("\n\n")[0].split())


def truth_section(sources: Sources) -> Section:
    section = Section("truth", "The truth and its checks")
    learnt = sources.snapshots("snapshots.h5", sources.results.get("snapshots_hash"))
    tests = sources.snapshots("test.h5", sources.results.get("test_hash"))
    for found, what in ((learnt, "learnt from"), (tests, "tested with")):
        if found is not None:
            _solves(section, found, what)
    if learnt is None and tests is None:
        section.notes.append("no solutions are kept in this folder (it learnt from data, or from physics alone)")
    against = [kept["against"] for verb in ASKED_AGAINST if (kept := sources.result(verb)) and "against" in kept]
    if against and isinstance(against[0], str):
        section.fact("errors are measured", against[0], Evidence.OBSERVED if "PDE" in against[0] else RECORDED)
        section.summary = f"errors are measured {against[0]}"
    else:
        where = f"not on record: `{sources.command('certify RUN --random 5')}` works it out"
        section.fact("the truth's own distance to the PDE", None, Evidence.NONE, why=where)
    shown = tests if tests is not None and tests.valid.any() else learnt
    if shown is not None and shown.valid.any():
        section.pictures.append(fields_picture(sources, shown))
    return section


def _solves(section: Section, found: Snapshots, what: str) -> None:
    section.fact(f"solutions {what}", len(found))
    section.fact(f"solutions {what}: failed solves", int((~found.valid).sum()))
    residuals = found.residuals[found.valid]
    if np.isfinite(residuals).any():
        section.fact(f"solutions {what}: largest relative residual", float(np.nanmax(residuals)), Evidence.OBSERVED)
    section.fact(f"solutions {what}: hash", found.hash)
    rows = [[count, why] for why, count in found.why_failed().items()]
    section.table(f"Why solves failed, of those {what}", [Column("solves"), Column("reason")], rows)


def training_section(sources: Sources) -> Section:
    section, results = Section("training", "Surrogate and training"), sources.results
    plan, training = sources.run.settings.get("training", {}), dict(results["training"])
    name = str(plan.get("surrogate", sources.run.facts.get("surrogate", "surrogate")))
    section.fact("architecture", name)
    for key, value in plan.items():
        if key != "surrogate" and value not in (None, {}):
            section.fact(f"asked for: {key.replace('_', ' ')}", value)
    section.fact("parameters fitted", results.get("parameters"))
    section.fact("solver calls, tests included", results.get("solver_calls"))
    section.fact("seconds of solving", results.get("sampling_seconds"))
    section.fact("seconds of training", results.get("seconds"))
    warnings, curve = training.pop("warnings", []), training.pop("curve", None)
    checked = training.pop("validation", None)
    for key, value in training.items():
        if value not in (None, {}, [], ""):
            section.fact(key.replace("_", " "), value)
    if isinstance(checked, dict) and isinstance(checked.get("dull"), dict):
        rows = [[name, checked.get("network")], *sorted(checked["dull"].items(), key=lambda row: real(row[1]))]
        caption = f"Mean error beside models that cost next to nothing, at {checked.get('at', 'the same rows')}"
        section.table(caption, [Column("model"), Column("mean error", Evidence.OBSERVED)], rows)
    section.texts("notes", [f"warning: {line}" for line in warnings])
    section.texts("notes", results.get("notes", []))
    if curve and len(curve) > 1:
        section.pictures.append(curve_picture(sources, training, curve))
    else:
        section.notes.append("no learning curve: this training has no steps, or fewer than are recorded one by one")
    size = f", {results['parameters']} parameters" if results.get("parameters") is not None else ""
    section.summary = f"{name}{size}, {len(warnings)} warnings"
    return section


def errors_section(sources: Sources) -> Section:
    results, section = sources.results, Section("errors", "Errors at inputs that training never saw")
    count = results.get("test_inputs", 0)
    if not count:
        section.missing, section.command = "no test inputs were asked for", "assay train ... --test 64"
        return section
    section.fact("test inputs", count)
    for key, what in (("mean", "mean"), ("median", "median"), ("p95", "95 % quantile"), ("max", "largest")):
        section.fact(f"relative error, {what}", real(results["errors"][key]), Evidence.OBSERVED)
    columns = [Column("component"), *(Column(key, Evidence.OBSERVED) for key in ("mean", "median", "p95", "max"))]
    parts: dict[str, Any] = results.get("component_errors", {})
    section.table(
        "Errors of the components by themselves", columns,
        [[name, *(real(errors[column.name]) for column in columns[1:])] for name, errors in parts.items()],
    )  # fmt: skip
    if "conformal" in results:
        said_ = str(results["conformal"])
        section.fact("of new inputs", said_, Evidence.NONE if said_.startswith(NO_BAR) else Evidence.STATISTICAL)
    largest = said(real(results["errors"]["max"]), digits=3)
    section.summary = f"largest relative error {largest} at {count} test inputs (observed)"
    return section


def repair_section(sources: Sources) -> Section | None:
    """The rounds of a repair, where this run is one."""
    rounds = sources.results.get("rounds")
    if not rounds:
        return None
    section = Section("repair", "Rounds of repair")
    columns = [
        Column("round"), Column("solves learnt from"), Column("chosen by"), Column("mean error", Evidence.OBSERVED),
        Column("worst found", Evidence.OBSERVED), Column("share certified", Evidence.PROVED),
        Column("mean, random samples instead", Evidence.OBSERVED), Column("worst, random", Evidence.OBSERVED),
    ]  # fmt: skip
    rows = []
    for row in rounds:
        mine, other = row["repaired"], row["random"] or {}
        beside = [other.get("mean"), other.get("worst")]
        rows.append(
            [row["number"], row["rows"], row["signal"], mine["mean"], mine["worst"], mine["certified"], *beside]
        )
    section.table("Each round learns from where the one before failed", columns, rows)
    return section
