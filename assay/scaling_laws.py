"""How errors fall with what a sweep varies: a power of the samples and of the parameters, of every series of runs.

    error ~ C x^-a

where they fall at all: a is fitted to all runs of a series by least squares of the logarithms, with its 95 % interval
by Student's law, as if what the fit leaves were independent and normal.
References: Kaplan et al. 2020 (scaling laws, of means); de Hoop, Huang, Qian, Stuart 2022 (of operator learning).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

OF_ALL = ("samples", "seconds", "steps", "physics_weight")  # what is swept of any architecture; the rest is its own
ERRORS = ("mean", "worst found")


def series(rows: Sequence[Mapping[str, Any]], x: str) -> list[tuple[dict[str, Any], list[Mapping[str, Any]]]]:
    """The rows that differ in x, "samples" or "parameters", and their seeds alone, and what they share of what was
    swept: a power of samples is one for a given network, and one of parameters for given samples.
    """
    found: dict[str, tuple[dict[str, Any], list[Mapping[str, Any]]]] = {}
    for row in rows:
        at = {key: value for key, value in row.get("at", {}).items() if key not in ("seed", x)}
        if x == "parameters":
            at = {key: value for key, value in at.items() if key in OF_ALL}
        found.setdefault(json.dumps(at), (at, []))[1].append(row)
    return list(found.values())


def places(rows: Sequence[Mapping[str, Any]], x: str) -> list[list[Mapping[str, Any]]]:
    """The rows by what was asked of x: seeds together, whose parameters may differ by a mode or two."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        at = row.get("at", {x: row[x]})
        asked = row[x] if x == "samples" else {key: value for key, value in at.items() if key not in (*OF_ALL, "seed")}
        found.setdefault(json.dumps(asked), []).append(row)
    return list(found.values())


def fits(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Exponents a of error ~ C x^-a, x the samples or the parameters, with their 95 % intervals; for mean and worst
    found, of every series in which three values of x or more were tried.
    """
    found = []
    for x in ("samples", "parameters"):
        for at, among in series(rows, x):
            for which in ERRORS:
                fit = _fit(among, x, which)
                if fit is not None:
                    found.append({"of": which, "against": x, "at": at, "label": label(at), **fit})
    return found


def _fit(rows: Sequence[Mapping[str, Any]], x: str, which: str) -> dict[str, Any] | None:
    if len(places(rows, x)) < 3:
        return None
    pairs = np.array([(row[x], error_of(row, which)) for row in rows], dtype=np.float64)
    pairs = pairs[np.isfinite(pairs).all(axis=1) & (pairs > 0).all(axis=1)]
    if len(pairs) < 3 or len(np.unique(pairs[:, 0])) < 3:
        return None
    line = stats.linregress(np.log(pairs[:, 0]), np.log(pairs[:, 1]))
    half = float(stats.t.ppf(0.975, len(pairs) - 2) * line.stderr)
    fit = {"exponent": -float(line.slope), "half_width": half, "runs": len(pairs)}
    return {**fit, "constant": float(np.exp(line.intercept)), "r_squared": float(line.rvalue**2)}


def label(at: Mapping[str, Any]) -> str:
    """Of a series."""
    return ", ".join(f"{key} {word(value)}" for key, value in at.items())


def error_of(row: Mapping[str, Any], which: str) -> float:
    """The "mean" error of a run, or the "worst found"."""
    return float(row["errors"]["mean"] if which == "mean" else row["worst_found"])


def word(value: Any) -> str:
    """A value as part of a folder's name."""
    text = "x".join(str(v) for v in value) if isinstance(value, list | tuple) else str(value)
    return re.sub(r"[^A-Za-z0-9.+_-]", "_", text)
