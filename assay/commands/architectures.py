"""`assay surrogates`: the architectures, and what they need of a problem."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console

from ..own_code import find_problem
from ..surrogates.architectures import ARCHITECTURES, surrogate_name
from ..terminal.errors import DONE
from ..terminal.output import emit, table
from ..terminal.settings import Config, Json, Set, pairs

FLAGS = ("physics_weight", "seconds", "steps")  # of `assay train` themselves


def surrogates(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One surrogate with its options.")] = None,
    problem: Annotated[
        str | None, typer.Option("--problem", metavar="PROBLEM", help="Say which of them fit this problem.")
    ] = None,
    set_: Set = None,
    as_json: Json = False,
    config: Config = None,
) -> int:
    """What can be trained: the architectures and what each needs of a problem."""
    owner = None if problem is None else find_problem(problem, pairs(set_ or [], "--set"))
    words = list(ARCHITECTURES) if name is None else [surrogate_name(name)]
    found: list[dict[str, Any]] = []
    for word in words:
        kind = ARCHITECTURES[word]
        about: dict[str, Any] = {"name": word, "kind": kind.kind, "basis": kind.basis, "needs": kind.needs}
        about["options"] = {k: v for k, v in kind.options.items() if k not in ("checkpoint", "progress")}
        if owner is not None:
            why = kind.misfit(owner)
            about |= {"fits": not why, "misfit": why}
        found.append(about)

    def people(console: Console) -> None:
        rows = table("surrogate", "kind", "answers", "needs of a problem", *(["fits"] if owner else []))
        for column in rows.columns[1:]:
            column.justify = "left"
        for about in found:
            answers = "coefficients" if about["basis"] else "fields outright"
            fits = [] if owner is None else ["yes" if about["fits"] else about["misfit"]]
            rows.add_row(about["name"], about["kind"], answers, about["needs"], *fits)
        console.print(rows)
        if name is None:
            console.print("\n`assay surrogates NAME` shows the options of one, for `assay train --option KEY=VALUE`.")
            return
        for key, value in found[0]["options"].items():
            if key not in FLAGS:
                console.print(f"--option {key}={'...' if value is None else json.dumps(value)}")
        console.print("(as they are by default; ... stands for what the data or the problem decide)")

    emit(as_json, {"surrogates": found}, people)
    return DONE
