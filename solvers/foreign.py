"""Calls of code that is not ours: a surrogate, a solver, weights or loads of somebody's own.

Such code may change what our arithmetic depends on, and leave it so: JAX's settings of the process or of this thread,
the rounding mode, whether small numbers are flushed to zero, what numpy does about an overflow. Everything foreign is
called here: what it changed is put back, and said; where it cannot be put back, nothing goes on.
"""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np

from .precision import float64, rounds_to_nearest

WATCHED = (  # settings of JAX that change numbers, or whether there are any
    "jax_enable_x64",
    "jax_disable_jit",
    "jax_debug_nans",
    "jax_debug_infs",
    "jax_numpy_dtype_promotion",
    "jax_numpy_rank_promotion",
    "jax_default_matmul_precision",
    "jax_default_device",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
    "jax_random_seed_offset",
)
_LEAST, _DENORMAL, _HALF, _LARGE = float(np.finfo(np.float64).tiny), 5e-324, 0.5, 2.0**80
T = TypeVar("T")


class SettingsChanged(RuntimeError):
    """Foreign code changed what arithmetic depends on, and it could not be put back."""


def call_foreign(function: Callable[..., T], *args: Any, whose: str, said: dict[str, None] | None = None) -> T:
    """``function(*args)``, after which this thread and the process compute as before.

    Args:
        whose: the words that a message calls it by, such as "the surrogate".
        said: where a sentence about what it changed goes; without, it is a warning.

    Raises:
        SettingsChanged: a setting could not be put back.
    """
    process, arithmetic, errors = _of_process(), _Arithmetic(), np.geterr()
    process["jax_enable_x64"] = True  # whoever switched it off meanwhile
    changed: list[str] = []
    try:
        with float64(), np.errstate():
            own = _of_thread()
            try:
                return function(*args)
            finally:
                changed += [f"{name} in its thread" for name, old in own.items() if _of_thread()[name] != old]
                changed += ["numpy's handling of floating-point errors"] if np.geterr() != errors else []
    finally:
        changed += _put_back(process, whose)
        changed += arithmetic.put_back(whose)
        if changed:
            sentence = f"{whose} changed {', '.join(dict.fromkeys(changed))} during its call: it was put back"
            if said is None:
                warnings.warn(sentence, RuntimeWarning, stacklevel=2)
            else:
                said[sentence] = None


def _of_thread() -> dict[str, Any]:
    """As they are in effect here: ``float64`` laid values of this thread's own over those of the process."""
    return {name: getattr(jax.config, name) for name in WATCHED[:8]}


def _of_process() -> dict[str, Any]:
    holders = getattr(jax.config, "_value_holders", {})  # there is no public way to see below the thread's own values
    found = {}
    for name in WATCHED:
        read = getattr(holders.get(name), "get_global", None)
        if read is not None:
            found[name] = read()
    return found


def _put_back(before: dict[str, Any], whose: str) -> list[str]:
    now = _of_process()
    changed = [name for name in now if now[name] != before[name]]
    for name in changed:
        jax.config.update(name, before[name])
    if changed and any(value != before[name] for name, value in _of_process().items()):
        raise SettingsChanged(f"{whose} changes {', '.join(changed)} for the whole process: nothing can be proved")
    return changed


class _Arithmetic:
    """The rounding mode, and what becomes of numbers below 2^-1022, of this thread."""

    def __init__(self) -> None:
        self._kind = self._now()
        self._saved = ctypes.create_string_buffer(256) if _libm is not None else None  # fenv_t has 8 to 40 bytes
        if _libm is not None:
            _libm.fegetenv(self._saved)

    @staticmethod
    def _now() -> tuple[bool, bool]:
        return rounds_to_nearest(), _LEAST * _HALF > 0 and _DENORMAL * _LARGE > 0

    def put_back(self, whose: str) -> list[str]:
        if self._now() == self._kind:
            return []
        if _libm is not None:
            _libm.fesetenv(self._saved)
        if self._now() != self._kind:
            raise SettingsChanged(f"{whose} changed how this thread rounds: nothing is proved after it")
        return ["how this thread rounds or treats numbers below 2^-1022"]


def _of_this_program() -> ctypes.CDLL | None:
    """fegetenv and fesetenv of the C library that is loaded; None where there are none to be had (Windows)."""
    try:
        library = ctypes.CDLL(None)
        return library if hasattr(library, "fegetenv") and hasattr(library, "fesetenv") else None
    except (OSError, TypeError):
        return None


_libm = _of_this_program()
