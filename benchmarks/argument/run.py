"""One claim measured: its rows kept as they come, its numbers rounded, its verdict from what is stored."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...surrogates.surrogate import versions
from ...terminal.output import plain
from .. import command
from . import registry
from .claim import EVIDENCE, VERDICTS

DIGITS = 4


class Run:
    """What a claim is measured with: how many seeds, whether quickly, and the rows that are there already."""

    def __init__(self, name: str, quick: bool = False, keep: Path | None = None) -> None:
        """
        Args:
            keep: a folder of rows measured by this code, to go on from.
        """
        self.quick, self.used = quick, 0
        self.spent = {"seconds": 0.0, "processor seconds": 0.0}
        file = None
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            file = str(keep / f"{name}-{registry.code(name)}{'-quick' if quick else ''}.json")
        self._kept = command.Kept(file, {"claim": name, "code": registry.code(name), "quick": quick})

    def seeds(self, n: int = 3, quick: int = 2) -> range:
        """So many seeds, from 0."""
        found = range(quick if self.quick else n)
        self.used = max(self.used, len(found))
        return found

    def row(self, key: str, measure: Callable[[], Any]) -> Any:
        """What ``measure`` finds, as JSON, kept under its name."""

        def timed() -> dict[str, Any]:
            wall, processor = time.perf_counter(), time.process_time()
            found = plain(measure())
            spent = {"seconds": time.perf_counter() - wall, "processor seconds": time.process_time() - processor}
            return {"found": found, **spent}

        row = self._kept.row(key, timed)
        for what in self.spent:
            self.spent[what] += row[what]
        return row["found"]


def measured(name: str, quick: bool = False, keep: Path | None = None) -> dict[str, Any]:
    """The whole result of a claim, as it is stored.

    Raises:
        ValueError: a row without its kind of evidence, no seeds, or a verdict that is none.
    """
    made, run = registry.experiment(name), Run(name, quick, keep)
    found = rounded(plain(made.measure(run)))
    if not found["rows"] or any(row.get("evidence") not in EVIDENCE for row in found["rows"]):
        raise ValueError(f"{name}: every row says its evidence, {', '.join(EVIDENCE)}")
    if not run.used:
        raise ValueError(f"{name}: a claim is measured with run.seeds(n)")
    verdict, sentence = made.verdict(found)
    if verdict not in VERDICTS:
        raise ValueError(f"{name}: a verdict is one of {', '.join(VERDICTS)}, not {verdict!r}")
    return {
        **found,
        "verdict": verdict,
        "sentence": sentence,
        "seeds": run.used,
        "quick": quick,
        **rounded({what: round(spent, 1) for what, spent in run.spent.items()}),
        "load_average": round(os.getloadavg()[0], 1),
        "code": registry.code(name),
        "versions": {k: v for k, v in versions().items() if k in ("python", "assay", "jax", "numpy")},
    }


def rounded(value: Any) -> Any:
    """JSON with floats of ``DIGITS`` digits: what is beyond them is chance, or differs between machines."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) and math.isfinite(value) else value


def text(result: dict[str, Any]) -> str:
    """JSON as it is stored: a line for every row of the table and for everything else."""

    def lines(value: Any) -> str:
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return "[\n  " + ",\n  ".join(json.dumps(v) for v in value) + "\n ]"
        return json.dumps(value)

    return "{\n" + ",\n".join(f" {json.dumps(k)}: {lines(v)}" for k, v in result.items()) + "\n}\n"


# ---- numbers with intervals: [estimate, low, high] -------------------------------------------------------------------


def mean_of(values: Any, logarithms: bool = False) -> list[float]:
    """The mean over seeds and 95 % of Student's law around it; of logarithms the geometric mean.

    As if seeds were independent and normal; of one value alone the interval is everything.
    """
    from scipy import stats

    x = np.asarray(values, dtype=np.float64)
    x = np.log(x) if logarithms else x
    half = float(stats.t.ppf(0.975, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x))) if len(x) > 1 else math.inf
    ends = [float(x.mean()), float(x.mean()) - half, float(x.mean()) + half]
    return [float(np.exp(e)) for e in ends] if logarithms else ends


def mean_share_of(values: Any) -> list[float]:
    """The mean over seeds of shares, its interval cut at 0 and 1."""
    return [float(x) for x in np.clip(mean_of(values), 0.0, 1.0)]


def correlation_of(values: Any) -> list[float]:
    """The mean over seeds of correlations and its interval, by Fisher's transform."""
    return [float(np.tanh(z)) for z in mean_of(np.arctanh(np.clip(values, -1 + 1e-9, 1 - 1e-9)))]


def share_of(count: int, draws: int) -> list[float]:
    """A share of independent draws with its exact interval of 95 % (Clopper and Pearson)."""
    from ...verify.statistics.independent import two_sided

    return [count / draws if draws else math.nan, *two_sided(draws, count, 0.95)]


def exponent_of(x: Any, y: Any) -> list[float]:
    """b of y ~ C x^b by least squares of the logarithms, with 95 % of Student's law."""
    from scipy import stats

    line = stats.linregress(np.log(np.asarray(x, float)), np.log(np.asarray(y, float)))
    half = float(stats.t.ppf(0.975, len(x) - 2) * line.stderr)
    return [float(line.slope), float(line.slope) - half, float(line.slope) + half]
