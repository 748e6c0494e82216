"""Enclosures of a surrogate over boxes: ours, plain interval arithmetic, and CROWN by the package bound-propagation.

In one run, with the same weights and the same boxes: how much wider than the sampled range, how many boxes a second;
then how many boxes a proof of the residual takes; then the places where enclosures tend to be wrong. Every bound is
checked against samples (near a bound in ball arithmetic); one that is violated is shown as UNSOUND.

    python -m assay.benchmarks.peers.box_peers [--peer-python ENV/bin/python] [--quick] [--json [FILE]]

The network is a pod-mlp 32-32 on the thermal block, contrast 10, in unit coordinates of the (log-scaled) inputs. Widths
are sums over its outputs, violations relative to the largest value of each. "assay order m" interpolates the network at
m Chebyshev points per axis with a proved remainder, as ``box_bound.py`` does the residual. A float32 network is checked
against its own rounded weights. The package is GPL and stays outside, called as a script.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from rich.console import Console

from ...solvers.problems.catalogue import problem as named_problem
from ...solvers.snapshots.sample import sample
from ...surrogates import train
from ...verify.certify_box import certify_box
from ...verify.proofs.prover import prover
from .. import command
from ..soundness import box_cases
from ..soundness.true_error import TrueError
from . import peer_residual
from .box_methods import (
    BATCH,
    Method,
    by_width,
    check,
    crown,
    evaluate,
    exact_network,
    layers_of,
    ours,
    plain,
    samples,
)
from .crown_peer import INSTALL, Crown, PeerError, run
from .plain_intervals import Layers

WIDTHS = (1.0, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 64, 2.0**-20, 0.0)
PEER_METHODS = ("ibp", "crown", "crown-ibp", "alpha-crown")
MARGIN = 1.2  # tolerance over the largest error found


def trained(blocks: tuple[int, int], seconds: float) -> tuple[Any, Any]:
    """The problem and its surrogate."""
    problem = named_problem("thermal-block", blocks=blocks, cells=32, low=10**-0.5, high=10**0.5)
    surrogate = train(problem, "pod-mlp", sample(problem, 256), seed=0, widths=(32, 32), seconds=seconds)
    return problem, surrogate


# --- the network alone ------------------------------------------------------------------------------------------------


def network_rows(problem: Any, surrogate: Any, peer: Crown | None, boxes: int, points: int) -> list[dict[str, Any]]:
    """One row per method and width."""
    layers = layers_of(problem, surrogate.arrays, len(surrogate.architecture["widths"]))
    d = problem.inputs.dimension
    methods = [plain(layers), *(ours(layers, order) for order in (0, 3, 5))]
    if peer is not None:
        methods[1:1] = [crown(peer, layers, name) for name in PEER_METHODS] + [crown(peer, layers, "crown", "float32")]
    rng = np.random.default_rng(0)
    rows = []
    for width in WIDTHS:
        low = np.floor(rng.random((boxes, d)) / width) * width if width else rng.random((boxes, d))
        if width == 0:
            low = low.astype(np.float32).astype(np.float64)  # so that float32 gets the same points
        X = samples(low, low + width, points, rng)
        values = evaluate(layers, X)
        sampled = np.sum(values.max(axis=1) - values.min(axis=1), axis=1)
        for method in methods:
            rows.append(_row(method, width, low, X, values, sampled, layers))
    blocks = "x".join(str(b) for b in problem.settings["blocks"])
    rows = [{"blocks": blocks, **row} for row in rows]
    if peer is None:
        missing = dict.fromkeys(("box width", "median", "max", "boxes/s", "compile s"), "-")
        rows.append({"blocks": blocks, "method": "bound-propagation", **missing, "verdict": "not installed"})
    return rows


def _row(
    method: Method,
    width: float,
    low: np.ndarray,
    X: np.ndarray,
    values: np.ndarray,
    sampled: np.ndarray,
    layers: Layers,
) -> dict[str, Any]:
    n = min(len(low), method.most)
    low, high = low[:n], low[:n] + width
    row: dict[str, Any] = {"method": method.name, "box width": width}
    try:
        method.bounds(low[:BATCH], high[:BATCH])  # warm
        bounds, seconds = method.bounds(low, high)
    except PeerError as error:
        return row | {"median": "-", "max": "-", "boxes/s": "-", "compile s": 0.0, "verdict": str(error)}
    if method.truth is not None:
        layers, values = method.truth, evaluate(method.truth, X)
    size = np.broadcast_to(np.max(np.abs(values), axis=(0, 1)), (n, values.shape[2]))  # of each output
    excess = np.sum(bounds.upper - bounds.lower, axis=1) / np.where(sampled[:n] > 0, sampled[:n], np.nan)
    return row | {
        "median": float(np.median(excess)) if width else "-",
        "max": float(np.max(excess)) if width else "-",
        "boxes/s": round(n / seconds),
        "compile s": method.compile_seconds,
        "verdict": check(bounds, X[:n], values[:n], exact_network(layers), size).verdict,
    }


# --- the residual -----------------------------------------------------------------------------------------------------


def largest_error(problem: Any, surrogate: Any, count: int) -> float:
    """Relative, over samples and corners."""
    d = problem.inputs.dimension
    corners = np.stack(np.meshgrid(*[[0.0, 1.0]] * d), axis=-1).reshape(-1, d)
    P = np.concatenate([problem.inputs.sample(count, seed=3), problem.inputs.from_unit(corners)])
    measured = TrueError(problem)
    truths, norms = measured.truths(P)
    return float(np.max(measured(P, truths, norms, surrogate(P)).value / norms.value))


def residual_rows(problem: Any, surrogate: Any, peer: Crown | None, seconds: float) -> list[dict[str, Any]]:
    """Boxes and time until the whole box is certified at MARGIN x the largest error found."""
    tolerance = MARGIN * largest_error(problem, surrogate, 2000)
    provable: Any = prover(problem, surrogate).reduced
    reduced = provable.bound
    layers = layers_of(problem, surrogate.arrays, len(surrogate.architecture["widths"]))
    residual = peer_residual.residual_of(problem, reduced, surrogate, layers)
    methods = {"plain intervals, whole residual": peer_residual.by_intervals(residual)}
    if peer is not None:
        methods["CROWN, whole residual"] = peer_residual.by_crown(peer, residual)
    rows = []
    for name, flux in methods.items():
        verdict = residual_check(residual, flux)
        needed, never = peer_residual.boxes_needed(residual, flux, tolerance)
        proof = peer_residual.depth_first(residual, flux, tolerance, seconds)
        rows.append(
            {
                "method": name,
                "tolerance": tolerance,
                "certified": proof.volume,
                "boxes": proof.boxes,
                "leaves": proof.leaves,
                "seconds": proof.seconds,
                "boxes/s": round(proof.boxes / proof.seconds),
                "leaves needed": ("> " if never else "") + f"{needed:.3g}",
                "compile s": 0.0,
                "verdict": verdict,
            }
        )
    start = time.perf_counter()
    trust = certify_box(problem, surrogate, tolerance=tolerance, seconds=seconds)
    whole = time.perf_counter() - start
    rows.append(
        {
            "method": "assay.certify_box",
            "tolerance": tolerance,
            "certified": trust.certified_volume,
            "boxes": trust.evaluated,
            "leaves": trust.boxes,
            "seconds": trust.seconds,
            "boxes/s": round(trust.evaluated / trust.seconds),
            "leaves needed": f"{trust.boxes:.3g}" if trust.certified_volume == 1 else "-",
            "compile s": whole - trust.seconds,
            "verdict": trust_check(problem, surrogate, trust),
        }
    )
    return rows


def residual_check(residual: peer_residual.Residual, flux: peer_residual.FluxBounds) -> str:
    """The flux bounds against values at samples, on boxes of several widths."""
    rng = np.random.default_rng(1)
    d = residual.A.shape[1]
    low = np.concatenate([np.floor(rng.random((16, d)) / w) * w for w in (0.5, 2.0**-4, 2.0**-8, 2.0**-12)])
    high = low + np.repeat([0.5, 2.0**-4, 2.0**-8, 2.0**-12], 16)[:, None]
    T = np.asarray(residual.frame((low + high) / 2))
    X = samples(low, high, 200, rng)
    vectors = residual.vector(X)
    values = np.einsum("nrm,nsm->nsr", T, vectors)
    size = np.einsum("nrm,nm->nr", np.abs(T), np.abs(vectors).max(axis=1))  # what it is a small difference of
    return check(flux(low, high, T)[0], X, values, size=size).verdict


def trust_check(problem: Any, surrogate: Any, trust: Any) -> str:
    """The proved bounds against true errors at samples."""
    P = problem.inputs.sample(2000, seed=4)
    measured = TrueError(problem)
    truths, norms = measured.truths(P)
    least = measured(P, truths, norms, surrogate(P)).low / norms.high
    excess = least - np.asarray(trust.relative_upper_at(P))
    return "sound" if (excess <= 0).all() else f"UNSOUND {excess.max():.0e} in {(excess > 0).sum()}"


# --- the whole --------------------------------------------------------------------------------------------------------


def measure(peer: Crown | None, quick: bool) -> dict[str, Any]:
    training, boxes, points, cap, cases = (2.0, 64, 200, 10.0, 40) if quick else (20.0, 256, 2000, 60.0, 400)
    rows: list[dict[str, Any]] = []
    residuals: list[dict[str, Any]] = []
    for blocks in ((2, 1), (2, 2)):
        problem, surrogate = trained(blocks, training)
        rows += network_rows(problem, surrogate, peer, boxes, points)
        if blocks == (2, 1):
            residuals = residual_rows(problem, surrogate, peer, cap)
    edge = box_cases.measure(peer, cases)
    again = [] if peer is None else box_cases.second_call(peer)
    assay_rows = [r for r in rows if r["method"].startswith("assay")]
    holds = {
        "no bound of ours is violated": all("UNSOUND" not in r["verdict"] for r in [*assay_rows, residuals[-1]])
        and all("UNSOUND" not in r["assay"] for r in edge),
        "plain intervals are sound": all("UNSOUND" not in r["verdict"] for r in rows if r["method"].startswith("plain"))
        and all("UNSOUND" not in r["plain"] for r in edge),
        "ours certifies the whole box": residuals[-1]["certified"] == 1,
    }
    return {
        "peer": INSTALL if peer is None else peer.version,
        "network": rows,
        "residual": residuals,
        "cases": edge,
        "second call": again,
        "holds": holds,
    }


def show(result: dict[str, Any], console: Console) -> None:
    console.print(f"bound-propagation: {result['peer']}", highlight=False)
    titles = {
        "network": "The network alone: width over the sampled range, median and (max) over boxes, at each box width",
        "residual": "The residual of thermal-block 2x1 at 1.2 x the largest error found",
        "cases": "f(x) - m x over intervals where enclosures tend to be wrong",
        "second call": "CROWN on a product, twice with one bound module",
    }
    shown = {**result, "network": by_width(result["network"], ("blocks", "method"))}
    for key, title in titles.items():
        if shown[key]:
            console.print(command.table(title, shown[key]))


def main(arguments: list[str] | None = None) -> int:
    return run(__doc__, measure, show, arguments)


if __name__ == "__main__":
    sys.exit(main())
