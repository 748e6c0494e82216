"""``guard_steps``: march a one-step surrogate under a running proved bound, so that no wrong state gets out.

``stepper(P, states) -> states`` is anything that answers n states [n, S] at n inputs with the states one step later: a
network, or the truth of a coarser scheme. It is asked once for each step of each trajectory. Steps come in windows; a
proof (``proofs/stepping.py``) carries b^n >= |u^n - v^n| along, and a window whose states keep b within absolute +
tolerance |u^n| is

    accepted   as the stepper answered it

Where b would pass, the window is

    polished   corrected by a march of the linearised scheme from its first state, which lowers what b gained in it;
               where that is not enough, for b was too large already when the window began, all windows since the last
               state whose b was small are polished, one after another
    solved     by the problem's own scheme from its first state, where correcting does not help, or the stepper raised
               or answered with NaN or infinity; steps of the scheme from a state with a large b would not lower it
    failed     where the scheme itself could not be solved: NaN from there on, with an infinite bound

The truth is the trajectory of the problem's own scheme from its initial state. Reference: certified marching by
residuals goes back to Grepl and Patera 2005; here every constant is proved and b decides what is corrected."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Bool, Float

from ..solvers.answers import Unreadable
from ..solvers.batching import RowMap
from ..solvers.classes.evolution import TOLERANCE, EvolutionProblem
from ..solvers.foreign import SettingsChanged, call_foreign
from ..solvers.precision import in_float64
from ..solvers.problem import Problem
from ..solvers.representative import kept_by_problem, representative
from ..solvers.tolerance import Tolerance
from .answers.evaluate import as_float64, asked_in_parts
from .answers.trajectories import Trajectories, Window, within
from .certificate import Certificate, certificate_of
from .guard import ROUTES
from .proofs.bounds import SLACK, ErrorBounds, assembled
from .proofs.prover import proof_of, unchanged
from .proofs.stepping import SteppingProof

WINDOWS = 10  # of a trajectory, about
SMALL = 0.1  # of the tolerance: states within it are what others are corrected from
LEAST = 4  # steps of a window, unless there are fewer
MISTAKES = (TypeError, NameError, AttributeError)  # of code that never answers, such as one of another signature
MARCHES = 1  # of a correction: what it leaves of errors near the tolerance is far below it

Stepper = Callable[[np.ndarray, np.ndarray], Any]


@dataclass(frozen=True)
class StepsAnswer:
    """Guarded trajectories: the fields, how each window came about, and bounds of exactly these states.

    ``route``: one of ``ROUTES`` for each window of each row; ``windows``: the steps at which they begin, and the last.
    ``state_upper`` >= |u^n - v^n| and ``state_relative_upper`` >= |u^n - v^n| / |u^n| in the norm ``state_norm``; the
    ``certificate`` is about whole trajectories in the problem's norm. ``counts``: windows by route. ``within``: whether
    every state's error is proved to be at most absolute + tolerance |u^n|. ``calls``: states that the stepper was
    asked for.
    """

    u: Float[np.ndarray, "n N"]
    route: np.ndarray  # [n, windows] of ROUTES
    windows: np.ndarray  # [windows + 1]
    state_upper: Float[np.ndarray, "n steps+1"]
    state_relative_upper: Float[np.ndarray, "n steps+1"]
    state_norm: str
    within: Bool[np.ndarray, " n"]
    certificate: Certificate
    seconds: float
    calls: int
    notes: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def relative_upper(self) -> Float[np.ndarray, " n"]:
        """Of whole trajectories."""
        return self.certificate.relative_upper

    def __repr__(self) -> str:
        routes = ", ".join(f"{count} {route}" for route, count in self.counts.items() if count)
        largest = f"; largest state bound {float(np.max(self.state_relative_upper))!r}" if len(self.route) else ""
        notes = f", {len(self.notes)} notes" if self.notes else ""
        return f"StepsAnswer({len(self.route)} trajectories, windows {routes or 'none'}{largest}{notes})"


class _Programs:
    """What is compiled, for one problem: each maps rows of inputs, windows and first bounds."""

    def __init__(self, problem: EvolutionProblem, proof: SteppingProof) -> None:
        self.problem, self.proof = problem, proof
        self.start = RowMap(lambda p: (problem.initial(p), proof.start(p)))
        self.measure = RowMap(self._judged)
        self.polish, self.solve = RowMap(lambda p, states: proof.corrected(p, states, MARCHES)), RowMap(self._solved)
        self.whole = RowMap(self._trajectory)
        p, states = problem.inputs.centre, np.zeros((2, len(proof.free_state)))
        self._measures = jax.tree.structure(jax.eval_shape(proof.measures, p, states))

    def _judged(self, p: Any, states: Any, b: Any) -> tuple[Any, ...]:
        measures = self.proof.measures(p, states)
        return self.proof.carried(b, measures), self.proof.state_sizes(p, states), measures

    def _solved(self, p: Any, states: Any) -> Any:
        advance = self.problem.stepper(p, TOLERANCE)

        def one(state: Any, _: None) -> tuple[Any, Any]:
            done = advance(state)
            after = jnp.where(done.converged, done.u, jnp.nan)
            return after, after

        rest = lax.scan(one, states[0], length=len(states) - 1)[1]
        return jnp.concatenate([states[:1], rest])

    def _trajectory(self, p: Any, v: Any, b: Any, *measures: Any) -> ErrorBounds:
        r = self.proof.length(b, jax.tree.unflatten(self._measures, measures))
        r = jnp.where(r >= 0, r, jnp.inf)
        size, off = self.proof.norm_row(p, v)
        known = jnp.isfinite(r) & jnp.isfinite(size)
        small = jnp.where(known, jnp.maximum(size - off - r, 0.0) / SLACK, 0.0)
        large = jnp.where(known, (size + off + r) * SLACK, jnp.inf)
        return assembled(jnp.zeros(()), r, jnp.minimum(off, r), small, large)


@kept_by_problem(16)
def _programs(problem: EvolutionProblem) -> _Programs:
    proof = proof_of(problem)
    assert isinstance(proof, SteppingProof)
    return _Programs(problem, proof)


class StepGuard:
    """Callable ``guard(P) -> StepsAnswer``; see the module's docstring. Built by ``guard_steps``."""

    @in_float64
    def __init__(
        self, problem: Problem, stepper: Stepper, tolerance: float, absolute: float, window: int | None
    ) -> None:
        allowed = Tolerance.of(problem, tolerance, absolute)
        if not isinstance(problem, EvolutionProblem):
            raise ValueError(f"{problem.name} has no time steps to guard: use guard for whole fields")
        if not callable(stepper):
            raise ValueError(f"the stepper must be callable, stepper(P, states), not {type(stepper).__name__}")
        proof = unchanged(problem)
        if not isinstance(proof, SteppingProof):
            raise ValueError(
                f"no proof along time steps is known for {problem.name}: guard whole trajectories (guard), or search "
                "for the largest error with falsify"
            )
        steps = problem.steps
        if window is not None and not (int(window) == window and window >= 1):
            raise ValueError(f"window is a number of steps, at least 1, not {window!r}")
        length = min(steps, max(LEAST, -(-steps // WINDOWS)) if window is None else int(window))
        self.problem, self.stepper, self.proof = problem, stepper, proof
        self._about = representative(problem)
        self.tolerance, self.absolute = allowed.relative, allowed.absolute
        self.edges = np.append(np.arange(0, steps, length), steps)  # the last window may be shorter
        self._compiled = _programs(problem)
        self._check()

    def _check(self) -> None:
        """One call at the centre of the box, of two rows: a wrong shape or signature is a mistake, told at once."""
        P = np.repeat(self.problem.inputs.centre[None], 2, axis=0)
        first = self._compiled.start(P)[0]
        try:
            self._ask(np.concatenate([P, first], axis=1), {})
        except SettingsChanged:
            raise
        except Unreadable as error:
            raise ValueError(f"the stepper answered 2 states {error}") from None
        except MISTAKES as error:
            S = first.shape[1]
            raise ValueError(
                f"the stepper raised {type(error).__name__}: {error}; it is called as stepper(P, states) with inputs "
                f"[n, {P.shape[1]}] and states [n, {S}], and has to answer with the states one step later [n, {S}]"
            ) from error
        except Exception:  # it may fail at run time: then the steps are solved
            return

    def __repr__(self) -> str:
        absolute = f", absolute={self.absolute:g}" if self.absolute else ""
        return (
            f"guard_steps({self.problem.name}, tolerance={self.tolerance:g}{absolute}: {len(self.edges) - 1} windows)"
        )

    @in_float64
    def __call__(self, P: Any) -> StepsAnswer:
        """Guarded trajectories at P [n, d].

        Raises:
            ValueError: P is not [n, d], NaN, infinite or outside the problem's box; the problem was changed in place.
        """
        begun = time.perf_counter()
        if representative(self.problem) is not self._about:
            raise ValueError(f"{self.problem.name} was changed in place since this guard was built: build another one")
        P = self.problem.inputs.check(P)
        first, start = self._compiled.start(P)
        batch = Trajectories(P, first, start, self.edges)
        rows = np.arange(len(P))
        for k in range(len(self.edges) - 1):
            rows = self._window(batch, rows, k)
        return self._finish(batch, begun)

    def _window(self, batch: Trajectories, rows: np.ndarray, k: int) -> np.ndarray:
        """One more window of these rows; returns those that got through it."""
        answered = self._march(batch, rows, k)
        found = self._found(None, batch, rows[answered], k)
        good = self._within(found)
        batch.put(rows[answered], k, found, good, "accepted")
        left = self._polish_window(batch, rows[answered][~good], k)
        early = batch.anchor[left] < k
        alone = np.concatenate([left[~early], rows[~answered]])
        self._solve_window(batch, alone, k)
        # What was answered with NaN is solved; b may be too large already, which solving alone does not mend.
        again = np.concatenate([left[early], alone[~self._within(batch.window(alone, k))]])
        for j in range(k + 1):
            now = again[batch.anchor[again] <= j]
            self._solve_window(batch, self._polish_window(batch, now, j, SMALL), j)
        again = again[~self._within(batch.window(again, k))]
        for j in range(k + 1):  # the scheme's own trajectory from its first state
            self._solve_window(batch, again, j)
        batch.anchor[rows[self._within(batch.window(rows, k), SMALL)]] = k + 1
        alive = np.isfinite(batch.v[rows, self.edges[k + 1]]).all(axis=1)
        batch.route[rows[~alive], k] = "failed"
        return rows[alive]

    def _march(self, batch: Trajectories, rows: np.ndarray, k: int) -> Bool[np.ndarray, " rows"]:
        """The stepper's own steps, written to the batch; of which rows all were answered with finite numbers."""
        good, fixed = np.ones(len(rows), dtype=bool), ~self.proof.free_state
        for t in range(self.edges[k], self.edges[k + 1]):
            ask = rows[good]
            if not len(ask):
                break
            batch.calls += len(ask)
            given = np.concatenate([batch.P[ask], batch.v[ask, t]], axis=1)
            states = np.full((len(ask), batch.v.shape[2]), np.nan)
            reasons = asked_in_parts(lambda rows: self._ask(rows, batch.said), given, states)[1]
            batch.said.update(dict.fromkeys(reasons))
            finite = np.isfinite(states).all(axis=1)
            if not finite.all():
                batch.said.setdefault("the surrogate answered with values that are NaN or infinite", None)
            if fixed.any():
                off = np.abs(np.where(finite[:, None], states[:, fixed], 0.0)).max(axis=1)
                batch.changed[ask] = np.maximum(batch.changed[ask], off)
                states[:, fixed] = 0.0
            batch.v[ask, t + 1] = states
            good[good] = finite
        return good

    def _ask(self, given: np.ndarray, said: dict[str, None]) -> Float[np.ndarray, "n S"]:
        """``given``: rows of an input and a state each, copies."""
        P, states = np.split(given, [self.problem.inputs.dimension], axis=1)

        def call(P: np.ndarray, states: np.ndarray) -> np.ndarray:
            return as_float64(self.stepper(P, states))

        answer: np.ndarray = call_foreign(call, P.copy(), states.copy(), whose="the surrogate", said=said)
        if answer.shape[:1] != states.shape[:1] or answer.size != states.size:
            raise Unreadable(
                f"with shape {list(answer.shape)}, not [n, S] = {list(states.shape)}: one state of {states.shape[1]} "
                "values for every row, one step later"
            )
        return answer.reshape(states.shape)

    def _found(self, how: RowMap | None, batch: Trajectories, rows: np.ndarray, k: int) -> Window:
        """Window k of these rows, made anew from its first state by ``how``, with what is proved of it."""
        a, z = self.edges[k], self.edges[k + 1]
        P, states = batch.P[rows], batch.v[rows, a : z + 1]
        if how is not None:
            states = how(P, states)
        return Window(states, *self._compiled.measure(P, states, batch.b[rows, a]))

    def _within(self, window: Window, share: float = 1.0) -> Bool[np.ndarray, " n"]:
        """Of which rows all new states are within this share of the tolerance."""
        return window.within(share * self.tolerance, share * self.absolute)

    def _polish_window(self, batch: Trajectories, rows: np.ndarray, k: int, share: float = 1.0) -> np.ndarray:
        """Returns the rows that stay outside."""
        if not len(rows):
            return rows
        found = self._found(self._compiled.polish, batch, rows, k)
        good = self._within(found, share)
        batch.put(rows, k, found, good, "polished")
        return rows[~good]

    def _solve_window(self, batch: Trajectories, rows: np.ndarray, k: int) -> None:
        if len(rows):
            batch.put(
                rows, k, self._found(self._compiled.solve, batch, rows, k), np.ones(len(rows), dtype=bool), "solved"
            )

    def _finish(self, batch: Trajectories, begun: float) -> StepsAnswer:
        failed = ~np.isfinite(batch.v).all(axis=(1, 2)) | (batch.route == "failed").any(axis=1)
        notes = list(batch.said)
        size = np.maximum(batch.least - np.where(np.isfinite(batch.b), batch.b, 0.0), 0.0)
        relative = np.where(size > 0, batch.b / np.where(size > 0, size, 1.0) * SLACK, np.inf)
        good = within(batch.b, batch.least, self.tolerance, self.absolute).all(axis=1) & ~failed
        for i in np.flatnonzero(failed):
            start = int(self.edges[int(np.argmax(batch.route[i] == "failed"))]) + 1
            batch.v[i, start:], batch.b[i, start:], relative[i, start:] = np.nan, np.inf, np.inf
        u = batch.v.reshape(len(batch.P), self.problem.size)
        bounds = (
            self._compiled.whole(batch.P, u, batch.b, *jax.tree.leaves(batch.measures)) if len(u) else self._nothing()
        )
        if failed.any():
            p = self.problem.inputs.named(batch.P[np.flatnonzero(failed)[0]])
            notes.append(
                f"the scheme could not be solved in {int(failed.sum())} trajectories, which end in NaN: as at {p}"
            )
        undecided = np.flatnonzero(~good & ~failed)
        if len(undecided):
            where = self.problem.inputs.named(batch.P[undecided[0]])
            notes.append(
                f"{len(undecided)} trajectories, such as at {where}, are only known to more than the tolerance, solved "
                "steps included: undecided"
            )
        certificate = certificate_of(self.proof, bounds, batch.changed, tuple(notes), {})
        counts = {route: int((batch.route == route).sum()) for route in ROUTES}
        return StepsAnswer(
            u, batch.route, self.edges, batch.b, relative, self.proof.state_norm_name, good, certificate,
            time.perf_counter() - begun, batch.calls, tuple(notes), counts,
        )  # fmt: skip

    def _nothing(self) -> ErrorBounds:
        return ErrorBounds(*(np.zeros(0) for _ in ErrorBounds._fields))  # type: ignore[arg-type]


def guard_steps(
    problem: Problem,
    stepper: Stepper,
    tolerance: float = 1e-2,
    absolute: float = 0.0,
    window: int | None = None,
) -> StepGuard:
    """A guarded one-step surrogate: ``guarded(P)`` answers with whole trajectories, every state of which is within
    absolute + tolerance |u^n|, with a proof. Problems with a proof along time steps: heat, burgers.

    Args:
        stepper: (P [n, d], states [n, S]) -> the states one step later [n, S].
        absolute: an error of a state allowed whatever its size, in the state's norm.
        window: steps after which the bound is looked at; a tenth of all by default.

    Raises:
        ValueError: no proof along time steps is known for the problem; the tolerance is not positive; the stepper
            answers in another shape, or cannot be called like that; the problem was changed in place.
    """
    return StepGuard(problem, stepper, tolerance, absolute, window)
