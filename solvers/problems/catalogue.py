"""The problems of this library by their names: the only ones that a file can name.

What a file says is compared with what the user says, or looked up here; it never names code to be run, and its numbers
are checked before anything is made as large as they say.
"""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from ..problem import Problem

# name -> "module:class"; imported when asked for, so that starting up stays quick.
PROBLEMS = {
    "thermal-block": "thermal_block:ThermalBlock",
    "lognormal-diffusion": "lognormal_diffusion:LognormalDiffusion",
    "elasticity": "elasticity:Elasticity",
    "helmholtz": "helmholtz:Helmholtz",
    "advection-diffusion": "advection_diffusion:AdvectionDiffusion",
    "bratu": "bratu:Bratu",
    "heat": "heat:Heat",
    "allen-cahn": "allen_cahn:AllenCahn",
    "burgers": "burgers:Burgers",
    "wave": "wave:Wave",
    "cavity": "cavity:Cavity",
    "hyperelastic": "hyperelastic:Hyperelastic",
}
MOST = 10**6  # a whole number in settings from a file, and the product of those in a list: grids, steps, blocks


def closest(name: str, names: Iterable[str], what: str) -> ValueError:
    """The error for an unknown name, offering the closest match."""
    names = sorted(names)
    match = difflib.get_close_matches(str(name), names, n=1, cutoff=0.4)
    hint = f"did you mean {match[0]!r}?" if match else f"there are: {', '.join(names) or 'none'}"
    return ValueError(f"there is no {what} called {name!r}; {hint}")


def problem_class(name: str) -> type[Problem]:
    """The class behind a problem's name.

    Raises:
        ValueError: an unknown name; the closest match is offered.
    """
    if name not in PROBLEMS:
        raise closest(name, PROBLEMS, "problem")
    module, cls = PROBLEMS[name].split(":")
    found: type[Problem] = getattr(import_module(f".{module}", __package__), cls)
    return found


def problem(name: str, /, **settings: Any) -> Problem:
    """A problem by name, with its settings; without any, a sensible default.

    Raises:
        ValueError: an unknown problem or setting (the closest match is offered), or a setting that makes no sense.
    """
    cls = problem_class(name)
    known = [k for k in inspect.signature(cls).parameters if not k.startswith("_")]
    for key in settings:
        if key not in known:
            raise closest(key, known, f"setting of {name}")
    try:
        made = cls(**settings)
        made.inputs, made.settings, made.size  # noqa: B018  (what is computed late fails here, too)
    except (TypeError, OverflowError, AttributeError) as error:
        raise ValueError(f"{name}: a setting has a value of the wrong kind: {error}") from None
    except MemoryError as error:
        raise ValueError(f"{name}: the settings ask for more memory than there is: {error}") from None
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return made


def stored_problem(name: Any, settings: Any) -> Problem:
    """The problem that a file names.

    Raises:
        ValueError: no problem of this library, or settings that are none, or larger than any such file's.
    """
    if not isinstance(name, str) or name not in PROBLEMS:
        raise ValueError(f"{str(name)[:80]!r} is no problem of this library, and a file's word is never run")
    if not isinstance(settings, dict):
        raise ValueError(f"the settings of {name} are a {type(settings).__name__}, not names with values")
    for key, value in settings.items():
        _check_size(key, value)
    return problem(name, **settings)


def _check_size(key: str, value: Any) -> None:
    whole = [abs(x) for x in (value if isinstance(value, list) else [value]) if isinstance(x, int) and x]
    if any(x > MOST for x in whole) or math.prod(whole) > MOST:
        raise ValueError(f"the setting {key} asks for more than {MOST}, which no file of this library does")
