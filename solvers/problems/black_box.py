"""A problem of which only the solver is known: it can be sampled, learnt and searched, but nothing can be proved.

The solver is foreign code: it gets an input of its own, which it may write to, and its answer is copied and checked.
Where it raises, or answers with anything but N finite real numbers, the solve has failed: the row is NaN, and the
reason is kept (``failures``, and in the SolveError).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..answers import Refused, Unanswered, checked_answer, reason, words
from ..box import Box
from ..field_norm import FieldNorm, field_norm
from ..foreign import call_foreign
from ..linear_algebra.direct import callback_float64
from ..meshes.graph import edges_between
from ..meshes.tensor_grid import grid_edges, grid_of, only_numbered
from ..problem import Attempt, Problem, SolveError
from ..processes.timed import CannotStart, TimedCalls
from ..real import real_array
from ..relations.relation import Relation, check_bounds_errors, checked_relations

REASONS = 5  # distinct ones of failed solves that are remembered
PLACES = 64  # inputs of failed solves whose reasons are remembered


@dataclass(frozen=True, eq=False, repr=False)
class BlackBox(Problem):
    """Somebody's solver, in a box of inputs, as ``black_box`` has checked it."""

    foreign_solver = True

    function: Callable[..., Any]
    box: Box
    points: Float[np.ndarray, "nodes axes"]
    called: str
    parts: tuple[str, ...]  # the components' names; one of them, "", where there is one
    measure: FieldNorm
    offset: Float[np.ndarray, " N"] | None
    residual_function: Callable[[Any, Any], Any] | None
    loosen: Callable[[np.ndarray, float], Any] | str | None
    timed: TimedCalls | None = None  # the solver, where it has a time limit
    gradient: Callable[[np.ndarray, np.ndarray], Any] | None = None
    declared: tuple[Relation, ...] = ()
    identified: str = ""  # a hash that tells this solver from others, where there is one
    at_once: int = 1  # calls that may wait at a time, where the solver is a server (``external/umbridge.py``)

    def __repr__(self) -> str:
        return f"black_box({self.called!r}, {', '.join(self.box.names)} -> {self.size} values)"

    @property
    def name(self) -> str:
        return self.called

    @property
    def settings(self) -> dict[str, Any]:
        return {}

    @property
    def inputs(self) -> Box:
        return self.box

    @property
    def shape(self) -> tuple[int, int, int]:
        return (1, len(self.points), len(self.parts))

    @property
    def coordinates(self) -> Float[np.ndarray, "nodes axes"]:
        return self.points

    @property
    def component_names(self) -> tuple[str, ...]:
        return self.parts

    @cached_property
    def grid_shape(self) -> tuple[int, ...] | None:
        """By the coordinates, where they were given."""
        return grid_of(self.points)

    @cached_property
    def edges(self) -> Int[np.ndarray, "e 2"] | None:
        if self.grid_shape is not None:
            return grid_edges(self.grid_shape)
        return None if only_numbered(self.points) else edges_between(self.points)

    @property
    def relations(self) -> tuple[Relation, ...]:
        """Those that were declared: that they hold is taken on trust."""
        return self.declared

    @property
    def norm_name(self) -> str:
        return self.measure.name if self.offset is None else f"{self.measure.name}, relative to u - offset"

    def norm(self, p: Any, u: Any) -> Float[Array, ""]:
        return self.measure(p, u)

    def magnitude(self, p: Any, u: Any) -> Float[Array, ""]:
        return self.norm(p, self._less_offset(u))

    def component_magnitudes(self, p: Any, u: Any) -> Float[Array, " c"]:
        return self.component_norms(p, self._less_offset(u))

    def _less_offset(self, u: Any) -> Array:
        u = jnp.asarray(u, dtype=jnp.float64)
        return u if self.offset is None else u - self.offset

    # ---- the residual, where one was given ---------------------------------------------------------------------------

    @property
    def residual(self) -> Callable[[Any, Any], Float[Array, " m"]] | None:
        """(p, u) -> the user's residual as a vector, NaN where it could not be evaluated; None where there is none."""
        return self._residual if self.residual_function is not None else None

    @cached_property
    def _residual_shape(self) -> tuple[bool, int]:
        """Whether JAX can evaluate it, and how many numbers it gives."""
        p, u = self.box.centre, np.ones(self.size)
        function = self.residual_function
        assert function is not None
        try:
            return True, int(np.prod(jax.eval_shape(lambda p, u: function(p, u), p, u).shape))
        except Exception:  # numpy inside
            return False, real_array(function(p, u)).size

    def _residual(self, p: Any, u: Any) -> Float[Array, " m"]:
        p, u = jnp.asarray(p, dtype=jnp.float64), jnp.asarray(u, dtype=jnp.float64)
        function = self.residual_function
        assert function is not None
        in_jax, count = self._residual_shape
        if in_jax:
            return jnp.asarray(function(p, u), dtype=jnp.float64).reshape(-1)

        def on_host(p: np.ndarray, u: np.ndarray) -> np.ndarray:
            try:
                values = call_foreign(lambda: real_array(function(np.array(p), np.array(u))), whose="the residual")
            except Exception as error:  # foreign code: a field at which it fails is as bad as any
                self._remember(f"raised {words(error)} in its residual")
                return np.full(count, np.nan)
            return values.ravel() if values.size == count else np.full(count, np.nan)

        return callback_float64(on_host, jnp.zeros(count), p, u)

    # ---- the solve ---------------------------------------------------------------------------------------------------

    def solve_jax(self, p: Float[Array, " d"], tolerance: float | None = None) -> Attempt:
        """The user's solver on the host; ``tolerance`` is the level that ``loosen`` is called with, where given."""
        u = self._differentiable(tolerance)(p)
        return Attempt(u, jnp.asarray(jnp.nan), jnp.asarray(0), jnp.asarray(0))

    def _differentiable(self, tolerance: float | None) -> Callable[[Array], Array]:
        """p -> u on the host, with the user's gradient in reverse mode, where there is one."""

        def solve(p: Array) -> Array:
            return callback_float64(lambda p: self._answer(p, tolerance), jnp.zeros(self.size), p)

        if self.gradient is None:
            return solve
        solved = jax.custom_vjp(solve)
        solved.defvjp(
            lambda p: (solve(p), p),
            lambda p, w: (callback_float64(self._pulled_back, jnp.zeros(self.box.dimension), p, w),),
        )
        return solved

    def _pulled_back(self, p: np.ndarray, w: np.ndarray) -> Float[np.ndarray, " d"]:
        function, d = self.gradient, self.box.dimension
        assert function is not None
        try:
            found = call_foreign(lambda: real_array(function(np.array(p), np.array(w))), whose="the gradient")
        except Exception as error:  # foreign code: a gradient that is not known
            self._remember(f"raised {words(error)} in its gradient")
            return np.full(d, np.nan)
        if found.shape != (d,):
            self._remember(f"answered with a gradient of shape {list(found.shape)}, not {[d]}")
            return np.full(d, np.nan)
        return found

    @property
    def solve_on_host(self) -> Callable[[np.ndarray, float | None], Attempt]:
        method = np.asarray(0)
        return lambda p, level: Attempt(self._answer(p, level), np.asarray(np.nan), np.asarray(0), method)  # type: ignore[arg-type]

    def _answer(self, p: np.ndarray, level: float | None) -> Float[np.ndarray, " N"]:
        solve = self.timed or partial(_solve, self.function, self.loosen, len(self.parts))
        try:
            answer: np.ndarray = solve(np.array(p), level, self.size)
            return answer
        except CannotStart:
            raise
        except Exception as error:  # a failed solve, not the end of a batch
            self._remember(reason(error), p)
            return np.full(self.size, np.nan)

    # ---- why solves failed -------------------------------------------------------------------------------------------

    @cached_property
    def _reasons(self) -> dict[str, None]:
        return {}

    @cached_property
    def _reason_at(self) -> dict[bytes, str]:
        return {}

    def failures(self) -> tuple[str, ...]:
        return tuple(self._reasons)

    def _remember(self, why: str, p: np.ndarray | None = None) -> None:
        _keep_newest(self._reasons, why, None, REASONS)
        if p is not None:
            _keep_newest(self._reason_at, np.asarray(p).tobytes(), why, PLACES)

    def identity(self) -> str:
        return self.identified

    @cached_property
    def own_executor(self) -> ThreadPoolExecutor | None:
        """Where solves run if nobody says where: threads that wait for a server, if it is one."""
        return ThreadPoolExecutor(self.at_once) if self.at_once > 1 else None

    def explain(self, p: Float[np.ndarray, " d"], result: Attempt) -> str:
        return self._reason_at.get(np.asarray(p, dtype=np.float64).tobytes(), next(reversed(self._reasons), ""))


def _solve(
    function: Callable[..., Any],
    loosen: Callable[[np.ndarray, float], Any] | str | None,
    components: int,
    p: Float[np.ndarray, " d"],
    level: float | None,
    size: int | None,
) -> Float[np.ndarray, " N"]:
    """One call of somebody's solver, here or in a process of its own: its answer as a field."""

    def answer() -> Any:
        if level is None or loosen is None:
            return function(p)
        return function(p, **{loosen: level}) if isinstance(loosen, str) else loosen(p, level)

    return call_foreign(lambda: checked_answer(answer(), size, components), whose="the solver")


def _keep_newest(kept: dict[Any, Any], key: Any, value: Any, most: int) -> None:
    """Put last what is new; the oldest beyond ``most`` are forgotten."""
    kept.pop(key, None)
    kept[key] = value
    for oldest in list(kept)[:-most]:
        kept.pop(oldest, None)


def black_box(
    solve: Callable[..., Any],
    box: Box,
    coordinates: Any = None,
    *,
    name: str | None = None,
    size: int | None = None,
    norm: Any = None,
    components: int | tuple[str, ...] | list[str] | None = None,
    offset: Any = None,
    residual: Callable[[Any, Any], Any] | None = None,
    gradient: Callable[[np.ndarray, np.ndarray], Any] | None = None,
    loosen: Callable[[np.ndarray, float], Any] | str | None = None,
    time_limit: float | None = None,
    relations: Iterable[Relation] = (),
) -> BlackBox:
    """A problem from a solver p [d] -> u, N real numbers in any shape, components last.

    Without ``size`` the solver is called once, at the centre of the box, to learn N.

    Args:
        coordinates: [nodes, axes], where the nodes lie; numbered 0..nodes-1 where left out. nodes = N / components.
        name: stands in every file, and must change with the solver: files of another name are refused.
        size: N, for a solver too slow to be called for it; the first solve checks it.
        norm: that errors are measured in. "rms" (the default), "l2", "max"; weights [N] or [nodes] of sum w u^2; a
            symmetric positive semidefinite matrix [N, N], a mass matrix; a function (u) or (p, u) -> number in
            jax.numpy or numpy (called on the host then), homogeneous: |c u| = |c| |u|.
        components: how many numbers a node has, or their names. The solver answers [nodes, components], flattened or
            not; [components, nodes] is refused.
        offset: a number, one for each component, or a field [N], that is no part of what is to be approximated, such
            as an ambient pressure: errors are relative to |u - offset|.
        residual: (p, u [N]) -> array in jax.numpy or numpy, zero at the truth: falsification climbs its size. No
            gradient is needed.
        gradient: (p, w [N]) -> [d], the derivatives of sum_i w_i u_i(p), as an adjoint solver gives them: solutions can
            be differentiated in reverse mode then, ``jax.grad`` of anything of ``problem.solve(p)``.
        loosen: how the solver is made faster and less accurate, so that a benchmark can draw its speed against its
            accuracy: a function (p, level) -> u, or the name of a keyword of ``solve``, called as solve(p, name=level).
            level is a relative accuracy between 0 and 1, such as 1e-1, 1e-3, 1e-6: what ``Problem.solve(p,
            tolerance=level)`` passes on. Smaller is closer to the truth, which is ``solve(p)``. A function may turn it
            into a coarser grid, if it answers with all N values.
        time_limit: seconds that a call may take. Solves run in a process of ours then, wherever the problem is used:
            one that takes longer has failed and is killed; so has one that ends its process. The solver, and
            ``loosen``, must be functions at the top level of a module.
        relations: what the solver's own solutions fulfil, such as a ``Symmetric`` (``solvers/relations/``): errors of
            surrogates that break one are told without a solve (``broken_relations``), if it holds as it is declared.

    Raises:
        ValueError: an argument that makes no sense; a solver with a time limit that no process can be sent; an answer
            at the centre that is complex, masked, empty, not finite.
        SolveError: the solver raised at the centre of the box.
    """
    if not callable(solve):
        raise ValueError(f"the solver is a function p -> u, not {type(solve).__name__}")
    if not isinstance(box, Box):
        raise ValueError(f"the inputs are a Box(names, lower, upper), not {type(box).__name__}")
    called = _checked_name(name)
    parts = _checked_components(components)
    loosened = _checked_loosen(loosen, solve)
    call = partial(_solve, solve, loosened, len(parts))
    timed = None if time_limit is None else TimedCalls(call, checked_limit(time_limit), "the solver")
    if size is None:
        try:
            answer = (timed or call)(box.centre, None, None)
        except Refused as error:
            raise ValueError(f"at the centre of the box the solver {error}") from None
        except CannotStart:
            raise
        except Unanswered as error:
            raise SolveError(f"at the centre of the box the solver {error}") from None
        except Exception as error:
            raise SolveError(f"the solver raised at the centre of the box: {words(error)}") from error
        size = len(answer)
    elif isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise ValueError(f"size is the number of values that the solver answers with, at least 1, not {size!r}")
    if gradient is not None and not callable(gradient):
        raise ValueError(f"gradient is a function (p, w) -> [d], not {type(gradient).__name__}")
    nodes, rest = divmod(int(size), len(parts))
    if rest:
        raise ValueError(f"{size} values are no multiple of {len(parts)} components")
    points = _checked_points(coordinates, nodes, len(parts))
    made = BlackBox(
        function=solve,
        box=box,
        points=points,
        called=called,
        parts=parts,
        measure=field_norm(norm, box.centre, nodes, len(parts)),
        offset=_checked_offset(offset, nodes, len(parts)),
        residual_function=residual,
        loosen=loosened,
        timed=timed,
        gradient=gradient,
        declared=checked_relations(relations),
    )
    check_bounds_errors(made, made.declared)
    if residual is not None:
        try:
            made._residual_shape  # noqa: B018  (tried here, where the mistake can be named)
        except Exception as error:
            raise ValueError(f"the residual raised {words(error)}; it is called with (p, u)") from None
    return made


def checked_limit(limit: Any) -> float:
    if isinstance(limit, bool) or not isinstance(limit, int | float | np.number) or not 0 < float(limit) < np.inf:
        raise ValueError(f"time_limit is a positive number of seconds, not {limit!r}")
    return float(limit)


def _checked_name(name: Any) -> str:
    if name is None:
        return "black-box"
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise ValueError(f"name is a word that tells this solver from others, not {name!r}")
    return name


def _checked_components(components: Any) -> tuple[str, ...]:
    if components is None:
        return ("",)
    if isinstance(components, str):
        return (components,)
    if isinstance(components, int | np.integer) and not isinstance(components, bool) and components >= 1:
        return tuple(f"component {c + 1}" for c in range(components)) if components > 1 else ("",)
    if isinstance(components, tuple | list) and all(isinstance(c, str) and c for c in components):
        names = tuple(dict.fromkeys(components))
        if 0 < len(names) == len(components):
            return names
    raise ValueError(f"components is a whole number of at least 1, or their distinct names, not {components!r}")


def _checked_points(coordinates: Any, nodes: int, components: int) -> Float[np.ndarray, "nodes axes"]:
    points = np.arange(float(nodes)) if coordinates is None else real_array(coordinates, "the coordinates have")
    if points.ndim == 1:
        points = points[:, None]
    if points.ndim != 2 or len(points) != nodes or not points.shape[1]:
        rest = nodes % len(points) if points.ndim == 2 and len(points) else 1
        several = "" if components > 1 or rest else f"; or is it {nodes // len(points)} values a node? Pass components="
        raise ValueError(f"coordinates must have shape [{nodes}, axes], not {list(points.shape)}{several}")
    if not np.isfinite(points).all():
        raise ValueError("coordinates must be finite")
    points.setflags(write=False)
    return points


def _checked_offset(offset: Any, nodes: int, components: int) -> Float[np.ndarray, " N"] | None:
    if offset is None:
        return None
    found = real_array(offset, "the offset has")
    if found.shape == (nodes * components,):
        found = found.reshape(nodes, components)
    if found.shape not in ((), (components,), (nodes, components)) or not np.isfinite(found).all():
        raise ValueError(
            f"offset is a finite number, {components} of them (one a component) or a field [{nodes * components}], not "
            f"shape {list(found.shape)}"
        )
    field = np.array(np.broadcast_to(found, (nodes, components))).ravel()
    field.setflags(write=False)
    return field


def _checked_loosen(loosen: Any, solve: Callable[..., Any]) -> Any:
    if loosen is None or callable(loosen):
        return loosen
    if not isinstance(loosen, str):
        raise ValueError(f"loosen is a function (p, level) -> u or the name of a keyword of the solver, not {loosen!r}")
    try:
        parameters = inspect.signature(solve).parameters
    except (TypeError, ValueError):  # a function of C tells nothing
        return loosen
    if loosen not in parameters and not any(x.kind is inspect.Parameter.VAR_KEYWORD for x in parameters.values()):
        raise ValueError(f"loosen={loosen!r} is no keyword of the solver, which has: {', '.join(parameters)}")
    return loosen
