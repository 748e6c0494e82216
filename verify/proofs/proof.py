"""What a proof is, for everybody who asks for one: bounds of fields, of coefficients, and over boxes of inputs.

A ``Proof`` is one theorem about one problem. guard, certify, falsify, counterexamples, certify_box, audit and the
command line get theirs from ``prover`` and know nothing of the problem's class. Host arrays throughout, a row is a
query; what is traced is named so.
"""

from __future__ import annotations

import abc
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Array, Bool, Float

from ...solvers.box import Box
from ...solvers.outputs import Output, values
from ...solvers.problem import Problem
from ..answers.evaluate import Model
from ..answers.frozen import Frozen
from ..evidence import Evidence
from .bounds import SLACK, ErrorBounds, OutputBounds, no_interval, nothing_proved
from .constants import Known, Prepared, Progress, Stage, gather, source_of

TRACED = (
    "the surrogate's coefficients are the JAX program that was traced, evaluated in float64 in any order of summation"
)

ANY_FIELD = (  # what bounds of fields stand on, whatever the theorem
    "prescribed values exact, overwritten before certifying",
    "finite field, checked",
    "rounding, underflow covered for IEEE float64, libm error <= 16 ulp, no value-changing compiler optimisation",
)

Fields = Float[np.ndarray, "n N"]
Inputs = Float[np.ndarray, "n d"]


class BoxProof(abc.ABC):
    """One surrogate over whole boxes of inputs: ``proof(low [n, d], high [n, d])`` bounds n boxes, in unit coordinates.

    ``model``: the frozen program that the bounds are about. ``points``: bounds and estimates at points, for the search
    beside it. ``assumptions``: all that the bounds stand on.
    """

    model: Frozen
    points: Any  # boxes.point_errors.PointBounds
    assumptions: tuple[str, ...]

    @abc.abstractmethod
    def __call__(self, low: np.ndarray, high: np.ndarray) -> Any:
        """``BoxResult`` of n boxes; ``prepare`` comes before."""

    @abc.abstractmethod
    def prepare(self, order: int | None, limit: float, tell: Callable[[float], None]) -> None:
        """Compile, within ``limit`` seconds; ``tell`` hears how many are left.

        Raises:
            TooLong: it takes longer.
            UnsupportedOperation, NotImplementedError: no range, or no rounding error, is known for an operation.
        """

    def unbounded(self, low: np.ndarray, high: np.ndarray) -> str:
        """Why boxes have no bound, and what to do, in the words of a sentence that "leaves" begins; empty for nothing
        beyond what compiling said.
        """
        return ""

    @abc.abstractmethod
    def leaves(
        self, box: Box, low: np.ndarray, high: np.ndarray, claimed: Float[np.ndarray, " n"]
    ) -> tuple[Any, Any] | str:
        """For audits (``recheck``): the independent way to prove leaves of a map, and n leaves with a claim each; or
        why there is none, and bounds cannot be proved anew.

        Raises:
            ValueError: an operation without a rule.
        """


class ReducedProof(abc.ABC):
    """The fields V c of one basis V [N, k], bounded from their coefficients alone.

    It can be pickled. Every function is JAX code of one query.
    """

    basis: Float[np.ndarray, "N k"]

    @property
    def notes(self) -> tuple[str, ...]:
        """Where the bounds are not sharp, and by how much."""
        return ()

    @property
    @abc.abstractmethod
    def stages(self) -> tuple[Callable[[Array, Array], ErrorBounds], ...]:
        """(p [d], c [k]) -> bounds, the cheapest first and the sharpest last."""

    @property
    def accepting(self) -> tuple[Callable[[Array, Array], ErrorBounds], ...]:
        """Those that a guard asks: the last one is asked of improved coefficients, too."""
        return self.stages

    @abc.abstractmethod
    def improve(self, p: Float[Array, " d"]) -> Float[Array, " k"]:
        """Better coefficients in the same basis, from the input alone."""


class Proof(abc.ABC):
    """One theorem about one problem. A class is named in ``prover.PROOFS``, or by a problem's class as ``proof``."""

    evidence = Evidence.PROVED
    version = 1  # raised when other constants are computed, or verified otherwise, than in files of before

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._prepared: Prepared | None = None
        self._preparing = threading.RLock()
        self.stated = ""  # ``problem_hash``, as a verb last met it

    @classmethod
    def refusal(cls, problem: Problem) -> str:
        """Why the theorem is not about this problem, by its settings; empty where it is."""
        return ""

    @property
    def proves(self) -> bool:
        """Whether there is a theorem at all. Where there is none nothing else need be asked for."""
        return self.evidence is Evidence.PROVED

    @property
    @abc.abstractmethod
    def assumptions(self) -> tuple[str, ...]:
        """What the bounds stand on, and how that is known."""

    @abc.abstractmethod
    def bounds(self, P: Inputs, U: Fields, effort: int) -> tuple[Fields, ErrorBounds, Float[np.ndarray, " n"]]:
        """Bounds of fields as they were answered.

        Args:
            P: inputs, inside the box.
            U: fields; rows that are not finite get bounds that say nothing.
            effort: 0 for the cheapest bound, more for sharper ones.

        Returns:
            The fields as certified, with prescribed values put in place; their bounds; the largest change by that.
        """

    @abc.abstractmethod
    def polish(self, P: Inputs, U: Fields, effort: int) -> tuple[Fields, ErrorBounds]:
        """Fields corrected with ``effort`` steps, and bounds of what came out."""

    @abc.abstractmethod
    def error_interval(
        self, p: Float[np.ndarray, " d"], field: Float[np.ndarray, " N"], truth: Float[np.ndarray, " N"], scale: float
    ) -> tuple[float, float] | None:
        """An interval of ||u - field|| / (scale + ||u||), by the computed truth and its own residual; None where
        nothing is known of the truth's error.
        """

    @abc.abstractmethod
    def remarks(self, P: Inputs, U: Fields, bounds: ErrorBounds, good: Bool[np.ndarray, " n"]) -> list[str]:
        """Why upper bounds of ``good`` rows are infinite, in sentences."""

    def why_no_output(self, output: Output) -> str:
        """Why nothing is proved of this output, in words; "" where something is."""
        return f"no proved interval of output {output.name!r} is known for {self.problem.name}"

    def output_bounds(
        self, P: Inputs, U: Fields, effort: int, output: Output
    ) -> tuple[Fields, ErrorBounds, Float[np.ndarray, " n"], OutputBounds]:
        """``bounds``, and intervals of l(u) for an output l of this problem; effort as there."""
        V, bounds, changed = self.bounds(P, U, effort)
        return V, bounds, changed, no_interval(values(self.problem, output, P, V))

    def free_outputs(self, bounds: ErrorBounds) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Intervals (lower [n], upper [n]) that come with the bounds: those of ||u||^2, by the names of outputs."""
        found = {}
        for name, output in self.problem.outputs.items():
            if output.square > 0 and self.proves:
                low, high = np.asarray(bounds.square_lower), np.asarray(bounds.square_upper)
                found[name] = output.square * low / SLACK, output.square * high * SLACK
        return found

    def cost(self, n: int, effort: int) -> dict[str, float]:
        """What ``bounds`` of n rows spend, by name."""
        return {}

    def basis(self, model: Model) -> Float[np.ndarray, "N k"] | str:
        """The basis in which the surrogate answers, fit for a proof; or why it is not."""
        return f"proofs of {self.problem.name} are of full fields"

    def reduced(self, model: Model) -> ReducedProof | str:
        """The proof from coefficients alone, or why there is none."""
        return f"proofs of {self.problem.name} are of full fields"

    def over_boxes(self, model: Model, inputs: Box, reduced: ReducedProof | str, scale: float) -> BoxProof | str:
        """The proof over boxes inside ``inputs`` of errors relative to scale + ||u||, or why there is none; ``reduced``
        as ``reduced(model)`` answered.

        Raises:
            jax.errors.JAXTypeError, ValueError: of ``Frozen``.
        """
        return f"no proof over boxes is known for {self.problem.name}: certify at points"

    @property
    def box_assumptions(self) -> tuple[tuple[str, ...], ...]:
        """What ``BoxProof.assumptions`` may be, for this problem."""
        return ()

    def offline(self) -> Iterable[Stage]:
        """What is computed and verified once for this problem, in the order in which it is made; by default nothing."""
        return ()

    def reach(self) -> str:
        """At which inputs something can be proved with the constants that are there, in words; "" where it does not
        depend on them.
        """
        return ""

    def constants_changed(self) -> None:  # noqa: B027  (a theorem that compiles nothing has nothing to forget)
        """Forget what was compiled or computed from other ``constants``."""

    def prepare(
        self,
        folder: str | os.PathLike[str] | None = None,
        everything: bool = False,
        progress: Progress | None = None,
    ) -> Prepared:
        """Offline constants: read, or made and kept; once in the life of this object, unless more is asked for.

        Args:
            folder: instead of the user's cache folder.
            everything: what is not made on first use, too.

        Raises:
            ValueError: as ``constants.gather``.
        """
        with self._preparing:
            if self._prepared is None or everything or folder is not None:
                stages = tuple(self.offline())
                kind = type(self)
                whose = {
                    "problem": self.problem_hash() if stages else "",
                    "class": f"{type(self.problem).__module__}.{type(self.problem).__qualname__}",
                    "theorem": f"{kind.__module__}.{kind.__qualname__}",
                    "version": self.version,
                    "modules": source_of(kind, type(self.problem)),
                }
                made = gather(stages, whose, folder, everything, progress) if stages else Prepared()
                before, self._prepared = self._prepared, made
                if before is not None and before.arrays.keys() != made.arrays.keys():
                    self.constants_changed()
            return self._prepared

    @property
    def seconds_to_prepare(self) -> float:
        """About how long ``prepare`` takes on first use where nothing is kept; 0 once it was done in this process."""
        return sum(s.seconds for s in self.offline() if s.on_first_use) if self._prepared is None else 0.0

    @property
    def constants(self) -> Known:
        """The arrays of all stages that are there; made now where nobody has prepared them. Not to be written to."""
        return MappingProxyType(self.prepare().arrays)

    def statement(self) -> Iterable[np.ndarray | str]:
        """What the theorem reads of the problem beyond name, settings and box: arrays, and hashes of functions."""
        return ()

    def problem_hash(self) -> str:
        """Name, class, settings and inputs, and ``statement``: whose a stored proof is.

        Name and settings alone would not do: a class of somebody's own may inherit both and change the weights.
        """
        problem = self.problem
        kind = type(problem).__qualname__  # without its module, which may be moved
        about = [problem.name, kind, problem.settings, problem.inputs.to_json(), problem.size]
        digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode())
        for part in self.statement():
            digest.update(part.encode() if isinstance(part, str) else np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()


class NoProof(Proof):
    """No theorem is known: every bound is infinite, and ``remarks`` say what could be done instead."""

    evidence = Evidence.NONE

    def __init__(self, problem: Problem, why: str = "") -> None:
        super().__init__(problem)
        self.why = why

    @property
    def assumptions(self) -> tuple[str, ...]:
        return ()

    @property
    def remedy(self) -> str:
        """What to do instead."""
        if not self.problem.has_solver:
            return (
                f"no bound can be proved for {self.problem.name}, a data set without a solver: how large "
                "errors are is told by rows that training never saw, with falsify(..., tests=) and conformal"
            )
        why = f" ({self.why})" if self.why else ""
        return (
            f"no proved bound is known for {self.problem.name}{why}: search for the largest error with falsify, whose "
            "independent draws also bound how likely one above the tolerance is"
        )

    def bounds(self, P: Inputs, U: Fields, effort: int) -> tuple[Fields, ErrorBounds, Float[np.ndarray, " n"]]:
        return U, nothing_proved(len(P)), np.zeros(len(P))

    def polish(self, P: Inputs, U: Fields, effort: int) -> tuple[Fields, ErrorBounds]:
        return U, nothing_proved(len(P))

    def error_interval(self, p: Any, field: Any, truth: Any, scale: float) -> None:
        return None

    def remarks(self, P: Inputs, U: Fields, bounds: ErrorBounds, good: Bool[np.ndarray, " n"]) -> list[str]:
        return [self.remedy]

    def basis(self, model: Model) -> str:
        return self.remedy

    def reduced(self, model: Model) -> str:
        return self.remedy

    def over_boxes(self, model: Model, inputs: Box, reduced: ReducedProof | str, scale: float) -> str:
        return self.remedy
