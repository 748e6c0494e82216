"""`assay audit`: a proof over a box checked again from its file, in ball arithmetic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..targets import find_surrogate
from ..verify.audit import audit as check
from .errors import DONE, FAILED, UserError
from .output import emit, progress_bar, say
from .settings import Config, Json, ProblemOption, Set, pairs


def audit(
    trust_map: Annotated[Path, typer.Argument(metavar="TRUSTMAP", help="What `certify --box` wrote.")],
    run: Annotated[
        str | None,
        typer.Option(
            "--surrogate", metavar="RUN", help="A run folder or module:name; the map's own folder if left out."
        ),
    ] = None,
    sample: Annotated[int | None, typer.Option(min=1, help="Prove only so many leaves again, drawn at random.")] = None,
    problem: ProblemOption = None,
    set_: Set = None,
    as_json: Json = False,
    config: Config = None,
) -> int:
    """Check every leaf of a trust map again, apart from the code that made it. Exit code 1 where one does not hold."""
    if not trust_map.is_file():
        raise UserError(f"there is no trust map at {trust_map}: `assay certify RUN --box all` makes one")
    target = find_surrogate(run or str(trust_map.parent), problem, pairs(set_ or [], "--set"))
    with progress_bar("proving leaves again") as bar:
        try:
            found = check(
                trust_map, target.problem, target.surrogate, sample, progress=lambda done, total: bar(done, total)
            )
        except ValueError as error:
            if "python-flint" in str(error):
                raise
            emit(as_json, {"map": str(trust_map), "holds": False, "reason": str(error)}, lambda console: None)
            say(f"assay: the map does not hold: {error}")
            return FAILED
    payload = {
        "map": str(trust_map),
        "holds": True,
        "leaves": found.leaves,
        "proved_again": found.proved,
        "witnesses": found.witnesses,
        "falsified": found.falsified,
        "seconds": found.seconds,
    }

    def people(console: Console) -> None:
        console.print(
            f"holds: {found.proved} of {found.leaves} leaves proved again in ball arithmetic, {found.witnesses} "
            f"witnesses and {found.falsified} failures confirmed, volumes add to one ({found.seconds:.1f} s)"
        )

    emit(as_json, payload, people)
    return DONE
