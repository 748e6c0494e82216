"""What verbs find, kept beside the run that it is about: ``VERB.json``, as --json prints it, and whose it is.

``of`` names the problem by its fingerprint, the model by the hash of its file, and the versions of the software. A file
of another problem or model in a run's folder is told by it, and by nothing else. ``command`` is what was typed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from .run_folder import RunFolder, write_json
from .solvers.files import opened
from .solvers.problem import Problem
from .surrogates.surrogate import versions
from .targets import Target
from .terminal.output import plain
from .terminal.words import command_line

MODEL = "model.safetensors"


def save_report(target: Target, verb: str, payload: dict[str, Any]) -> None:
    """Keep what a verb found in the folder of the run that it is about, where it is a run.

    Raises:
        OSError: the file cannot be written.
    """
    if target.folder is not None:
        keep_result(target.folder, target.problem, verb, payload)


def keep_result(folder: RunFolder, problem: Problem, verb: str, payload: dict[str, Any]) -> None:
    """As ``save_report``, where the run is being made."""
    asked = command_line()
    owner = {"problem": problem.fingerprint, "model": file_hash(folder.file(MODEL)), "versions": versions()}
    write_json(folder.file(f"{verb}.json"), plain({**payload, "of": owner, "command": asked}))


def file_hash(path: Path) -> str:
    """SHA-256 of a file; empty where there is none.

    Raises:
        OSError: it cannot be read, or is no plain file.
    """
    if not path.exists():
        return ""
    with opened(path) as stream:
        digest = hashlib.sha256()
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
        return digest.hexdigest()
