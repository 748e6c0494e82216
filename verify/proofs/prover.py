"""The one door to every proof: the only place that reads a problem's class and a surrogate's basis.

A problem's theorem is found along its class's method resolution order, the nearest class first: one that has an
attribute ``proof`` of its own (a ``Proof``) names its theorem itself, others are looked up in ``PROOFS``. A new theorem
is one file here and one line there.

A theorem about one problem of ``solvers/problems/`` is not about somebody's own class that inherits from it and defines
a part anew: what it then reads are formulas of the parent. Such a class has no theorem unless it names one itself. A
theorem about a class of ``solvers/classes/`` asks the problem for all it reads but the norm.
"""

from __future__ import annotations

from functools import cached_property
from importlib import import_module
from typing import Any

from ...solvers.box import Box
from ...solvers.problem import Problem
from ...solvers.representative import kept_by_problem, representative
from ..answers.evaluate import Model, captured
from ..answers.foreign_proof import looked_at
from .proof import BoxProof, NoProof, Proof, ReducedProof

PROOFS = {  # "module:class" of a problem -> of its proof; imported when asked for, so that starting up stays quick
    "classes.coercive:CoerciveProblem": "coercive:CoerciveProof",
    "classes.diffusion:CellDiffusion": "cell_diffusion:CellDiffusionProof",
    "problems.helmholtz:Helmholtz": "helmholtz:HelmholtzProof",
    "problems.bratu:Bratu": "bratu:BratuProof",
    "problems.heat:Heat": "heat:HeatProof",
    "problems.cavity:Cavity": "cavity.theorem:CavityProof",
    "problems.burgers:Burgers": "burgers:BurgersProof",
    "problems.hyperelastic:Hyperelastic": "hyperelastic.theorem:HyperelasticProof",
    "problems.advection_diffusion:AdvectionDiffusion": "indefinite.advection_diffusion:AdvectionDiffusionProof",
}
FORMULAS = {place for place in PROOFS if place.startswith("problems.")}  # theorems about one problem read its formulas
NOT_READ = {  # by any theorem
    *("name", "settings", "inputs", "outputs", "features", "explain", "component_names", "_abc_impl"),
    "vanishes_with",
}
MEASURES = {"norm", "magnitude"}  # what all theorems speak of
SOLVERS = __package__.rsplit(".", 2)[0] + ".solvers."


@kept_by_problem(16)
def proof_of(problem: Problem) -> Proof:
    """The theorem about a problem, one object for all equal problems; ``NoProof`` where none is known."""
    kind, place, cls = _proof_class(type(problem))
    anew = defined_anew(problem, cls) if place else set()
    anew = anew - NOT_READ if place in FORMULAS else anew & MEASURES
    if anew:
        what = f"{', '.join(sorted(anew)[:3])}{' and more' if len(anew) > 3 else ''}"
        return NoProof(
            problem,
            f"{type(problem).__name__} defines {what} anew: if the theorem holds all the same, say so in the class, "
            f"proof = {kind.__name__}",
        )
    why = kind.refusal(problem)
    proof = NoProof(problem, why) if why else kind(problem)
    return proof if type(proof).__module__.startswith(f"{__package__}.") else looked_at(proof)


def unchanged(problem: Problem) -> Proof:
    """``proof_of`` a problem that is still what its proof read of it: once for each verb, for it may take a moment.

    Problems of this library are compared whenever their proof is asked for (``representative``); one of somebody's own
    class stands for itself, and is compared by ``Proof.problem_hash``.

    Raises:
        ValueError: it was changed in place.
    """
    proof = proof_of(problem)
    if not type(problem).__module__.startswith(SOLVERS) and proof.proves:
        try:
            now = proof.problem_hash()
        except Exception:  # a class that lacks what is hashed
            return proof
        if proof.stated not in ("", now):
            raise ValueError(f"{problem.name} was changed in place since its proof read it: build another problem")
        proof.stated = now
    return proof


def _proof_class(kind: type) -> tuple[type[Proof], str, type]:
    """The theorem, where in ``PROOFS`` it stands (empty: the class names it itself), and of which class."""
    for cls in kind.__mro__:
        if "proof" in cls.__dict__:
            own = cls.__dict__["proof"]
            if not (isinstance(own, type) and issubclass(own, Proof)):
                raise ValueError(
                    f"{cls.__name__}.proof names the theorem about a problem: a class derived from Proof, NoProof "
                    f"where nothing is proved, not {own!r}"
                )
            return own, "", cls
        place = f"{cls.__module__.removeprefix(SOLVERS)}:{cls.__qualname__}"
        if place in PROOFS:
            module, name = PROOFS[place].split(":")
            found: type[Proof] = getattr(import_module(f".{module}", __package__), name)
            return found, place, cls
    return NoProof, "", kind


def defined_anew(problem: Problem, cls: type) -> set[str]:
    """What of a class of this library is no longer its own in this problem: methods and properties, by name."""
    kinds = type(problem).__mro__
    own = [dict(vars(x)) for x in kinds[: kinds.index(cls)] if not x.__module__.startswith(SOLVERS)]
    own.append({k: x for k, x in vars(problem).items() if not isinstance(getattr(cls, k, None), cached_property)})
    settings = getattr(cls, "__dataclass_fields__", {})
    return {
        name
        for found in own
        for name, x in found.items()
        if hasattr(cls, name) and not name.startswith("__") and not (name in settings and not hasattr(x, "__get__"))
    }


class Prover:
    """What is provable of one surrogate of one problem.

    ``proof``: of its fields. ``reduced``: of its coefficients in its basis; None where there is no such path, and
    ``why_not_reduced`` then says why.
    """

    def __init__(self, problem: Problem, model: Model) -> None:
        self.problem, self.proof = problem, proof_of(problem)
        self._about = representative(problem)
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
        return {key: value for key, value in self.__dict__.items() if key not in ("proof", "_about")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.proof, self._about = proof_of(self.problem), representative(self.problem)

    @property
    def holds(self) -> bool:
        """Whether the problem's fields are what they were: proofs are about these."""
        return representative(self.problem) is self._about


def prover(problem: Problem, surrogate: Any) -> Prover:
    """The door: ``prover(problem, surrogate).proof`` bounds fields, ``.reduced`` coefficients where that is possible.

    Reading the surrogate's basis asks it for one answer, at the centre of the box.
    """
    return Prover(problem, captured(surrogate))
