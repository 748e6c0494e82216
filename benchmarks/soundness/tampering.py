"""Lies about a trust map, told in its file: audits must find each, also when the file's hash is made to fit.

Each changes the JSON content of an honest map that has certified and falsified leaves: bounds that are too small, or no
bounds at all, failures that are none, another model, other words about what was proved.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...verify.boxes.trust_map import canonical

Lie = Callable[[dict[str, Any]], None]


def _leaves(data: dict[str, Any], verdict: int) -> list[int]:
    return [i for i, (a, v) in enumerate(zip(data["axis"], data["verdicts"], strict=True)) if a < 0 and v == verdict]


def certified(data: dict[str, Any]) -> list[int]:
    """Numbers of certified leaves, the one with the largest bound first."""
    return sorted(_leaves(data, 0), key=lambda i: -data["bound"][i])


def falsified(data: dict[str, Any]) -> int:
    """The number of a falsified leaf."""
    return _leaves(data, 1)[0]


def _lower_bounds(data: dict[str, Any]) -> None:
    data["bound"] = [b * 0.3 if isinstance(b, float) else b for b in data["bound"]]


def _call_certified(data: dict[str, Any]) -> None:
    node = falsified(data)
    data["verdicts"][node], data["bound"][node] = 0, 0.99 * data["tolerance"]


def _call_falsified(data: dict[str, Any]) -> None:
    data["verdicts"][certified(data)[-1]] = 1


def _move_failure(data: dict[str, Any]) -> None:
    data["failures"][str(falsified(data))] = [0.0 for _ in data["box"]["names"]]


def _raise_tolerance_of_failures(data: dict[str, Any]) -> None:
    data["tolerance"] *= 1.9
    data["verdicts"] = [1 if v == 1 else 2 for v in data["verdicts"]]


def _exaggerate_witness(data: dict[str, Any]) -> None:
    data["witness_lower"][0] *= 1.01


def _other_axis(data: dict[str, Any]) -> None:
    data["axis"][0] = 1 - data["axis"][0]
    data["bound"] = [b * 0.5 if isinstance(b, float) else b for b in data["bound"]]


def _smaller_box(data: dict[str, Any]) -> None:
    data["box"]["upper"] = [x / 2 for x in data["box"]["upper"]]


def _other_model(data: dict[str, Any]) -> None:
    data["model_hash"] = "0" * 64


def _other_problem(data: dict[str, Any]) -> None:
    data["problem_hash"] = "0" * 64


def _collapsed(data: dict[str, Any]) -> None:
    """One certified leaf in place of the tree."""
    data.update(axis=[-1], children=[[-1, -1]], bound=[0.99 * data["tolerance"]], verdicts=[0], failures={})


def _lower_one(data: dict[str, Any]) -> None:
    data["bound"][certified(data)[0]] *= 0.6


def _exchanged(data: dict[str, Any]) -> None:
    high, low = certified(data)[0], certified(data)[-1]
    data["bound"][high], data["bound"][low] = data["bound"][low], data["bound"][high]


def _other_halves(data: dict[str, Any]) -> None:
    data["children"][0].reverse()


def _move_witness(data: dict[str, Any]) -> None:
    data["witness"][0] = [1 - x for x in data["witness"][0]]


def _certified_bound(value: Any) -> Lie:
    def lie(data: dict[str, Any]) -> None:
        data["bound"][certified(data)[0]] = value

    return lie


def _undecided_bound(value: Any) -> Lie:
    """Of a leaf that counts as undecided for it."""

    def lie(data: dict[str, Any]) -> None:
        node = certified(data)[0]
        data["bound"][node], data["verdicts"][node] = value, 2

    return lie


def _saying(**entries: Any) -> Lie:
    return lambda data: data.update(entries)


def _in_the_box(**entries: Any) -> Lie:
    """Of the first input."""
    return lambda data: data["box"].update({key: [x, *data["box"][key][1:]] for key, x in entries.items()})


def _without(key: str) -> Lie:
    return lambda data: data.pop(key)


def _first_verdict(value: Any) -> Lie:
    def lie(data: dict[str, Any]) -> None:
        data["verdicts"][falsified(data)] = value

    return lie


LIES: tuple[Lie, ...] = (
    _lower_bounds, _call_certified, _call_falsified, _move_failure, _raise_tolerance_of_failures, _exaggerate_witness,
    _other_axis, _smaller_box, _other_model, _other_problem, _collapsed, _lower_one, _exchanged, _other_halves,
    _move_witness, _certified_bound("-inf"), _certified_bound(-1e-9), _certified_bound(0.0), _undecided_bound("nan"),
    _undecided_bound("-inf"), _saying(against="against the exact solution"), _saying(assumptions=[]),
    _saying(problem="elasticity"), _saying(settings={}), _saying(failures={}), _saying(seconds=-1.0),
    _saying(evaluated=1.5), _saying(format=2), _saying(proved_by="somebody"), _without("notes"),
    _in_the_box(units="Pa"), _in_the_box(laws="normal"), _in_the_box(upper=1e3), _first_verdict(True),
)  # fmt: skip


def tampered(honest: Path, lie: Lie, path: Path) -> Path:
    """The honest map with one lie, in canonical form and with the hash that its content asks for."""
    data = json.loads(honest.read_text())
    lie(data)
    path.write_text(canonical(data))
    return path
