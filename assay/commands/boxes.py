"""`assay certify --box`: a proof over a whole box of inputs, and the map of what is certified, falsified, undecided."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ..results import file_hash, save_report
from ..solvers.box import Box
from ..targets import Target
from ..terminal.errors import DONE, FAILED, UNDECIDED, UserError, keeps
from ..terminal.output import downward, emit, progress_bar, upward
from ..terminal.settings import box_inside
from ..terminal.streams import say
from ..verify.boxes.trust_map import TrustMap
from ..verify.certify_box import certify_box
from ..verify.evidence import Evidence
from .check import measured

LARGEST = 3  # clusters shown to people, of each kind


def over_box(
    target: Target,
    texts: list[str],
    tolerance: float,
    seconds: float,
    as_json: bool,
    plot: Path | None = None,
    ratio: float | None = None,
    resume: bool = False,
    absolute: float | None = None,
) -> int:
    """Prove what can be proved in ``seconds``; the map goes into the run folder as trust-map.json, also meanwhile.

    Outside of run folders it goes into the current one. There is none where nothing is proved.
    """
    whole = target.problem.inputs
    box = whole if texts == ["all"] else box_inside(whole, texts)
    path = Path("trust-map.json") if target.folder is None else target.folder.file("trust-map.json")
    if resume and not path.is_file():
        raise UserError(f"there is no map to go on with at {path}: leave --resume out")
    said: list[str] = []  # only where there is something to compile: why there is not is told at once

    def report(facts: dict[str, float]) -> None:
        if facts["preparing"] and not said:
            said.append("the bound for whole boxes is compiled first, once; --seconds starts after it")
            say(said[0])
        _report(bar, facts, seconds)

    with keeps(lambda: f"{path} is as it was; the same command starts again"), progress_bar("bounding boxes") as bar:
        trust = certify_box(
            target.problem,
            target.surrogate,
            tolerance,
            seconds,
            box,
            ratio,
            progress=report,
            resume=path if resume else None,
            checkpoint=path,
            absolute=absolute,
        )
    written = bool(np.isfinite(trust.bound).any() or len(trust.witness))
    if written:
        trust.save(path)
    if plot is not None:
        trust.plot(plot)
    payload = _payload(target, box, trust, path if written else None)
    payload["plot"] = None if plot is None else str(plot)
    payload["map_hash"] = file_hash(path) if written else ""
    save_report(target, "certify-box", payload)
    emit(as_json, payload, lambda console: _show(console, payload))
    if any(note.startswith("interrupted") for note in trust.notes):
        kept = f"the map so far is kept in {path}; the same command with --resume goes on from there"
        with keeps(lambda: kept if written else "nothing was proved yet; the same command starts again"):
            raise KeyboardInterrupt
    if trust.relative_lower > tolerance:
        return FAILED
    return DONE if trust.certified_volume == 1 else UNDECIDED


def _report(bar: Any, facts: dict[str, float], seconds: float) -> None:
    if facts["preparing"]:
        bar(0, int(seconds), f"compiling the bound: about {facts['preparing']:.0f} s left")
        return
    shares = ", ".join(f"{key} {100 * facts[key]:.3g} %" for key in ("certified", "falsified", "undecided"))
    between = f"largest error in [{downward(facts['lower'])}, {upward(facts['upper'])}]"
    rate = f"{facts['leaves']:.0f} boxes, {facts['boxes_per_second']:.0f}/s"
    bar(int(min(facts["seconds"], seconds)), int(seconds), f"{shares}; {between}; {rate}")


def _payload(target: Target, box: Box, trust: TrustMap, path: Path | None) -> dict[str, Any]:
    evidence = Evidence.PROVED if trust.relative_upper < float("inf") else Evidence.NONE
    return {
        "surrogate": target.label,
        "problem": target.problem.name,
        "box": box.to_json(),
        "tolerance": trust.tolerance,
        "absolute": trust.absolute,
        "measured": measured(target.problem, trust.tolerance, trust.absolute),
        "certified_volume": trust.certified_volume,
        "falsified_volume": trust.falsified_volume,
        "undecided_volume": trust.undecided_volume,
        "relative_lower": trust.relative_lower,
        "relative_upper": trust.relative_upper,
        "boxes": trust.boxes,
        "seconds": trust.seconds,
        "evidence": evidence,
        "assumptions": list(trust.assumptions),
        "against": trust.against,
        "notes": list(trust.notes),
        "clusters": {name: [c.to_json() for c in trust.clusters(name)] for name in ("falsified", "undecided")},
        "map": None if path is None else str(path),
    }


def _show(console: Console, payload: dict[str, Any]) -> None:
    console.print(
        f"within {payload['tolerance']:g} over the box: {100 * payload['certified_volume']:.3g} % certified, "
        f"{100 * payload['falsified_volume']:.3g} % falsified, {100 * payload['undecided_volume']:.3g} % undecided "
        f"(by volume in the inputs' own scale; {payload['boxes']} boxes, {payload['seconds']:.1f} s)"
    )
    console.print(
        f"the largest error over the box lies between {downward(payload['relative_lower'])} (confirmed by the solver) "
        f"and {upward(payload['relative_upper'])}; errors are {payload['measured']}"
    )
    console.print(f"evidence: {payload['evidence']}, {payload['against']}")
    for note in payload["notes"]:
        console.print(f"note: {note}")
    for name, found in payload["clusters"].items():
        _show_clusters(console, name, found)
    console.print(f"the map: {payload['map'] or 'not written, for nothing is proved'}")
    if payload["plot"] is not None:
        console.print(f"its picture: {payload['plot']}")


def _show_clusters(console: Console, name: str, found: list[dict[str, Any]]) -> None:
    """The largest, in the inputs' own units."""
    for c in found[:LARGEST]:
        ends = ", ".join(f"{key} in [{low:.4g}, {high:.4g}]" for key, (low, high) in c["inputs"].items())
        worst = ""
        if c["worst"] is not None:
            at = ", ".join(f"{key}={x:.4g}" for key, x in c["worst"].items())
            worst = f"; error at least {downward(c['worst_lower'])} at {at}"
        console.print(f"{name}: {100 * c['volume']:.3g} % in {ends}{worst}")
    if len(found) > LARGEST:
        rest = 100 * sum(c["volume"] for c in found[LARGEST:])
        console.print(f"{name}: {rest:.3g} % in {len(found) - LARGEST} smaller boxes (--json lists them)")
