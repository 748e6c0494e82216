"""The one door to every proof: the only place that reads a problem's class and a surrogate's basis.

A problem's theorem is found along its class's method resolution order, the nearest class first: one that has an
attribute ``proof`` of its own (a ``Proof``) names its theorem itself, others are looked up in ``PROOFS``. A new theorem
is one file here and one line there.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ...solvers.box import Box
from ...solvers.problem import Problem
from ...solvers.representative import kept_by_problem
from ..answers.evaluate import Model, captured
from .proof import BoxProof, NoProof, Proof, ReducedProof

PROOFS = {  # "module:class" of a problem -> of its proof; imported when asked for, so that starting up stays quick
    "classes.coercive:CoerciveProblem": "coercive:CoerciveProof",
    "classes.diffusion:CellDiffusion": "cell_diffusion:CellDiffusionProof",
    "problems.helmholtz:Helmholtz": "helmholtz:HelmholtzProof",
    "problems.bratu:Bratu": "bratu:BratuProof",
    "problems.heat:Heat": "heat:HeatProof",
}
SOLVERS = __package__.rsplit(".", 2)[0] + ".solvers."


@kept_by_problem(16)
def proof_of(problem: Problem) -> Proof:
    """The theorem about a problem, one object for all equal problems; ``NoProof`` where none is known."""
    kind = _proof_class(type(problem))
    why = kind.refusal(problem)
    return NoProof(problem, why) if why else kind(problem)


def _proof_class(kind: type) -> type[Proof]:
    for cls in kind.__mro__:
        own = cls.__dict__.get("proof")
        if isinstance(own, type) and issubclass(own, Proof):
            return own
        place = f"{cls.__module__.removeprefix(SOLVERS)}:{cls.__qualname__}"
        if place in PROOFS:
            module, name = PROOFS[place].split(":")
            found: type[Proof] = getattr(import_module(f".{module}", __package__), name)
            return found
    return NoProof


class Prover:
    """What is provable of one surrogate of one problem.

    ``proof``: of its fields. ``reduced``: of its coefficients in its basis; None where there is no such path, and
    ``why_not_reduced`` then says why.
    """

    def __init__(self, problem: Problem, model: Model) -> None:
        self.problem, self.proof = problem, proof_of(problem)
        found = self.proof.reduced(model)
        self.reduced: ReducedProof | None = None if isinstance(found, str) else found
        self.why_not_reduced = found if isinstance(found, str) else ""

    def over_boxes(self, model: Model, inputs: Box, scale: float) -> BoxProof | str:
        """The proof over boxes inside ``inputs`` of errors relative to scale + ||u||, or why there is none.

        Raises:
            jax.errors.JAXTypeError, ValueError: the surrogate is no one JAX program (``Frozen``).
        """
        return self.proof.over_boxes(model, inputs, self.reduced or self.why_not_reduced, scale)

    def __getstate__(self) -> dict[str, Any]:
        """Without what was compiled, which another process makes anew."""
        return {key: value for key, value in self.__dict__.items() if key != "proof"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.proof = proof_of(self.problem)


def prover(problem: Problem, surrogate: Any) -> Prover:
    """The door: ``prover(problem, surrogate).proof`` bounds fields, ``.reduced`` coefficients where that is possible.

    Reading the surrogate's basis asks it for one answer, at the centre of the box.
    """
    return Prover(problem, captured(surrogate))
