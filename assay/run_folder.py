"""A run on disk: ``run.json`` says everything needed to reproduce it; beside it lie model, data and findings.

    run.json              format, status (started, complete), command, settings, versions, results
    snapshots.h5          the truth that was learnt from, resumable
    data.h5               a copy of the data that was learnt from, in the place of a solver
    training.checkpoint   where training stands, while it runs
    model.safetensors     the surrogate
    test.h5               the truth at other inputs, where the errors in run.json were measured
    learning.json, .png   the loss by steps, of networks
    counterexamples.jsonl what falsify found, one record a line; inputs at which the truth failed, too
    database/             the same by problem: what the next search tries first
    trust-map.json        what certify --box proved
    calibration.npz       which answers guard --calibration may accept, by statistics
    falsify.json, ...     the results of the last run of a verb, as its --json prints them, and whose they are
    bench/                the table of `assay bench --out RUN/bench`, a run folder of its own
    report.html, .json    all of it on one page, by `assay report`

A folder is taken if it is missing or empty, if it holds an interrupted run of the same settings, which then goes on, or
if a run was begun there and has left nothing.
Every file is replaced as a whole (``solvers/files.py``): no reader and no interruption meets half of one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .connections import lasting, same_connection
from .own_code import find_problem
from .solvers.datasets.files import load_dataset
from .solvers.files import HeldFolder, parse_json, read_text, replace
from .solvers.identity import check_fingerprint, first_difference
from .solvers.problem import Problem
from .solvers.problems.catalogue import PROBLEMS, stored_problem
from .surrogates import load
from .surrogates.surrogate import versions
from .terminal.errors import UserError

FORMAT = "assay-run-1"
DATA = "data.h5"
LARGEST = 1 << 26  # bytes of run.json


def own_file(folder: Path, name: str) -> Path:
    """A file of a run folder.

    Raises:
        UserError: a link stands there, which could lead anywhere.
    """
    path = folder / name
    if path.is_symlink():
        raise UserError(f"{path} is a link, which could lead anywhere: put the file itself there")
    return path


def write_json(path: Path, value: Any) -> None:
    """Write JSON values, indented, in one step.

    Raises:
        OSError: the file cannot be written; it names the path.
    """
    replace(path, json.dumps(value, indent=2) + "\n")


@dataclass(frozen=True)
class RunFolder:
    """A folder with what ``run.json`` says of it: ``start`` makes or resumes one, ``open`` reads a complete one."""

    path: Path
    facts: dict[str, Any]
    resumed: bool = False
    held: HeldFolder | None = None  # while a run is being made

    @staticmethod
    def start(path: Path, settings: dict[str, Any], command: str = "") -> RunFolder:
        """A new run, or the interrupted run of the same settings.

        Raises:
            UserError: the folder holds something else, a run of other settings (the first difference is named), or a
                complete run.
            OSError: it cannot be made or written, or another process is working there.
        """
        settings = json.loads(json.dumps(settings))
        if path.exists() and not path.is_dir():
            raise UserError(f"{path} is a file: choose another --out")
        path.mkdir(parents=True, exist_ok=True)
        held = HeldFolder(path)
        if any(path.iterdir()) and not _only_begun(path):
            found = _read(path)
            if found is None:
                raise UserError(f"{path} is not empty and holds no run: choose another --out")
            difference = first_difference(_as_old(found["settings"], settings), settings)
            if difference is not None:
                raise UserError(f"{path} holds another run: {difference}. Choose another --out, or the same settings")
            if found["status"] == "complete":
                raise UserError(f"{path} holds this very run, complete: use it, or choose another --out")
            changed = first_difference(found["versions"], versions())
            if changed is not None:
                raise UserError(f"{path} was begun with other software ({changed}): choose another --out")
            return RunFolder(path, found, resumed=True, held=held)
        facts = {
            "format": FORMAT,
            "status": "started",
            "command": command,
            "settings": settings,
            "versions": versions(),
            "started": _now(),
        }
        write_json(path / "run.json", facts)
        return RunFolder(path, facts, held=held)

    @staticmethod
    def open(path: Path) -> RunFolder:
        """A complete run.

        Raises:
            UserError: no such folder, no run in it, or a run that was interrupted.
        """
        if not path.is_dir():
            what = "is a file, not a run folder" if path.exists() else "does not exist"
            own = "model.onnx or module:name is a surrogate of your own"
            raise UserError(f"{path} {what}: `assay train` makes one, and {own}")
        found = _read(path)
        if found is None:
            raise UserError(f"{path} is no run folder: it has no run.json")
        if found["status"] != "complete":
            command = found.get("command") or "the command that began it"
            raise UserError(f"{path} holds an interrupted run: go on with `{command}`")
        return RunFolder(path, found)

    @property
    def settings(self) -> dict[str, Any]:
        """What the run was asked for, as JSON values."""
        found: dict[str, Any] = self.facts["settings"]
        return found

    def file(self, name: str) -> Path:
        """Where a file of this folder is, or will be (``own_file``)."""
        return own_file(self.path, name)

    def problem(self, word: str | None = None, asked: dict[str, Any] | None = None) -> Problem:
        """The run's problem. One of the user's own is named again: what a file says is compared, never run.

        Args:
            word, asked: what the user says, the problem and the settings asked for.

        Raises:
            UserError: the user names another one, or does not name their own; the settings do not build what they
                built when the run was made.
        """
        about = _about(self.path, self.settings)
        name = about["name"]
        if "data" in about:
            return self._data(about, word)
        if word is not None and not same_connection(word, name):
            raise UserError(f"{self.path} is a run of {name!r}, not of {word}")
        if name in PROBLEMS:
            if asked:
                raise UserError(f"--set is for problems of your own: {self.path} knows its settings")
            made = stored_problem(name, about["asked"])
        elif word is None:
            raise UserError(
                f"{self.path} is a run of a problem that this library does not know, {name!r} there: if it is your "
                "own, name it again with --problem (and --set, if it was); what a file names is never run"
            )
        else:
            difference = first_difference(about["asked"], lasting(word, asked or {}), "--set ")
            if difference is not None:
                raise UserError(f"{self.path} is a run of {word} with other settings: {difference}")
            made = find_problem(word, asked or {})
        difference = first_difference(about["settings"], made.settings)
        if difference is not None:
            raise UserError(f"{self.path}: the problem is no longer what it was: {difference}")
        check_fingerprint(str(self.path), about.get("fingerprint", ""), made)
        return made

    @property
    def names_own(self) -> bool:
        """Whether its problem is one that has to be named again."""
        about = _about(self.path, self.settings)
        return about["name"] not in PROBLEMS and "data" not in about

    def _data(self, about: dict[str, Any], word: str | None) -> Problem:
        """The data that the run learnt from, by its own copy."""
        if word is not None:
            raise UserError(f"{self.path} is a run of data: leave --problem {word} out")
        file = self.file(DATA)
        if not file.exists():
            raise UserError(f"{self.path} has no {DATA}: train again, into another folder")
        made = load_dataset(file).problem
        check_fingerprint(str(self.path), about["fingerprint"], made)
        return made

    def surrogate(self, problem: Problem) -> Callable[[Any], Any]:
        """The trained surrogate.

        Raises:
            UserError: the model is missing.
            ValueError: it is damaged, foreign or of another problem.
        """
        model = self.file("model.safetensors")
        if not model.exists():
            raise UserError(f"{self.path} has no model.safetensors: train again, into another folder")
        loaded: Callable[[Any], Any] = load(model, problem)
        return loaded

    def complete(self, results: dict[str, Any]) -> None:
        """Mark the run as done, with what it found as JSON values."""
        self.facts.update(status="complete", finished=_now(), results=results)
        write_json(self.file("run.json"), self.facts)


def about_problem(word: str, asked: dict[str, Any], problem: Problem) -> dict[str, Any]:
    """How a run names its problem: as asked for, and with every setting resolved."""
    asked = (
        lasting(word, asked) if ":" in word else problem.settings
    )  # a name is built from its settings, the user's own as asked
    about = {"name": word, "asked": asked, "settings": problem.settings, "inputs": problem.inputs.to_json()}
    return {**about, "fingerprint": problem.fingerprint}


def _only_begun(path: Path) -> bool:
    """Whether a run was begun here that did not get so far as to leave anything: any command may take its place."""
    names = {entry.name for entry in path.iterdir() if not entry.name.startswith(".")}
    found = _read(path) if names == {"run.json"} else None
    return found is not None and found["status"] == "started"


def _as_old(there: dict[str, Any], here: dict[str, Any]) -> dict[str, Any]:
    """Settings of a run, with what runs of before did not say of their problems taken as it is here."""
    if not isinstance(there.get("problem"), dict) or not isinstance(here.get("problem"), dict):
        return there
    known = {key: value for key, value in here["problem"].items() if key == "fingerprint"}
    return {**there, "problem": {**known, **there["problem"]}}


def _about(path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """What a run says of its problem, every part of the kind that it should be."""
    about = settings.get("problem")
    if about is None:
        raise UserError(f"{path} is no run of one problem with a surrogate: `assay train` makes one")
    kinds = {"name": str, "asked": dict, "settings": dict, "fingerprint": str}
    about = {"fingerprint": "", **about} if isinstance(about, dict) else {}  # runs of before there was one
    if any(not isinstance(about.get(key), kind) for key, kind in kinds.items()):
        raise UserError(f"{path / 'run.json'} is damaged: what it says of its problem cannot be read")
    return about


def _read(path: Path) -> dict[str, Any] | None:
    file = own_file(path, "run.json")
    if not file.exists():
        return None
    try:
        found = parse_json(read_text(file, LARGEST), nan=True)  # runs without test inputs hold NaN
        if found["format"] != FORMAT:
            raise UserError(f"{file}: format {found['format']!r} is not known, only {FORMAT!r}")
        return {
            **found,
            "settings": dict(found["settings"]),
            "status": str(found["status"]),
            "versions": dict(found["versions"]),
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is damaged ({type(error).__name__}: {error}): choose another folder") from None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
