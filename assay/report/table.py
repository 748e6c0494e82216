"""The table of `assay bench`, where it was run: beside the run by the demonstration, or into its folder ``bench``."""

from __future__ import annotations

import shlex
from typing import Any

from ..run_folder import RunFolder
from ..terminal.errors import UserError
from ..verify.evidence import Evidence
from .content import Column, Section, real
from .sources import UNREADABLE, Sources

OBSERVED = Evidence.OBSERVED
FOLDER = "bench"


def table_section(sources: Sources) -> Section:
    section = Section("table", "Against the solver: speed at equal error")
    for name, found in _tables(sources).items():
        try:
            write_table(section, found)
        except UNREADABLE as error:
            sources.strange[name] = f"is damaged ({type(error).__name__}: {error})"
            section = Section(section.key, section.title)
    if not section.tables:
        about, sets = sources.about, sources.settings_words
        section.missing = "not run" if "data" not in about else "a data set has no solver to compare with"
        words = ["assay bench", shlex.quote(sources.name), sets, f"--out RUN/{FOLDER}"]
        section.command = "" if "data" in about else " ".join(word for word in words if word)
    return section


def _tables(sources: Sources) -> dict[str, dict[str, Any]]:
    """Tables about this run's problem by the file that they stand in."""
    found = sources.result("table")
    if found is not None:
        return {"table.json": found}
    folder = sources.run.path / FOLDER
    if not folder.is_dir() or folder.is_symlink():
        return {}
    try:
        bench = RunFolder.open(folder)
        theirs = dict(bench.settings[FOLDER])
    except (UserError, *UNREADABLE) as error:
        sources.strange[FOLDER] = f"holds no complete table: {error}"
        return {}
    tables = {}
    for word, about in theirs.items():
        name = f"{word.replace(':', '-')}.json"
        if not isinstance(about, dict) or about.get("fingerprint") != sources.about.get("fingerprint"):
            sources.strange[f"{FOLDER}/{name}"] = "is about another problem: its fingerprint is not that of this run"
            continue
        within = Sources(bench, None)
        table = within.json(name)
        if table is not None:
            tables[f"{FOLDER}/{name}"] = table
    return tables


def write_table(section: Section, found: dict[str, Any]) -> None:
    """One table into a section."""
    columns = [
        Column("model"), Column("kind"), Column("error, mean", OBSERVED), Column("error, worst", OBSERVED),
        Column("L2 distance to the PDE, mean", OBSERVED), Column("us a query, alone", OBSERVED),
        Column("us a query, in a batch", OBSERVED), Column("solver's time / its own", OBSERVED),
        Column("seconds of training"), Column("verdict, discrete truth"), Column("verdict, PDE"),
        Column("remark"),
    ]  # fmt: skip
    section.table(f"{found['problem']}, batches of {found['batch']}", columns, [_row(row) for row in found["rows"]])
    curve = [
        [
            f"{point['method']}, {point['cells']} cells" if "method" in point else point["label"],
            real(point["errors"]["mean"]["discrete"]), real(point["errors"]["worst"]["discrete"]),
            1e6 * real(point["one"]["median"]), 1e6 * real(point["batch"]["median"]),
        ]
        for point in found["curve"]
    ]  # fmt: skip
    heads = [Column("way of solving"), columns[2], columns[3], columns[5], columns[6]]
    section.table("The solver's own curve", heads, curve)
    section.texts("notes", found["verdicts"])
    beside = "speed and verdicts at equal error, the less favourable of mean and worst"
    section.notes.append(f"errors are relative, {found['norm']}; {beside}")
    section.texts("notes", found["notes"])
    section.fact("machine", found["machine"])
    section.fact("seconds that the table took", real(found["seconds"]))
    section.summary = found["verdicts"][0] if found["verdicts"] else ""


def _row(row: dict[str, Any]) -> list[Any]:
    matches = row["matches"].get("discrete", {}).values()
    ratios = [real(match["n"]["speedup"]) for match in matches]
    mean, worst, verdicts = row["errors"]["mean"], row["errors"]["worst"], row["verdicts"]
    return [
        row["name"], row["kind"], real(mean["discrete"]), real(worst["discrete"]),
        real(mean["PDE"]) if "PDE" in mean else None, 1e6 * real(row["one"]["median"]),
        1e6 * real(row["batch"]["median"]), min(ratios) if ratios else None, real(row["training"]),
        verdicts.get("discrete"), verdicts.get("PDE"), row["note"],
    ]  # fmt: skip
