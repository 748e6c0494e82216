"""The demonstration: thermal block, 2 x 2 blocks, contrast 10, from nothing to guarded answers and a table."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group
from rich.table import Table as RichTable
from rich.text import Text

from .benchmarks.tables import table_output
from .benchmarks.tables.contestants import Trained
from .benchmarks.tables.effort import Effort
from .benchmarks.tables.ranking import Ranked
from .benchmarks.tables.table import Table, run_table
from .commands.answers import answer_facts, certificate_facts
from .commands.bench import write as write_table
from .commands.check import compared, falsification_facts
from .results import keep_result
from .run_folder import RunFolder, about_problem
from .run_training import Plan, run_training
from .solvers.problem import Problem
from .solvers.problems.catalogue import problem
from .solvers.snapshots.sample import load_snapshots
from .surrogates import train
from .targets import Target
from .terminal.output import upward
from .verify.certificate import Certificate
from .verify.certify import certify
from .verify.falsification import Falsification
from .verify.falsify import falsify
from .verify.guard import Answer, guard
from .verify.search.records import write_records

TOLERANCE = 1e-2
MEASURED = {"discrete": "distance to the discrete truth", "PDE": "distance to the PDE"}
VERBS = {"win": "wins", "tie": "ties", "lose": "loses", "no use": "is of no use"}
BASELINES = ("reduced-basis", "kernel-ridge", "linear", "nearest", "mean")
Progress = Callable[..., None]


@dataclass(frozen=True)
class Settings:
    """How large the demonstration is."""

    cells: int
    plan: Plan
    certified: int  # inputs certified
    queries: int  # asked of the guard
    budget: int  # solver calls of the search
    batch: int  # of the table's timings
    draws: int  # test inputs of the table
    low: float = 1.0
    high: float = 10.0

    def problem(self) -> Problem:
        """The thermal block that it is about."""
        return problem("thermal-block", blocks=(2, 2), cells=self.cells, low=self.low, high=self.high)

    def settings(self) -> dict[str, Any]:
        """The same as JSON values, for ``run.json``."""
        sizes = {key: getattr(self, key) for key in ("certified", "queries", "budget")}
        about = about_problem("thermal-block", {}, self.problem())
        return {"problem": about, "training": self.plan.settings(), **sizes, "tolerance": TOLERANCE}


def settings(seed: int = 0, quick: bool = False) -> Settings:
    """The demonstration, or the same in seconds on a coarse grid."""
    common: dict[str, Any] = {"seed": seed, "box": None, "physics_weight": None, "seconds": None, "options": {}}
    if quick:
        plan = Plan(surrogate="pod-mlp", snapshots=48, test=16, steps=60, **common)
        return Settings(16, plan, certified=16, queries=64, budget=10, batch=16, draws=8)
    plan = Plan(surrogate="pod-mlp", snapshots=256, test=64, steps=300, **common)
    return Settings(64, plan, certified=256, queries=1000, budget=60, batch=128, draws=16)


@dataclass(frozen=True)
class Report:
    """What the demonstration ends with: the table for a terminal, its sentences, a picture, and all numbers."""

    table: Any
    sentences: tuple[str, str, str]
    picture: Path
    results: dict[str, Any]


class Demo:
    """One call runs it all, in ``folder``."""

    def __init__(self, folder: RunFolder, chosen: Settings, progress: Progress, say: Callable[[str], None]) -> None:
        self.folder, self.chosen, self.progress, self.say = folder, chosen, progress, say
        self.problem = chosen.problem()

    def __call__(self) -> Report:
        chosen, folder = self.chosen, self.folder
        plan, cells = chosen.plan, chosen.cells
        self.say(f"learning {plan.surrogate} from {plan.snapshots} solves on {cells} x {cells} cells")
        trained = run_training(folder, self.problem, chosen.plan, self.progress)
        surrogate = folder.surrogate(self.problem)
        rng = np.random.default_rng([chosen.plan.seed, 3])
        self.say(f"certifying {chosen.certified} answers, without a solve")
        box = self.problem.inputs
        P = box.from_law(rng.random((chosen.certified, box.dimension)))
        certificate = certify(self.problem, surrogate, P)
        self.say(f"searching for a relative error above {TOLERANCE:g}, with at most {chosen.budget} solver calls")
        search = falsify(
            self.problem, surrogate, TOLERANCE, chosen.budget, chosen.plan.seed, shrink=0, progress=self.progress
        )
        records = folder.file("counterexamples.jsonl")
        if search.counterexamples:
            write_records(records, search.counterexamples)
        self.say(f"guarding {chosen.queries} queries")
        Q = box.from_law(rng.random((chosen.queries, box.dimension)))
        guarded = guard(self.problem, surrogate, TOLERANCE)
        guarded(Q)  # compiles; the next call is timed
        answer = guarded(Q)
        self.say("comparing with the solver and with the dull baselines")
        table = self._compare(surrogate, trained, search)
        picture = self._picture(surrogate, search)
        write_table(table, self.folder.path, "table")
        keep_result(folder, self.problem, "table", table_output.to_json(table))  # and whose it is
        target = Target(self.problem, surrogate, folder, str(folder.path))
        places = list(range(len(search.counterexamples)))
        kept = {
            "certify": {**certificate_facts(target, P, certificate), "notes": certificate.notes},
            "falsify": {**falsification_facts(target, search, records, places), **compared(search)},
            "guard": answer_facts(target, Q, answer, TOLERANCE),
        }
        for verb, facts in kept.items():
            keep_result(folder, self.problem, verb, facts)
        results = {
            **trained,
            "certify": {"n": len(P), "worst_relative_upper": float(certificate.relative_upper.max())},
            "falsify": {"worst": search.worst, "solver_calls": search.solver_calls, "verdict": search.verdict},
            "guard": {**answer.counts, "seconds": answer.seconds},
            "verdicts": table.verdicts,
            "picture": str(picture),
            "against": certificate.against,
        }
        sentences = (proved(certificate), found(search), saves(answer, table))
        return Report(short(table), sentences, picture, {**results, "sentences": list(sentences)})

    def _compare(self, surrogate: Callable[[Any], Any], trained: dict[str, Any], search: Falsification) -> Table:
        """The trained surrogate and the baselines, on the same snapshots."""
        chosen, file = self.chosen, self.folder.file("snapshots.h5")
        snapshots = load_snapshots(file, self.problem)
        network, spent = chosen.plan.surrogate, trained["sampling_seconds"]
        given = {network: Trained(network, "network", [surrogate], spent + trained["seconds"])}
        for name in BASELINES:
            start = time.perf_counter()
            baseline = train(self.problem, name, snapshots, seed=chosen.plan.seed)
            given[name] = Trained(name, "baseline", [baseline], spent + time.perf_counter() - start)
        return run_table(
            self.problem,
            surrogates=given,
            effort=Effort(batch=chosen.batch, draws=chosen.draws, search=False),
            found={network: search.worst},
            progress=self.progress,
        )

    def _picture(self, surrogate: Callable[[Any], Any], search: Falsification) -> Path:
        p = search.worst_inputs
        if not np.isfinite(p).all():
            p = self.problem.inputs.centre
        truth, got = np.asarray(self.problem.solve(p)), np.asarray(surrogate(p[None]))[0]
        title = f"where the search found the largest error, {100 * search.worst:.2g} %"
        from .drawing.fields import plot_triptych

        return plot_triptych(self.problem, p, truth, got, self.folder.file("worst.png"), title)


def proved(c: Certificate) -> str:
    """One sentence: the largest bound proved, and at how many inputs."""
    known = np.isfinite(c.relative_upper)
    if not known.all():
        return f"Proved: nothing at {int((~known).sum())} of {len(c)} inputs, and bounds at the others, {c.against}."
    worst = float(c.relative_upper.max())
    return (
        f"Proved: at {len(c)} inputs the surrogate's relative error is at most {_up(worst)} ({c.norm}), {c.against}; "
        "this says nothing about inputs in between."
    )


def found(search: Falsification) -> str:
    """One sentence: what the search found, or that it found nothing, which proves nothing."""
    if search.counterexamples:
        return (
            f"Found: {len(search.counterexamples)} inputs where the error exceeds {search.tolerance:g}, the worst "
            f"{100 * search.worst:.2g} %, each confirmed by the solver ({search.solver_calls} solver calls in all)."
        )
    if search.verdict == "undecided":
        return f"Found: undecided, {search.solver_calls} solver calls leave it open; {'; '.join(search.notes)}."
    return (
        f"Found: no error above {search.tolerance:g} in {search.solver_calls} solver calls, the largest observed being "
        f"{100 * search.worst:.2g} %; that nothing was found proves nothing."
    )


def short(table: Table) -> Group:
    """The table's main columns; the whole of it is in table.md."""
    rows = RichTable(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for i, heading in enumerate(("", "mean error", "worst", "us a query", "solver / it", "verdict")):
        rows.add_column(heading, justify="left" if i == 0 else "right", overflow="fold")
    for row in table.rows:
        errors = (f"{row.errors.mean['discrete']:.1e}", f"{row.errors.worst['discrete']:.1e}")
        rows.add_row(row.name, *errors, f"{1e6 * row.batch.median:.3g}", *_against_solver(row))
    exact = [p for p in table.curve if p.errors.mean["discrete"] < 1e-3]
    for p in sorted(exact, key=lambda p: p.batch.median)[:1]:
        errors = (f"{p.errors.mean['discrete']:.1e}", f"{p.errors.worst['discrete']:.1e}")
        rows.add_row(f"solver: {p.method}", *errors, f"{1e6 * p.batch.median:.3g}", "", "")
    note = (
        f"{table.problem}, batches of {table.batch}; errors relative, {table.norm}, against the discrete truth; "
        "solver / it: how much longer the solver takes at equal error, mean or worst, whichever is less, by distance "
        "to the discrete truth / to the PDE"
    )
    return Group(rows, Text(note, style="dim"))


def _against_solver(row: Ranked) -> tuple[str, str]:
    measures = [measure for measure in ("discrete", "PDE") if measure in row.verdicts]
    return (
        " / ".join(f"{_slower(row, measure):.2g}" for measure in measures),
        " / ".join(row.verdicts[measure] for measure in measures),
    )


def saves(answer: Answer, table: Table) -> str:
    """One sentence: how many queries needed no solve, and the time against a solver of equal error, whoever wins."""
    n = len(answer.u)
    kept = answer.counts["accepted"] + answer.counts["polished"]
    row = next((r for r in table.rows if r.kind == "guarded"), table.rows[0])
    network = table.rows[0]
    compared = " and ".join(
        f"{VERBS[word]} by {MEASURED[measure]} (the solver takes {_slower(row, measure):.2g} times as long)"
        for measure, word in row.verdicts.items()
    )
    better = [
        r.name
        for r in table.rows[1:]
        if r.kind != "guarded"
        and r.errors.worst["discrete"] <= network.errors.worst["discrete"]
        and r.batch.median <= 1.1 * network.batch.median
    ]
    beaten = f"; no worse and no slower than the network itself: {', '.join(better)}" if better else ""
    each = f"{1e6 * answer.seconds / n:.3g} us a query"
    return (
        f"Saves: {kept} of {n} guarded queries needed no solve ({each}); against a solver loosened to equal error the "
        f"{row.name} {compared}{beaten}."
    )


def _slower(row: Ranked, measure: str) -> float:
    """How much longer the solver takes, at the less favourable of equal mean and equal worst error."""
    return min(by_batch["n"].speedup for by_batch in row.matches[measure].values())


def _up(x: float) -> str:
    return f"{upward(100 * x)} %"
