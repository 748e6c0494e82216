"""The argument, measured: claims about neural surrogates, each with its table and a verdict by a stated rule.

    python -m assay.benchmarks.argument [NAME ...] [--list] [--quick] [--keep FOLDER] [--write] [--json]

Without names all claims, each in a process of its own. With --keep the rows that are measured stay in that folder, and
the same command goes on from them as long as the claim's file is the same. With --write the results replace those that
the repository holds and the documentation shows; without it they are shown beside the stored verdict.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from . import registry

UNKNOWN = 240.0  # seconds that a claim without a stored result may take


def options() -> argparse.ArgumentParser:
    about = (__doc__ or "").split("\n\n")
    made = argparse.ArgumentParser(prog="python -m assay.benchmarks.argument", description=about[0], epilog=about[2])
    made.add_argument("names", nargs="*", metavar="NAME", help="claims, by the names of --list; all by default")
    made.add_argument("--list", action="store_true", help="one line a claim, and nothing is measured")
    made.add_argument("--quick", action="store_true", help="the same with fewer points and seeds, in seconds a claim")
    made.add_argument("--keep", metavar="FOLDER", type=Path, help="where measured rows stay, to go on from")
    made.add_argument("--write", action="store_true", help="store the results in the repository")
    made.add_argument("--json", action="store_true", help="the results as JSON, one line a claim")
    return made


def main() -> int:
    asked = options().parse_args()
    there = registry.files()
    if asked.list:
        wide = max(map(len, there))
        print("\n".join(f"{name:{wide}}  {registry.words(name).claim}" for name in there))
        return 0
    unknown = [name for name in asked.names if name not in there]
    if unknown:
        print(f"no claim is called {', '.join(unknown)}: --list names them", file=sys.stderr)
        return 2
    if asked.quick and asked.write:
        print("--quick measures too little to be stored: leave --write away", file=sys.stderr)
        return 2
    names = asked.names or list(there)
    try:
        return _one(names[0], asked) if len(names) == 1 else _each(names, asked)
    except KeyboardInterrupt:
        goes_on = "the same command goes on" if asked.keep else "with --keep FOLDER the next one can go on"
        print(f"stopped; {goes_on}", file=sys.stderr)
        return 130


def _each(names: list[str], asked: argparse.Namespace) -> int:
    """One claim after the other in processes of their own, so that none counts what another left in memory."""
    expected = {name: (registry.stored(name) or {}).get("seconds", UNKNOWN) for name in names}
    flags = [f"--{flag}" for flag in ("quick", "write", "json") if getattr(asked, flag)]
    flags += ["--keep", str(asked.keep)] if asked.keep else []
    worst = 0
    for i, name in enumerate(names):
        left = "" if asked.quick else f"; about {sum(expected[n] for n in names[i:]) / 60:.0f} minutes left"
        print(f"[{i + 1}/{len(names)}] {name}{left}", file=sys.stderr, flush=True)
        done = subprocess.run([sys.executable, "-m", __package__ or "", name, *flags], check=False)
        if done.returncode in (130, -2):
            raise KeyboardInterrupt
        worst = max(worst, abs(done.returncode))
    return worst


def _one(name: str, asked: argparse.Namespace) -> int:
    from ...solvers.files import replace  # these import JAX
    from .page import cell
    from .run import measured, text

    result = measured(name, asked.quick, asked.keep)
    if asked.write:
        registry.RESULTS.mkdir(exist_ok=True)
        replace(registry.RESULTS / f"{name}.json", text(result))
    if asked.json:
        print(json.dumps({"claim": name, **result}))
        return 0
    from rich.console import Console

    from .. import command

    console = Console(width=command.columns(sys.stdout), highlight=False, markup=False)
    console.print(command.table(registry.words(name).claim, [
        {key: cell(value) for key, value in row.items()} for row in result["rows"]
    ]))  # fmt: skip
    console.print(f"{result['verdict']}: {result['sentence']}")
    before = registry.stored(name)
    if before is not None and not asked.write:
        same = "the same" if before["verdict"] == result["verdict"] else f"another: {before['sentence']}"
        console.print(f"stored: {before['verdict']}, {same}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
