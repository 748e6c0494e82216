"""`assay prepare`: the offline constants of a proof, kept in a file and verified."""

from __future__ import annotations

from rich.console import Console

from ..own_code import find_problem
from ..solvers.problem import Problem
from ..verify.prepare import prepare as make_ready
from ..verify.proofs.proof import NoProof
from ..verify.proofs.prover import proof_of
from .errors import DONE, UNDECIDED, keeps
from .explore import ProblemWord
from .output import emit, progress_bar
from .settings import Config, Json, Set, pairs


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
    with keeps(lambda: "stages that were done are kept; the same command goes on"), progress_bar("preparing") as bar:
        done = make_ready(owner, progress=lambda stage, now, total: bar(now, total, "", stage))
    notes = [proof.remedy] if isinstance(proof, NoProof) else list(done.notes)
    payload = {
        "problem": problem,
        "settings": owner.settings,
        "evidence": proof.evidence,
        "stages": [{"name": name, "how": how, "seconds": spent} for name, (how, spent) in done.stages.items()],
        "folder": done.folder,
        "bytes": done.size,
        "seconds": done.seconds,
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

    emit(as_json, payload, people)
    return DONE if proof.proves else UNDECIDED


def prepared(owner: Problem) -> None:
    """Before a verb that needs them: constants that are not kept yet are made, with progress on stderr."""
    if not tuple(proof_of(owner).offline()):
        return
    kept = "stages of the proof that were done are kept; the same command goes on"
    with keeps(lambda: kept), progress_bar("preparing the proof") as bar:
        proof_of(owner).prepare(progress=lambda stage, now, total: bar(now, total, "", stage))
