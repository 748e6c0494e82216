"""A run folder as a report reads it: what is there, whose it is, and what is of somebody else or damaged."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..results import MODEL, file_hash
from ..run_folder import LARGEST, RunFolder
from ..solvers.box import Box
from ..solvers.files import parse_json, read_text
from ..solvers.problem import Problem
from ..solvers.snapshots.snapshot_file import Snapshots, load_snapshots
from .content import Section

UNREADABLE = (ValueError, KeyError, TypeError, IndexError, AttributeError, OSError, OverflowError)


class Foreign(ValueError):
    """A file that is about something else than what is here; the message ends the sentence that its name begins."""


@dataclass
class Sources:
    """``strange`` files are named and not used: (file, why)."""

    run: RunFolder
    problem: Problem | None  # where it is known without running code of somebody's own
    strange: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.about: dict[str, Any] = self.run.settings.get("problem", {})
        self.results: dict[str, Any] = self.run.facts.get("results", {})
        self.model = file_hash(self.run.file(MODEL))
        trained = self.results.get("model_hash")
        if not self.model:
            self.strange[MODEL] = "is missing: what was found is about a model that is not here"
        elif trained and trained != self.model:
            self.strange[MODEL] = "is not the model that this run trained: its hash is another one"

    @property
    def box(self) -> Box:
        return Box.from_json(self.about["inputs"])

    def command(self, words: str) -> str:
        """A command line about this run; its folder is RUN."""
        again = f" --problem {shlex.quote(self.name)} {self.settings_words}" if self.run.names_own else ""
        return f"assay {words}{again}".rstrip()

    @property
    def name(self) -> str:
        """The word that the problem is named by."""
        return str(self.about["name"])

    @property
    def settings_words(self) -> str:
        """The flags that ask for its settings."""
        asked = dict(self.about["asked"]).items()
        return " ".join(f"--set {shlex.quote(f'{key}={json.dumps(value)}')}" for key, value in asked)

    def json(self, name: str) -> dict[str, Any] | None:
        """A JSON object of the folder, whoever wrote it; None where there is none, or none that can be read."""
        file = self.run.file(name)
        if not file.is_file():
            return None
        try:
            found = parse_json(read_text(file, LARGEST), nan=True)
            if not isinstance(found, dict):
                raise ValueError("it holds no object")
        except UNREADABLE as error:
            self.strange[name] = f"cannot be read ({type(error).__name__}: {error})"
            return None
        self.used.add(name)
        return found

    def result(self, verb: str) -> dict[str, Any] | None:
        """What a verb left about this problem and this model; None where it left nothing, or something of another."""
        name = f"{verb}.json"
        found = self.json(name)
        if found is None:
            return None
        why = self._foreign(found.get("of"))
        if why:
            self.strange[name] = why
            self.used.discard(name)
            return None
        return found

    def _foreign(self, owner: Any) -> str:
        if not isinstance(owner, dict):
            return "does not say whose it is (an earlier version wrote it): run the verb again"
        if owner.get("problem") != self.about.get("fingerprint"):
            return "is about another problem: its fingerprint is not that of this run"
        if owner.get("model") != self.model:
            return "is about another model: its hash is not that of this run's model.safetensors"
        return ""

    def snapshots(self, name: str, recorded: Any) -> Snapshots | None:
        """Solutions of this run's problem, with the hash that the run recorded where it did."""
        file = self.run.file(name)
        if not file.is_file():
            return None
        try:
            found = load_snapshots(file)
        except UNREADABLE as error:
            self.strange[name] = f"cannot be read ({type(error).__name__}: {error})"
            return None
        if found.fingerprint and found.fingerprint != self.about.get("fingerprint"):
            self.strange[name] = "is of another problem: its fingerprint is not that of this run"
        elif recorded and found.hash != recorded:
            self.strange[name] = "is not what this run solved: its hash is another one"
        else:
            self.used.add(name)
            return found
        return None

    def section(self, key: str, title: str, verb: str, words: str, write: Callable[..., None]) -> Section:
        """What ``verb`` left, written by ``write(section, payload)``; or that it left nothing, and how it would."""
        found = self.result(verb)
        name = f"{verb}.json"
        if found is not None:
            section = Section(key, title)
            try:
                section.fact("asked for by", str(found["command"]) if found.get("command") else None)
                write(section, found)
                return section
            except Foreign as error:
                self.strange[name] = str(error)
            except UNREADABLE as error:
                self.strange[name] = f"is damaged ({type(error).__name__}: {error})"
            self.used.discard(name)
        missing = f"{name} {self.strange[name]}; it is not shown" if name in self.strange else "not run"
        return Section(key, title, missing=missing, command=self.command(words))


def plain_files(folder: Path) -> list[Path]:
    """The files directly in a folder, by name; hidden ones and what a report itself writes apart."""
    own = {"report.html", "report.json"}
    found = [path for path in folder.iterdir() if path.is_file() and not path.is_symlink()]
    return sorted(path for path in found if path.name not in own and not path.name.startswith("."))
