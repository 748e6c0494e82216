"""The rounds of a repair that are done, and what each chose, kept in a folder where there is one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..solvers.files import parse_json, read_text, replace
from ..solvers.identity import first_difference
from .judge import Judged

FORMAT = "assay-repair-1"
LARGEST = 1 << 26


@dataclass(frozen=True)
class Round:
    """``rows`` that were learnt from, so many solver calls; ``repaired`` and ``random``: how good what was learnt from
    them is, and what was learnt from as many random samples (None where that was not asked for). ``signal``: what the
    inputs of this round were chosen by; empty before the first.
    """

    number: int
    rows: int
    signal: str
    repaired: Judged
    random: Judged | None

    @staticmethod
    def from_json(data: dict[str, Any]) -> Round:
        beside = data["random"]
        parts = {"repaired": Judged(**data["repaired"]), "random": None if beside is None else Judged(**beside)}
        return Round(**{**data, **parts})


class Record:
    """``rounds`` by their number; ``add`` one, and it stands in ``repair.json``."""

    def __init__(self, folder: Path | None, about: dict[str, Any]) -> None:
        """
        Args:
            about: everything that the result depends on, as JSON values.

        Raises:
            ValueError: the folder holds another repair, or a damaged one.
        """
        self.folder, self.about = folder, json.loads(json.dumps(about))
        self.rounds: dict[int, Round] = {}
        file = self.file("repair.json")
        if file is None:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            return self._write()
        try:
            found = parse_json(read_text(file, LARGEST), nan=True)
            there, form = found["about"], found["format"]
            self.rounds = {row["number"]: Round.from_json(row) for row in found["rounds"]}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file} is damaged ({type(error).__name__}): choose another folder") from None
        difference = f"format {form!r}" if form != FORMAT else first_difference(there, self.about)
        if difference is not None:
            raise ValueError(f"{file} is of another repair ({difference}): choose another folder")

    def file(self, name: str) -> Path | None:
        """Where a file of the folder is, or will be; None without one."""
        return None if self.folder is None else self.folder / name

    def add(self, row: Round) -> None:
        self.rounds[row.number] = row
        self._write()

    def chosen(
        self, number: int, d: int, choose: Callable[[], tuple[str, Float[np.ndarray, "n d"]]]
    ) -> tuple[str, Float[np.ndarray, "n d"]]:
        """The signal and the inputs of a round, as they were chosen, or as they are now."""
        file = self.file(f"round-{number}.json")
        if file is not None and file.exists():
            try:
                found = parse_json(read_text(file, LARGEST))
                owner, signal = str(found["of"]), str(found["signal"])
                P = np.array(found["inputs"], dtype=np.float64).reshape(-1, d)
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{file} is damaged ({type(error).__name__}): delete it") from None
            if owner != self._owner:
                raise ValueError(f"{file} is of another repair: delete it")
            return signal, P
        signal, P = choose()
        if file is not None:
            replace(file, json.dumps({"of": self._owner, "signal": signal, "inputs": P.tolist()}))
        return signal, P

    @property
    def _owner(self) -> str:
        return hashlib.sha256(json.dumps(self.about, sort_keys=True).encode()).hexdigest()

    def _write(self) -> None:
        file = self.file("repair.json")
        if file is not None:
            rows = [asdict(row) for row in self.rounds.values()]
            replace(file, json.dumps({"format": FORMAT, "about": self.about, "rounds": rows}, indent=2) + "\n")
