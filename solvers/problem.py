"""A parametrised problem with its discrete truth: the one thing that everything else in this library refers to.

Abstract or final: a problem says how one input is solved (``solve_jax``), in what norm errors are measured, and nothing
more; checking, batching, compiling and reporting are done once, here. Narrower classes add what a proof needs
(``coercive.py``).
"""

from __future__ import annotations

import abc
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from numbers import Real
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from .affine_decomposition import AffineDecomposition
from .batching import RowMap, vectorised, without_caches
from .box import Box
from .interrupts import finished
from .meshes.symmetry import Symmetry
from .meshes.tensor_grid import grid_edges
from .outputs import Output
from .precision import in_float64
from .relations.relation import Relation
from .representative import representative
from .settings import declared_name, declared_settings

ZERO_SHARE = 1e-3  # of a typical magnitude: a solution below it is as good as zero
UNKNOWN_METHOD = "user"  # of a solver that tells nothing of its iterations


class SolveError(RuntimeError):
    """The truth could not be computed: the solver did not converge, or its answer is not finite."""


class Attempt(NamedTuple):
    """What a solve returns inside JAX; a solve that failed has a field of NaN."""

    u: Float[Array, " N"]
    residual: Float[Array, ""]  # true relative residual, recomputed from u
    iterations: Int[Array, ""]
    method: Int[Array, ""]  # which of the problem's ``methods``


@dataclass(frozen=True)
class Solution:
    """One truth solve with its account."""

    u: Float[np.ndarray, " N"]
    residual: float  # true relative residual
    iterations: int
    method: str
    seconds: float

    def __repr__(self) -> str:
        return (
            f"Solution({len(self.u)} values from {self.u.min():.4g} to {self.u.max():.4g}; {self.method}, "
            f"{self.iterations} iterations, relative residual {self.residual:.1e}, {self.seconds:.2g} s)"
        )


def is_traced(*values: Any) -> bool:
    """Whether JAX is tracing: values are unknown then and cannot be checked."""
    return any(isinstance(value, jax.core.Tracer) for value in values)


def nan_unless(good: Bool[Array, ""], u: Float[Array, " N"], *inputs: Float[Array, "..."]) -> Float[Array, " N"]:
    """u where ``good``, else NaN with derivatives of NaN, in forward and in reverse mode.

    ``jnp.where(good, u, nan)`` would not do: its derivatives are zero where the solve failed, which reads as a
    stationary point. Derivatives in ``inputs`` are NaN there even if u was computed without a derivative in them.
    """
    poison = jnp.where(good, 0.0, jnp.nan)
    return u * jnp.where(good, 1.0, jnp.nan) + sum((poison * jnp.sum(x) for x in inputs), jnp.zeros(()))


def _quotient(error: Array, size: Array) -> Array:
    """error / size in JAX: 0 for 0/0, infinite for an error over zero, NaN where a part is NaN or the size infinite."""
    empty = size == 0
    over_zero = jnp.where(error == 0, 0.0, jnp.where(error > 0, jnp.inf, jnp.nan))
    ratio = jnp.where(empty, over_zero, error / jnp.where(empty, 1.0, size))
    return jnp.where(jnp.isfinite(size), ratio, jnp.nan)


def checked_tolerance(tolerance: Any) -> float | None:
    """A relative residual to solve to; None for the problem's own.

    Raises:
        ValueError: not a number from 0 to below 1, at which the zero field would do.
    """
    if tolerance is None:
        return None
    if isinstance(tolerance, bool) or not isinstance(tolerance, Real) or not 0 <= float(tolerance) < 1:
        raise ValueError(f"the tolerance is a relative residual, at least 0 and below 1, not {tolerance!r}")
    return float(tolerance)


class Problem(abc.ABC):
    """A dataclass whose fields are its settings. Solutions are flat float64 vectors [N], read as ``shape = (times,
    nodes, components)``.
    """

    methods: ClassVar[tuple[str, ...]] = (UNKNOWN_METHOD,)  # by which it is solved; ``Attempt.method`` counts in them
    has_solver: ClassVar[bool] = True  # else solutions are known at some inputs alone (``problems/dataset.py``)
    foreign_solver: ClassVar[bool] = False  # whether code solves that name and settings say nothing of

    @property
    @abc.abstractmethod
    def inputs(self) -> Box:
        """The closed box of inputs."""

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """(times, nodes, components); their product is N."""

    @property
    @abc.abstractmethod
    def coordinates(self) -> Float[np.ndarray, "N axes"]:
        """Where each node lies, boundary included."""

    @property
    @abc.abstractmethod
    def norm_name(self) -> str:
        """The norm that errors are measured in, in words."""

    @abc.abstractmethod
    def solve_jax(self, p: Float[Array, " d"], tolerance: float | None = None) -> Attempt:
        """One solve in JAX, differentiable in ``p`` to any order; where it fails the field is NaN (``nan_unless``).

        Args:
            tolerance: the relative residual to reach; None for that of the truth.
        """

    @abc.abstractmethod
    def norm(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, ""]:
        """The norm of a field, at the input p where the norm depends on it."""

    @property
    def name(self) -> str:
        """The name that it is looked up by and that stands in files: that of its class, ThermalBlock is thermal-block.

        Raises:
            TypeError: the class is no dataclass, and does not define its name.
        """
        return declared_name(self)

    @property
    def settings(self) -> dict[str, Any]:
        """Keyword arguments that build the same problem again, as JSON values: the fields of its dataclass.

        Raises:
            TypeError: the class is no dataclass, or a field is no JSON value, and it does not define its settings.
        """
        return declared_settings(self)

    def prescribe(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        """The field with the problem's own values where these are prescribed (boundary, initial state)."""
        return u

    def features(self, p: Float[Array, " d"]) -> tuple[Float[Array, " m"], Float[Array, ""]]:
        """Features x and amplitude s with u(p) = s U(x), by the problem's known scalings: U is left to be learnt.

        By default x are the ``scaled_inputs``, and s = 1.
        """
        return self.scaled_inputs(p), jnp.ones(())

    @property
    def input_field_names(self) -> tuple[str, ...]:
        """What the channels of ``input_field`` are, in their order."""
        return self.inputs.names

    def input_field(self, p: Float[Array, " d"]) -> Float[Array, "nodes channels"]:
        """The inputs as functions on the nodes, which together tell p: coefficients, sources, initial states, values on
        the boundary (zero elsewhere), in their own units. A number that is no function of the place is a channel that
        is constant, by default each of the ``scaled_inputs``.
        """
        return self.constant_channels(self.scaled_inputs(p))

    @property
    def grid_shape(self) -> tuple[int, ...] | None:
        """The sides of the tensor grid of the nodes, the last axis running fastest; None where they form none."""
        return None

    @property
    def periodic(self) -> bool:
        """Whether the first node of each axis of the grid follows upon the last."""
        return False

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """The group of permutations of the inputs that permute the solution, the identity first; () where unknown."""
        return ()

    @property
    def relations(self) -> tuple[Relation, ...]:
        """What its discrete solutions fulfil exactly, so that a surrogate that breaks it is wrong (``relations/``)."""
        return ()

    @property
    def edges(self) -> Int[np.ndarray, "e 2"] | None:
        """Pairs of nodes that are neighbours, each once, the smaller number first; None where nothing tells."""
        return None if self.grid_shape is None else grid_edges(self.grid_shape, self.periodic)

    @property
    def vanishes_with(self) -> tuple[int, ...]:
        """Inputs, if any, with all of which the free part of the solution vanishes: so u = sum_j p_j U_j(p) over them
        with smooth U_j (Hadamard's lemma).
        """
        return ()

    def magnitude(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, ""]:
        """The size that the error of a solution u is divided by: its norm, or that of its difference from an offset."""
        return self.norm(p, u)

    @property
    def zero_scale(self) -> float:
        """The magnitude below which a solution counts as zero and a relative error says nothing, where an input of the
        box has the zero solution; else 0. ``ZERO_SHARE`` times a typical magnitude, in closed form.
        """
        return 0.0

    @property
    def outputs(self) -> Mapping[str, Output]:
        """Numbers of a solution that have a name here: means, point values, fluxes, energies (``outputs.py``)."""
        return {}

    @property
    def energy_matrix(self) -> sp.csr_matrix | None:
        """The inner product, over the free entries, in which a basis is orthonormal; None for the Euclidean one."""
        return None

    @property
    def affine_decomposition(self) -> AffineDecomposition | None:
        """Operator and load as sums of few terms, where the problem has such sums; else None."""
        return None

    def approximate_error(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " N"] | None:
        """About u - u(p): the scheme's residual at a field with the prescribed values through an approximate inverse of
        its derivative, zero where the residual is, and in prescribed entries. Differentiable in u; None where unknown.
        """
        return None

    @property
    def few_terms_remedy(self) -> str:
        """What to declare differently for the problem to be affine in few terms, where that is possible; else empty."""
        return ""

    @property
    def component_names(self) -> tuple[str, ...]:
        """What the numbers of a node are, in their order."""
        count = self.shape[2]
        return tuple(f"component {c + 1}" for c in range(count)) if count > 1 else ("",)

    def explain(self, p: Float[np.ndarray, " d"], result: Attempt) -> str:
        """Why the solve at p failed and what to do about it, naming the input; empty where the problem cannot tell."""
        return ""

    @property
    def solve_on_host(self) -> Callable[[np.ndarray, float | None], Attempt] | None:
        """``solve_jax`` in plain Python, where the solver is: not called from compiled code it can be interrupted."""
        return None

    def identity(self) -> str:
        """A hash of what name, class, settings and box do not say, such as matrices; "" where they say all."""
        return ""

    def failures(self) -> tuple[str, ...]:
        """The last distinct reasons why solves failed in this process, the newest last; () where no reason is known."""
        return ()

    # ---- final from here on --------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """N, the length of a field."""
        times, nodes, components = self.shape
        return times * nodes * components

    def scaled_inputs(self, p: Float[Array, " d"]) -> Float[Array, " d"]:
        """The unit coordinates of the box, logarithmic where the input is, scaled to [-1, 1]."""
        low, width = self.inputs.scaled_ends()
        log = jnp.asarray(self.inputs.log)
        scaled = jnp.where(log, jnp.log(jnp.where(log, p, 1.0)), p)
        return 2 * (scaled - low) / width - 1

    def constant_channels(self, values: Float[Array, " c"]) -> Float[Array, "nodes c"]:
        """One channel a value, the same in all nodes."""
        return jnp.broadcast_to(values, (self.shape[1], len(values)))

    @in_float64
    def input_fields(self, P: Any) -> Float[Array, "n nodes channels"]:
        """``input_field`` at many inputs.

        Raises:
            ValueError: as ``solve``, naming row and input.
        """
        if is_traced(P):
            return jax.vmap(self.input_field)(jnp.asarray(P, dtype=jnp.float64))
        found: Array = vectorised(self, "input_field")(self.inputs.check(P))[0]
        return found

    @cached_property
    def fingerprint(self) -> str:
        """A hash of name, class, settings, box and ``identity``: it stands in every file, and tells whose that is."""
        kind = type(self).__qualname__  # without its module, which may be moved
        about = [self.name, kind, self.settings, self.inputs.to_json(), list(self.shape), self.identity()]
        return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()

    @cached_property
    def confirmed(self) -> set[bytes]:
        """Digests of the solutions that this problem gave in this process (``identity.py``)."""
        return set()

    def __getstate__(self) -> dict[str, Any]:
        return without_caches(self)

    @cached_property
    def _compiled(self) -> Callable[..., Attempt]:
        return partial(finished, jax.jit(self.solve_jax, static_argnums=1))

    def attempt_once(self, p: Float[np.ndarray, " d"], tolerance: float | None = None) -> Attempt:
        """The result of ``solve_jax``, or of ``solve_on_host`` where there is one, at an input that was checked."""
        on_host = self.solve_on_host
        if on_host is not None:
            return on_host(np.array(p), tolerance)
        return representative(self)._compiled(jnp.asarray(p), tolerance)

    @cached_property
    def stands_for_it(self) -> list[Problem]:
        """The problem that what is compiled belongs to (``representative.py``), once there is one."""
        return []

    @cached_property
    def _warm(self) -> set[float | None]:
        return set()

    @cached_property
    def _row_maps(self) -> dict[float | None, RowMap]:
        return {}

    @in_float64
    def solve(self, p: Any, tolerance: float | None = None) -> Float[Array, " N"]:
        """The truth at one input. Under jit, grad and vmap a failure is a field of NaN and inputs cannot be checked.

        Raises:
            ValueError: wrong number of inputs, NaN, infinite, or outside the box.
            SolveError: the solver did not converge.
        """
        if is_traced(p):
            return self._traced(jnp.asarray(p, dtype=jnp.float64), tolerance)
        return jnp.asarray(self.solve_report(p, tolerance).u)

    @in_float64
    def _traced(self, p: Float[Array, " d"], tolerance: float | None) -> Float[Array, " N"]:
        u = self.solve_jax(p, tolerance).u
        return nan_unless(jnp.all(jnp.isfinite(lax.stop_gradient(u))), u, p)

    def solve_report(self, p: Any, tolerance: float | None = None) -> Solution:
        """The truth at one input with its account: true relative residual, iterations, method, seconds of solving.

        Raises:
            ValueError, SolveError: as ``solve``.
        """
        tolerance = checked_tolerance(tolerance)
        row = np.asarray(p)
        row = self.inputs.check(row[None] if row.ndim == 1 else row)
        if len(row) != 1:
            d = self.inputs.dimension
            raise ValueError(f"solve takes one input of {d} numbers; use solve_batch for {len(row)} rows")
        warm = representative(self)._warm
        if self.solve_on_host is None and tolerance not in warm:  # compile first, so that seconds are of solving
            self.attempt_once(row[0], tolerance)
            warm.add(tolerance)
        start = time.perf_counter()
        result = self.attempt_once(row[0], tolerance)
        seconds = time.perf_counter() - start
        u = np.asarray(result.u)
        if not np.isfinite(u).all():
            raise SolveError(self.failure_message(row[0], result))
        return Solution(u, float(result.residual), int(result.iterations), self.methods[int(result.method)], seconds)

    def failure_message(self, p: Float[np.ndarray, " d"], result: Attempt, why: str = "") -> str:
        """One sentence about a solve that failed at p: what was tried, how far it came, and why where that is known."""
        method, why = self.methods[int(result.method)], why or self.explain(p, result)
        account = f"{self.name} was not solved at {self.inputs.named(p)}"
        if method == UNKNOWN_METHOD:
            return f"{account}: the solver {why}" if why else account
        account += (
            f": {method} stopped after {int(result.iterations)} iterations at relative residual "
            f"{float(result.residual):.1e}"
        )
        return f"{account}: {why}" if why else account

    @in_float64
    def solve_batch(self, P: Any, tolerance: float | None = None) -> Float[Array, "n N"]:
        """The truth at many inputs; a row whose solve failed is NaN.

        Raises:
            ValueError: as ``solve``, naming row and input.
        """
        if is_traced(P):
            return lax.map(lambda p: self._traced(p, tolerance), jnp.asarray(P, dtype=jnp.float64))
        return jnp.asarray(self.attempt_batch(P, tolerance).u)

    @in_float64
    def attempt_batch(self, P: Any, tolerance: float | None = None) -> Attempt:
        """``solve_jax`` for many checked inputs, as host arrays with one row each."""
        tolerance = checked_tolerance(tolerance)
        P = self.inputs.check(P)
        on_host = self.solve_on_host
        if on_host is not None and len(P):
            rows = [on_host(p, tolerance) for p in P.copy()]
            return Attempt(*(np.stack(column) for column in zip(*rows, strict=True)))  # type: ignore[arg-type]
        one = representative(self)
        if tolerance not in one._row_maps:
            one._row_maps[tolerance] = RowMap(lambda p: one.solve_jax(p, tolerance))
        return one._row_maps[tolerance](P)

    def relative_error(self, p: Any, u: Any, truth: Any) -> Float[Array, ""]:
        """||truth - u|| / ||truth|| in the problem's norm: 0 where both agree, infinite where only the truth is zero,
        NaN where one of them is not finite.
        """
        return _quotient(self.norm(p, jnp.subtract(truth, u)), self.magnitude(p, truth))

    def component_norms(self, p: Any, u: Any) -> Float[Array, " c"]:
        """The norm of each component alone, the others set to zero."""
        parts = jnp.asarray(u, dtype=jnp.float64).reshape(-1, self.shape[2])
        alone = [jnp.zeros_like(parts).at[:, c].set(parts[:, c]) for c in range(self.shape[2])]
        return jnp.stack([self.norm(p, v.reshape(-1)) for v in alone])

    def component_magnitudes(self, p: Any, u: Any) -> Float[Array, " c"]:
        """The size of each component that its errors are divided by: its norm, or that of its part beyond an offset."""
        return self.component_norms(p, u)


def solve(problem: Problem, p: Any, tolerance: float | None = None) -> Solution:
    """One truth solve: the field with its true residual, iterations, method and seconds (``Problem.solve_report``)."""
    return problem.solve_report(p, tolerance)
