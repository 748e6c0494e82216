"""A run that learns from a data file: how its rows are shared out, and the copy that its folder keeps of them."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .run_folder import DATA, RunFolder
from .solvers.datasets.dataset import Dataset, rows_of
from .solvers.datasets.files import load_dataset, save_dataset
from .solvers.problems.catalogue import closest
from .solvers.snapshots.snapshot_file import Snapshots, write
from .terminal.errors import UserError
from .verify.statistics.conformal import conformal

SHARE = 0.2  # of the rows, held out
LEVEL = 0.9
NO_BAR = "no error bar"


@dataclass(frozen=True)
class DataSource:
    """The rows of a file: those to learn from, and those held out. ``word`` names it in the run folder."""

    data: Dataset
    word: str
    learn: Snapshots
    held: Snapshots

    @staticmethod
    def of(data: Dataset, learn: int, held: int, seed: int) -> DataSource:
        """So many rows of each, shared out at random.

        Raises:
            UserError: there are not as many, or none to learn from.
        """
        rows, word = len(data), f"data:{data.problem.name}"
        if learn < 1 or held + learn > rows:
            raise UserError(
                f"{data.problem.name} has {rows} rows: {learn} to learn from and {held} held out are not to be had"
            )
        if not held:
            return DataSource(data, word, data.snapshots.first(learn), data.snapshots.first(0))
        others, tests = data.split(held / rows, seed)
        return DataSource(data, word, rows_of(others, slice(0, learn)), tests)

    def again(self, learn: int, seed: int) -> DataSource:
        """Another number to learn from, as many held out, by another seed.

        Raises:
            UserError: as ``of``.
        """
        return DataSource.of(self.data, learn, len(self.held), seed)

    def keep(self, folder: RunFolder) -> None:
        """All rows, and those held out, in the folder: the verbs read these, wherever the file is then."""
        if not folder.file(DATA).exists():
            save_dataset(self.data, folder.file(DATA))
        if len(self.held):
            write(folder.file("test.h5"), self.held)

    def bars(self, surrogate: Any) -> str:
        """What the held-out rows say of new ones, in words."""
        found = conformal(self.data.problem, surrogate, self.held, level=LEVEL)
        if not np.isfinite(found.error):
            return f"{NO_BAR}: {'; '.join(found.remarks)}"
        return (
            f"a new input drawn as the data was has an error of at most {found.error:.3g} with probability {LEVEL:g} "
            f"(split conformal, {found.rows} rows that training never saw)"
        )


def find_data(
    path: Path, problem: str | None, asked: dict[str, Any], snapshots: int | None, test: int | None, seed: int
) -> DataSource:
    """The file's rows, shared out at random.

    Raises:
        UserError: a problem is named as well, an unknown setting (the closest match is offered), or more rows are asked
            for than there are.
        ValueError: the file cannot be read (``load_dataset``).
    """
    if problem is not None:
        raise UserError(f"--data stands in the place of the problem: leave {problem} out, or --data")
    known = [key for key in inspect.signature(load_dataset).parameters if key != "path"]
    for key in asked:
        if key not in known:
            raise closest(key, known, "setting of a data file")
    data = load_dataset(path, **asked)
    rows = len(data)
    held = round(SHARE * rows) if test is None else test
    return DataSource.of(data, rows - held if snapshots is None else snapshots, held, seed)
