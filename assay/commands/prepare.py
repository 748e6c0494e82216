"""`assay prepare`: the offline constants of a proof, kept in a file and verified."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from ..own_code import find_problem
from ..solvers.problem import Problem
from ..terminal.errors import DONE, UNDECIDED, keeps
from ..terminal.output import emit, progress_bar
from ..terminal.settings import Config, Json, Set, pairs
from ..verify.prepare import prepare as make_ready
from ..verify.proofs.constants import Progress
from ..verify.proofs.proof import NoProof, Proof
from ..verify.proofs.prover import proof_of
from .explore import ProblemWord


def prepare(
    problem: ProblemWord,
    set_: Set = None,
    as_json: Json = False,
    config: Config = None,
) -> int:
    """Offline constants of the problem's proof, verified and kept; interrupted, the same command goes on.

    Exit code 3: no proof is known.
    """
    owner = find_problem(problem, pairs(set_ or [], "--set"))
    proof = proof_of(owner)
    with (
        keeps(lambda: "stages that were done are kept; the same command goes on"),
        _told(proof, "preparing") as progress,
    ):
        done = make_ready(owner, progress=progress)
    notes = [proof.remedy] if isinstance(proof, NoProof) else list(done.notes)
    payload = {
        "problem": problem,
        "settings": owner.settings,
        "evidence": proof.evidence,
        "stages": [{"name": name, "how": how, "seconds": spent} for name, (how, spent) in done.stages.items()],
        "folder": done.folder,
        "bytes": done.size,
        "seconds": done.seconds,
        "reach": done.reach,
        "notes": notes,
    }

    def people(console: Console) -> None:
        for name, (how, spent) in done.stages.items():
            console.print(f"{name}: {how}, {spent:.1f} s")
        if proof.proves and not done.stages:
            console.print(f"the proof for {owner.name} needs no preparation")
        if done.folder is not None:
            console.print(f"{done.size / 1e6:.1f} MB in {done.folder}")
        for note in notes:
            console.print(f"note: {note}")
        if done.reach:
            console.print(f"can be proved: {done.reach}")

    emit(as_json, payload, people)
    return DONE if proof.proves else UNDECIDED


def prepared(owner: Problem) -> None:
    """Before a verb that needs them: constants that are not kept yet are made, with progress on stderr."""
    proof, kept = proof_of(owner), "stages of the proof that were done are kept; the same command goes on"
    with keeps(lambda: kept), _told(proof, "preparing the proof") as progress:
        proof.prepare(progress=progress)


@contextmanager
def _told(proof: Proof, what: str) -> Iterator[Progress | None]:
    """A bar that shows the stages; none where there are none."""
    if not tuple(proof.offline()):
        yield None
        return
    with progress_bar(what) as bar:
        yield lambda stage, now, total: bar(now, total, "", stage)
