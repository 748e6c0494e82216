"""The report of a run: every section in its order, as HTML and as JSON with the same content.

The same folder gives the same bytes: no date is added, pictures are drawn alike, files are in the order of their names.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..run_folder import RunFolder
from ..solvers.files import replace
from ..solvers.problem import Problem
from ..terminal.errors import UserError
from .about_run import errors_section, problem_section, repair_section, training_section, truth_section
from .content import LEVELS, Section
from .findings import precision_section, shifts_section, tangent_section, worst_section
from .html import page
from .proofs import audit_section, box_section, guard_section, points_section
from .record import environment_section, hashes_section, strange_section
from .sources import UNREADABLE, Sources
from .statistics import calibration_section, conformal_section, probability_section
from .table import table_section

FORMAT = "assay-report-1"
LEAD = (
    "RUN in commands stands for the folder of this run. Nothing here was computed for the report: all of it was read; "
    "of each verb it is the last result."
)
SECTIONS = (
    problem_section, truth_section, training_section, repair_section, errors_section, worst_section, points_section,
    box_section, audit_section, guard_section, probability_section, conformal_section, calibration_section,
    shifts_section, precision_section, tangent_section, table_section,
)  # fmt: skip


@dataclass(frozen=True)
class Report:
    """``title`` and ``sections``; those that were not run say so."""

    title: str
    sections: list[Section]

    @property
    def missing(self) -> list[Section]:
        return [section for section in self.sections if section.missing]

    def to_json(self) -> dict[str, Any]:
        levels = {str(name): means for name, means in LEVELS.items()}
        sections = [section.to_json() for section in self.sections]
        return {"format": FORMAT, "title": self.title, "evidence": levels, "sections": sections}

    def html(self) -> str:
        return page(self.title, LEAD, self.sections)

    def write(self, path: Path) -> list[Path]:
        """The page at ``path``, and the JSON beside it.

        Raises:
            OSError: a file cannot be written.
        """
        beside = path.with_suffix(".json")
        replace(beside, json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n")
        replace(path, self.html())
        return [path, beside]


def report(run: RunFolder, problem: Problem | None) -> Report:
    """Everything that lies in a run folder.

    Args:
        problem: where it is known: without it there is nothing to draw fields on.

    Raises:
        UserError: the folder holds no run of one problem with a surrogate, or ``run.json`` is damaged.
    """
    sources = Sources(run, problem)
    sections = []
    for write in SECTIONS:
        try:
            section = write(sources)
        except UNREADABLE as error:
            what = f"{type(error).__name__}: {error}"
            raise UserError(f"{run.path / 'run.json'} is damaged ({what}): there is nothing to report") from error
        sections += [] if section is None else [section]
    sections += [environment_section(sources), hashes_section(sources)]
    strange = strange_section(sources)
    sections += [] if strange is None else [strange]
    name = sections[2].facts[0].value
    return Report(f"{name} for {sources.about['name']}: report", sections)
