"""Run the examples, each in a process and a scratch folder of its own, and keep what they print and draw.

    python examples/run.py [NAME ...]

An example is a script of a page: its docstring is what it is about, its first line the title; it ends with an assertion
about a number. One that was run as it is, with these versions, is not run again.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
KEPT = ROOT / "build" / "examples"
LONGEST = 600  # seconds
PICTURES = ("*.png", "*.svg")


@dataclass(frozen=True)
class Example:
    """A script, and what was kept of its last run."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem.split("_", 1)[1].replace("_", "-")

    @cached_property
    def _source(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def _doc(self) -> str:
        return ast.get_docstring(ast.parse(self._source)) or ""

    @property
    def title(self) -> str:
        return self._doc.split("\n", 1)[0].rstrip(".")

    @property
    def about(self) -> str:
        return self._doc.split("\n", 1)[1].strip()

    @property
    def first_sentence(self) -> str:
        return " ".join(self.about.split("\n\n")[0].split()).split(". ")[0].rstrip(".")

    @property
    def code(self) -> str:
        """All but the docstring."""
        body = ast.parse(self._source).body
        return "\n".join(self._source.splitlines()[body[0].end_lineno :]).strip()

    @property
    def kept(self) -> Path:
        return KEPT / self.name

    def pictures(self) -> list[Path]:
        return sorted(path for kind in PICTURES for path in self.kept.glob(kind))

    def printed(self) -> str:
        return (self.kept / "printed.txt").read_text(encoding="utf-8").strip()

    def _about(self) -> dict[str, object]:
        return json.loads((self.kept / "about.json").read_text(encoding="utf-8"))

    def seconds(self) -> float:
        return float(str(self._about()["seconds"]))

    def is_fresh(self) -> bool:
        """Whether what is kept was made by this very script with this very library."""
        return (self.kept / "about.json").exists() and self._about()["of"] == self._identity()

    def _identity(self) -> str:
        digest = hashlib.sha256(self.path.read_bytes())
        for path in sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
            digest.update(path.read_bytes())
        digest.update(f"{sys.version} {metadata.version('jax')} {metadata.version('matplotlib')}".encode())
        return digest.hexdigest()

    def run(self) -> None:
        """Run it and keep what it prints and draws.

        Raises:
            RuntimeError: it failed; what it wrote is told.
        """
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as scratch:
            done = subprocess.run(
                [sys.executable, str(self.path)], cwd=scratch, capture_output=True, text=True, timeout=LONGEST,
                env={**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}, check=False,
            )  # fmt: skip
            if done.returncode:
                raise RuntimeError(f"{self.path.name} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
            shutil.rmtree(self.kept, ignore_errors=True)
            self.kept.mkdir(parents=True)
            for kind in PICTURES:
                for picture in Path(scratch).glob(kind):
                    shutil.copy(picture, self.kept / f"{self.name}-{picture.name}")
        (self.kept / "printed.txt").write_text(done.stdout, encoding="utf-8")
        about = {"of": self._identity(), "seconds": time.monotonic() - began}
        (self.kept / "about.json").write_text(json.dumps(about), encoding="utf-8")


ROOMS = ("assay", "solvers", "surrogates", "verify")


def examples() -> list[Example]:
    """All, in order."""
    return [Example(path) for path in sorted(HERE.glob("[0-9][0-9]_*.py"))]


def main(names: list[str]) -> int:
    failed = []
    for example in examples():
        if (names and example.name not in names) or example.is_fresh():
            continue
        print(f"{example.name} ...", end=" ", flush=True, file=sys.stderr)
        try:
            example.run()
            print(f"{example.seconds():.0f} s", file=sys.stderr)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            failed.append(example.name)
            print(f"failed\n{error}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
