"""Trust maps against the truth: sampled errors, planted failures, audits, tampered copies.

Networks: the bound of every leaf against true errors at inputs drawn from the law, on and beside faces of leaves, in
their corners and around the inputs that came closest to their bound; a violation is an error whose lower end lies above
the bound of its leaf. Planted failures (``planted.py``): no model may be certified all over at the tolerance that it
breaks, nor any planted input. Audits: every leaf of honest maps is proved again, ten lies (``tampering.py``) are found.

    python -m assay.benchmarks.soundness.box_soundness [--networks 20] [--points 100000] [--planted 100] [--audits 3]

``--planted`` counts failures, ``--each`` of them in one model. What is compiled serves all models of one kind.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ...solvers.problems.thermal_block import ThermalBlock
from ...verify.audit import audit
from ...verify.boxes.trust_map import TrustMap
from ...verify.certify import certify
from ...verify.certify_box import certify_box
from .. import command
from . import planted
from .box_networks import Design, Network, designs
from .faulty import Quadratic
from .guard_map import beside_faces
from .tampering import LIES, tampered
from .true_error import TrueError

LOW, HIGH = 10**-0.5, 10**0.5
CHUNK = 4000
BOXES = 600  # of one map: a limit that does not depend on how busy the machine is
TOLERANCE = 1e-2  # that planted failures break


def block(blocks: tuple[int, int] = (2, 1), cells: int = 8) -> ThermalBlock:
    return ThermalBlock(blocks, cells, low=LOW, high=HIGH)


# --- networks ---------------------------------------------------------------------------------------------------------


def places(trust: TrustMap, n: int, seed: int) -> np.ndarray:
    """n inputs: half drawn from the law, a quarter on and beside faces of leaves, a quarter in corners of leaves."""
    rng = np.random.default_rng(seed)
    numbers, low, high = trust.leaves()
    chosen = rng.integers(len(numbers), size=n // 4)
    corners = np.where(rng.random((n // 4, low.shape[1])) < 0.5, low[chosen], high[chosen])
    parts = [trust.box.sample(n - 2 * (n // 4), seed=seed), beside_faces(trust, n // 4, seed)]
    return np.concatenate([*parts, trust.box.from_unit(corners)])


class Count:
    """Errors of one surrogate against the bounds of its map."""

    def __init__(self, true_error: TrueError, surrogate: Any, trust: TrustMap) -> None:
        self.true_error, self.surrogate, self.trust = true_error, surrogate, trust
        self.points = self.violations = self.infinite = 0
        self.largest = self.closest = 0.0  # error, and error / bound

    def add(self, P: np.ndarray) -> np.ndarray:
        """Returns error / bound."""
        out = []
        for start in range(0, len(P), CHUNK):
            Q = P[start : start + CHUNK]
            U, norms = self.true_error.truths(Q)
            error = self.true_error(Q, U, norms, self.surrogate(Q))
            low = error.low / norms.high
            bound = self.trust.relative_upper_at(Q)
            self.points += len(Q)
            self.violations += int((~(low <= bound)).sum())  # NaN, too
            self.infinite += int(np.isinf(bound).sum())
            self.largest = max(self.largest, float(low.max()))
            out.append(low / bound)
        ratio = np.concatenate(out)
        self.closest = max(self.closest, float(ratio.max()))
        return ratio


def network_row(problem: ThermalBlock, design: Design, points: int, seed: int) -> dict[str, Any]:
    """One network: its map at a tolerance that it meets nearly everywhere, or at half of that (by turns)."""
    surrogate, true_error = Network(problem, design, seed), TrueError(problem)
    P = problem.inputs.sample(256, seed=seed + 1)
    U, norms = true_error.truths(P)
    worst = float((true_error(P, U, norms, surrogate(P)).low / norms.high).max())
    started = time.process_time()
    tolerance, order = (1.2 if seed % 2 else 0.6) * worst, 3 + seed % 3 if problem.inputs.dimension == 2 else 3
    trust = certify_box(problem, surrogate, tolerance, seconds=60.0, order=order, max_leaves=BOXES)
    spent = time.process_time() - started
    count = Count(true_error, surrogate, trust)
    P = places(trust, points - points // 5, seed)
    ratio = count.add(P)
    near = P[np.argsort(-ratio)[:50]]
    X = problem.inputs.to_unit(near[np.arange(points // 5) % len(near)])
    rng = np.random.default_rng(seed)
    X = X + rng.standard_normal(X.shape) * 10.0 ** rng.uniform(-6, -2, (len(X), 1))
    count.add(problem.inputs.from_unit(np.clip(X, 0.0, 1.0)))
    sandwich = trust.relative_lower <= trust.relative_upper and count.largest <= trust.relative_upper
    return {
        "network": str(design),
        "blocks": "x".join(map(str, problem.blocks)),
        "leaves": trust.boxes,
        "certified %": 100 * trust.certified_volume,
        "falsified %": 100 * trust.falsified_volume,
        "found": trust.relative_lower,
        "possible": trust.relative_upper,
        "points": count.points,
        "infinite": count.infinite,
        "violations": count.violations,
        "sandwich": sandwich,
        "error / bound": count.closest,
        "CPU s": spent,
    }


def networks(count: int, points: int) -> list[dict[str, Any]]:
    """3 x 1 blocks twice, 2 x 2 once; else 2 x 1 on 8 or 16 cells."""
    rows = []
    square, three, fine, coarse = block((2, 2)), block((3, 1), 12), block(cells=16), block()
    for i, design in enumerate(designs(count)):
        problem = square if i == 13 else three if i % 8 == 4 else fine if i % 5 == 1 else coarse
        rows.append(network_row(problem, design, -(-points // count), i))
        command.progress(rows[-1])
    return rows


# --- planted failures -------------------------------------------------------------------------------------------------


def planted_rows(count: int, each: int) -> list[dict[str, Any]]:
    """One row per model."""
    problem, rng = block(), np.random.default_rng(1)
    rows: list[dict[str, Any]] = []
    while count > 0:
        spoilt = planted.failures(2, min(each, count), rng)
        count -= len(spoilt)
        model, low = planted.plant(problem, spoilt, TOLERANCE)
        started = time.process_time()
        trust = certify_box(problem, model, TOLERANCE, seconds=60.0, order=3, max_leaves=BOXES, width=1 / 64)
        X = np.stack([f.x for f in spoilt])
        beside = [np.clip(X + shift, 0.0, 1.0) for shift in (0.0, 1e-15, -1e-15)]
        verdicts = np.stack([trust.verdict(problem.inputs.from_unit(Y)) for Y in beside])
        bound = np.stack([trust.relative_upper_at(problem.inputs.from_unit(Y)) for Y in beside]).min(axis=0)
        rows.append(
            {
                "model": len(rows),
                "failures": len(spoilt),
                "factors": f"{min(f.factor for f in spoilt):g} to {max(f.factor for f in spoilt):g}",
                "widths": f"{min(f.width for f in spoilt):g} to {max(f.width for f in spoilt):g}",
                "leaves": trust.boxes,
                "certified %": 100 * trust.certified_volume,
                "fully certified": trust.certified_volume == 1,
                "failures certified": int((verdicts == "certified").any(axis=0).sum()),
                "bounds below error": int((~(low <= bound)).sum()),
                "in falsified leaves": int((verdicts == "falsified").any(axis=0).sum()),
                "least bound / error": float((bound / low).min()),
                "CPU s": time.process_time() - started,
            }
        )
        command.progress(rows[-1])
    return rows


# --- audits -----------------------------------------------------------------------------------------------------------


def audit_rows(count: int) -> list[dict[str, Any]]:
    """Honest maps proved again leaf by leaf; of the first, ten tampered copies."""
    problem = block()
    surrogates = [Quadratic(problem), Network(problem, Design("tanh", 1, False, True, 1.0), 3, width=4, modes=3)]
    surrogates.append(planted.Polynomial(problem))
    rows = []
    corners = problem.inputs.from_unit(np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float))
    with tempfile.TemporaryDirectory() as folder:
        for i, surrogate in enumerate(surrogates[:count]):
            started = time.process_time()
            tolerance = 0.5 * float(certify(problem, surrogate, corners).relative_lower.max())
            trust = certify_box(problem, surrogate, tolerance, seconds=20.0, order=2, max_leaves=30, width=1 / 4)
            path = Path(folder) / f"map-{i}.json"
            trust.save(path)
            row: dict[str, Any] = {
                "map": type(surrogate).__name__,
                "leaves": trust.boxes,
                "proved": 0,
                "said": "accepted",
                "lies": 0,
            }
            try:
                row["proved"] = audit(path, problem, surrogate).proved
            except ValueError as error:
                row["said"] = str(error).replace(folder, "")
            row["finite"] = int(np.isfinite(trust.bound[trust.axis < 0]).sum())
            row["lies found"] = 0
            for lie in LIES if i == 0 else ():
                row["lies"] += 1
                row["lies found"] += _refused(tampered(path, lie, Path(folder) / "lie.json"), problem, surrogate)
            row["CPU s"] = time.process_time() - started
            rows.append(row)
            command.progress(row)
    return rows


def _refused(path: Path, problem: ThermalBlock, surrogate: Any) -> bool:
    try:
        audit(path, problem, surrogate)
    except ValueError:
        return True
    return False


# --- all of it --------------------------------------------------------------------------------------------------------


def measure(options: argparse.Namespace) -> dict[str, Any]:
    result: dict[str, Any] = {"holds": {}}
    holds = result["holds"]
    if options.networks:
        rows = result["networks"] = networks(options.networks, options.points)
        points, bad = sum(r["points"] for r in rows), sum(r["violations"] for r in rows)
        holds[f"{len(rows)} networks, {points} points, {bad} violations"] = bad == 0
        holds["the largest error found is within the largest possible, in every map"] = all(r["sandwich"] for r in rows)
    if options.planted:
        rows = result["planted"] = planted_rows(options.planted, options.each)
        total = sum(r["failures"] for r in rows)
        holds[f"{len(rows)} models, {total} planted failures: none certified"] = not any(
            r["fully certified"] or r["failures certified"] or r["bounds below error"] for r in rows
        )
    if options.audits:
        rows = result["audits"] = audit_rows(options.audits)
        lies, found = (sum(r[key] for r in rows) for key in ("lies", "lies found"))
        accepted = sum(r["said"] == "accepted" and r["proved"] == r["finite"] for r in rows)
        holds[f"{accepted} of {len(rows)} honest maps accepted, every leaf"] = accepted == len(rows)
        holds[f"{found} of {lies} tampered maps rejected"] = found == lies
    return result


def show(result: dict[str, Any], console: Console) -> None:
    for key, title in (
        ("networks", "Leaves' bounds against true errors"),
        ("planted", f"Failures planted, tolerance {TOLERANCE:g}"),
        ("audits", "Audits of every leaf"),
    ):
        if key in result:
            console.print(command.table(title, result[key]))
    console.print(f"{result['CPU s']:.0f} s of CPU", highlight=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--points", type=int, default=100_000, help="over all networks")
    parser.add_argument("--planted", type=int, default=100, help="failures")
    parser.add_argument("--each", type=int, default=1, help="failures of one model")
    parser.add_argument("--audits", type=int, default=3, choices=range(4), help="maps")
    parser.add_argument("--json", metavar="FILE", help="the numbers as JSON; - for stdout instead of the tables")
    options = parser.parse_args()
    if min(options.networks, options.points, options.planted) < 0 or options.each < 1:
        parser.error("counts must not be negative, and a model has at least one failure")
    result = measure(options)
    result["CPU s"] = time.process_time()
    return command.finish(result, show, options.json)


if __name__ == "__main__":
    sys.exit(main())
