"""Any callable is a surrogate: what is asked of it, and how it is read and called without ever being trusted."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from ...solvers.answers import Unreadable, field_rows
from ...solvers.foreign import SettingsChanged, call_foreign
from ...solvers.precision import RANGE
from ...solvers.problem import Problem, is_traced
from ...solvers.real import real_array

CHUNK = 256  # rows per call of the surrogate
REASONS = 4  # distinct ones why calls failed that are told


class Model(abc.ABC):
    """A surrogate as a verb knows it: one basis or none, and two functions. ``said``: what foreign code changed."""

    basis: Float[np.ndarray, "N k"] | None
    said: dict[str, None]
    error_bar: Callable[[Any], Any] | None = None  # [n, d] -> [n]: what it says of its own error, which proves nothing

    @abc.abstractmethod
    def __call__(self, P: Any) -> Any:
        """[n, d] -> [n, N]: a float64 copy, JAX's own values where it is tracing."""

    @abc.abstractmethod
    def coefficients(self, P: Any) -> Any:
        """[n, d] -> [n, k], alike."""

    def changes(self) -> list[str]:
        """What foreign code changed since the last time, in sentences."""
        found = list(self.said)
        self.said.clear()
        return found


class Captured(Model):
    """Somebody's surrogate: ``basis`` and ``coefficients`` are read from it once, here, and the basis is copied.

    Both functions are called as foreign code, with inputs of their own, which they may write to.
    """

    def __init__(self, surrogate: Any) -> None:
        self.said = {}
        self.basis = None
        self._function = surrogate
        self._coefficients = self._of(_attribute, surrogate, "coefficients")
        bar = self._of(_attribute, surrogate, "error_bar")
        self.error_bar = (lambda P: self._of(_answer, bar, P)) if callable(bar) else None
        basis = self._of(_attribute, surrogate, "basis")
        if basis is None or not callable(self._coefficients):
            return
        try:
            self.basis = self._of(as_float64, basis)
            self.basis.flags.writeable = False
        except SettingsChanged:
            raise
        except Exception as error:  # no basis then: it needs no trust
            self.said[f"the surrogate's basis could not be read: {type(error).__name__}: {error}"] = None

    def __call__(self, P: Any) -> Any:
        return self._of(_answer, self._function, P)

    def coefficients(self, P: Any) -> Any:
        return self._of(_answer, self._coefficients, P)

    def _of(self, function: Callable[..., Any], *args: Any) -> Any:
        return call_foreign(function, *args, whose="the surrogate", said=self.said)


def captured(surrogate: Any) -> Model:
    """The one reading of a surrogate that a verb works with and passes on."""
    return surrogate if isinstance(surrogate, Model) else Captured(surrogate)


def _attribute(surrogate: Any, name: str) -> Any:
    try:
        return getattr(surrogate, name, None)
    except Exception:  # a property of somebody's own may fail in any way it likes
        return None


def _answer(function: Callable[[Any], Any], P: Any) -> Any:
    if is_traced(P):
        return jnp.asarray(function(P))
    return as_float64(function(P.copy()))


@dataclass(frozen=True)
class Evaluation:
    """Fields as the surrogate gave them, float64; rows that are not ``good`` are NaN, ``trouble`` says why.
    ``answered``: there was a field, if not one of numbers.
    """

    fields: Float[np.ndarray, "n N"]
    good: Bool[np.ndarray, " n"]
    answered: Bool[np.ndarray, " n"]
    trouble: tuple[str, ...]


def evaluate(surrogate: Callable[[np.ndarray], Any], P: Float[np.ndarray, "n d"], problem: Problem) -> Evaluation:
    """Each query answered once, in chunks; float32 and other arrays are converted, shapes by ``field_rows``.

    A row that cannot be answered by itself has failed (``asked_in_parts``), and so has one with a value that is NaN or
    infinite.
    """
    model = captured(surrogate)
    fields = np.full((len(P), problem.size), np.nan)
    answered, trouble = asked_in_parts(lambda rows: field_rows(model(rows), len(rows), problem), P, fields)
    good = np.isfinite(fields).all(axis=1)
    if not answered.all():
        trouble.append(f"{int((~answered).sum())} of {len(P)} inputs were not answered")
    if not good[answered].all():
        trouble.append("the surrogate answered with values that are NaN or infinite")
    fields[~good] = np.nan
    return Evaluation(fields, good, answered, tuple(dict.fromkeys([*trouble, *model.changes()])))


def asked_in_parts(
    ask: Callable[[np.ndarray], np.ndarray], P: Float[np.ndarray, "n d"], out: Float[np.ndarray, "n k"]
) -> tuple[Bool[np.ndarray, " n"], list[str]]:
    """``ask(rows)`` written to the rows of ``out``, in chunks: (which were answered, some reasons why others were not).

    Where a chunk raises its halves are asked again, down to single rows: one that fails by itself fails no other.
    """
    answered, reasons = np.zeros(len(P), dtype=bool), dict[str, None]()
    waiting = [slice(start, min(start + CHUNK, len(P))) for start in range(0, len(P), CHUNK)][::-1]
    while waiting:
        part = waiting.pop()
        try:
            out[part] = ask(P[part])
            answered[part] = True
            continue
        except SettingsChanged:
            raise
        except Unreadable as error:
            reason = f"the surrogate answered {error}"
        except Exception as error:  # a surrogate may fail in any way it likes: the rows count as failed
            reason = f"the surrogate raised {type(error).__name__}: {error}"
        if len(reasons) < REASONS:
            reasons[reason] = None
        if part.stop - part.start > 1:
            middle = (part.start + part.stop) // 2
            waiting += [slice(middle, part.stop), slice(part.start, middle)]
    return answered, list(reasons)


def as_float64(answer: Any) -> np.ndarray:
    """A float64 copy: what is certified may not change afterwards.

    Raises:
        Unreadable: complex or masked values, or none that are numbers; the message goes on from "answered".
    """
    try:
        return real_array(answer)
    except ValueError as error:
        raise Unreadable(f"with {error}") from None
    except Exception as error:  # whoever's array it is has its own way to say no
        remedy = "return .detach().cpu().numpy()" if hasattr(answer, "detach") else "return a numpy array"
        raise Unreadable(f"with a {type(answer).__name__} that numpy cannot read ({error}): {remedy}") from None


def answering_basis(problem: Problem, free: Bool[np.ndarray, " N"], model: Model) -> Float[np.ndarray, "N k"] | str:
    """The basis V [N, k] if V c is what the surrogate answers at the centre of the box; else why it is of no use.

    It must be finite, zero where values are prescribed (not ``free``), its columns zero or of a length between
    1 / RANGE and RANGE.
    """
    V = model.basis
    if V is None:
        return "the surrogate offers no basis with coefficients"
    if V.ndim != 2 or V.shape[0] != problem.size:
        return f"the basis must be [{problem.size}, k], not {list(V.shape)}"
    if not np.isfinite(V).all():
        return "the basis holds values that are NaN or infinite"
    if V[~free].any():
        largest = np.abs(V[~free]).max()
        return f"the basis must be exactly zero where values are prescribed (~problem.free): {largest:.1g} stands there"
    lengths = np.linalg.norm(V, axis=0)
    if not ((lengths == 0) & ~V.any(axis=0) | (lengths >= 1 / RANGE) & (lengths <= RANGE)).all():
        return "the modes' lengths must lie between 2^-100 and 2^100: scale the basis"
    centre = problem.inputs.centre[None]
    try:
        field_there, c = model(centre), model.coefficients(centre)
        product = c @ V.T
    except SettingsChanged:
        raise
    except Exception as error:  # anything unusual about the basis: it needs no trust
        return f"the surrogate's coefficients could not be used: {type(error).__name__}: {error}"
    if not (np.isfinite(c).all() and np.isfinite(field_there).all()):
        return "the surrogate answers with values that are NaN or infinite at the centre of the box"
    if product.shape != field_there.shape or not np.allclose(product, field_there, rtol=1e-9, atol=1e-12):
        return "coefficients(P) @ basis.T is not what the surrogate answers at the centre of the box"
    return V
