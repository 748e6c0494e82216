"""Names, looked up in one place for Python and the command line: problems and surrogates."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from .solvers.problem import Problem

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


def closest(name: str, names: Iterable[str], what: str) -> ValueError:
    """The error for an unknown name, offering the closest match."""
    names = sorted(names)
    match = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f"did you mean {match[0]!r}?" if match else f"there are: {', '.join(names)}"
    return ValueError(f"there is no {what} called {name!r}; {hint}")


def problem_class(name: str) -> type[Problem]:
    """The class behind a problem's name.

    Raises:
        ValueError: an unknown name; the closest match is offered.
    """
    if name not in PROBLEMS:
        raise closest(name, PROBLEMS, "problem")
    module, cls = PROBLEMS[name].split(":")
    return getattr(import_module(f".solvers.{module}", __package__), cls)


def problem(name: str, **settings: Any) -> Problem:
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
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return made


def surrogate_name(name: str) -> str:
    """The name, if there is such a surrogate.

    Raises:
        ValueError: there is none; the closest match is offered.
    """
    from .surrogates import SURROGATES

    if name not in SURROGATES:
        raise closest(name, SURROGATES, "surrogate")
    return name
