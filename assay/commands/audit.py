"""`assay audit`: a proof over a box checked again from its file, by other means."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..results import file_hash, save_report
from ..targets import find_surrogate
from ..terminal.errors import DONE, FAILED, UNDECIDED, UserError
from ..terminal.output import emit, progress_bar
from ..terminal.settings import Config, Json, ProblemOption, Set, pairs
from ..terminal.streams import say
from ..terminal.workers import Dask, pool
from ..verify.audit import BOXES, Changed, NotReproduced, Refuted
from ..verify.audit import audit as check

ANSWERS: dict[type[ValueError], tuple[str, str, int]] = {
    Changed: ("changed", "the map does not hold", FAILED),
    Refuted: ("refuted", "the map does not hold", FAILED),
    NotReproduced: ("not reproduced", "undecided", UNDECIDED),
}

ProvedBy = Annotated[
    int | None,
    typer.Option("--workers", min=1, metavar="N", help="Prove leaves in N processes at a time; here if left out."),
]


def audit(
    trust_map: Annotated[Path, typer.Argument(metavar="TRUSTMAP", help="What `certify --box` wrote.")],
    run: Annotated[
        str | None,
        typer.Option(
            "--surrogate",
            metavar="RUN",
            help="A run folder, model.onnx or module:name; the map's own folder if left out.",
        ),
    ] = None,
    sample: Annotated[int | None, typer.Option(min=1, help="Prove only so many leaves again, drawn at random.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Stop proving after that long; by default when done.")] = None,
    boxes: Annotated[int, typer.Option(min=1, help="Parts that one leaf may be halved into.")] = BOXES,
    workers: ProvedBy = None,
    dask: Dask = None,
    problem: ProblemOption = None,
    set_: Set = None,
    as_json: Json = False,
    config: Config = None,
) -> int:
    """Check every leaf of a trust map again, apart from the code that made it.

    Exit code 1 where the map was changed or is refuted, 3 where a bound could not be reproduced within the budget.
    """
    if not trust_map.is_file():
        raise UserError(f"there is no trust map at {trust_map}: `assay certify RUN --box all` makes one")
    target = find_surrogate(run or str(trust_map.parent), problem, pairs(set_ or [], "--set"))
    with progress_bar("proving leaves again") as bar, pool(workers, dask) as executor:
        try:
            found = check(
                trust_map,
                target.problem,
                target.surrogate,
                sample,
                progress=lambda done, total: bar(done, total),
                seconds=seconds,
                boxes=boxes,
                executor=executor,
            )
        except (Changed, Refuted, NotReproduced) as error:
            answer, said, code = ANSWERS[type(error)]
            denied = {"map": str(trust_map), "holds": False, "answer": answer, "reason": str(error)}
            save_report(target, "audit", {**denied, "map_hash": file_hash(trust_map)})
            emit(as_json, denied, lambda console: None)
            say(f"assay: {said}: {error}")
            return code
    payload = {
        "map": str(trust_map),
        "holds": True,
        "answer": "holds",
        "leaves": found.leaves,
        "proved_again": found.proved,
        "witnesses": found.witnesses,
        "falsified": found.falsified,
        "seconds": found.seconds,
        "parts": found.boxes,
        "not_checked": list(found.not_checked),
    }
    save_report(target, "audit", {**payload, "map_hash": file_hash(trust_map)})

    def people(console: Console) -> None:
        console.print(
            f"holds: {found.proved} of {found.leaves} leaves proved again in {found.boxes} parts, {found.witnesses} "
            f"witnesses and {found.falsified} failures confirmed, volumes add to one ({found.seconds:.1f} s)"
        )
        console.print(f"not checked: {'; '.join(found.not_checked)}")

    emit(as_json, payload, people)
    return DONE
