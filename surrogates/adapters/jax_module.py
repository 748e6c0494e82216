"""A model in JAX as a surrogate: an Equinox or Flax module, or any function. JAX sees through it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...solvers.answers import words
from ...solvers.identity import check_problem
from ...solvers.precision import in_float64
from ...solvers.problem import Problem
from .adapted import TRIED, Adapted, Scaling, checked_dtype, checked_scaling, same, scaled, tried

WHEN_RANDOM = "switch off what draws (deterministic=True, inference mode), or fix its key"


@in_float64
def jax_surrogate(
    model: Any,
    problem: Problem,
    params: Any = None,
    *,
    inputs: Scaling = None,
    outputs: Scaling = None,
    dtype: Any = None,
) -> Adapted:
    """A model in JAX that maps inputs [n, d], or one input [d], to fields in any of the shapes of a field.

    An Equinox module and one of flax.nnx are put into inference mode, in a copy; a module of flax.linen comes with its
    ``params``, what its ``init`` returned: ``module.apply(params, P)``.

    Args:
        inputs, outputs: how inputs and answers are scaled, or reshaped (as of ``torch_surrogate``), in jax.numpy.
        dtype: what the model computes in; left out, what its parameters are in, float64 where there are none.

    Raises:
        ValueError: it cannot be called, needs params, or neither takes [n, d] nor [d]; answers of another shape or at
            random.
    """
    check_problem(problem)
    label = f"the model {type(model).__name__ if not hasattr(model, '__name__') else model.__name__}"
    function, weights = _evaluated(model, params, label)
    kinds = [x.dtype for x in jax.tree.leaves(weights) if jnp.issubdtype(getattr(x, "dtype", int), jnp.floating)]
    name = checked_dtype(dtype if dtype is not None else kinds[0] if kinds else "float64", label)
    scaling = checked_scaling(inputs, "inputs"), checked_scaling(outputs, "outputs")
    batched = _batched(function, problem, name, scaling[0], label)
    compiled = jax.jit(batched)

    def run(rows: np.ndarray) -> np.ndarray:
        more = (1 << (len(rows) - 1).bit_length()) - len(rows)  # few sizes, so that few are ever compiled
        padded = np.concatenate([rows, np.repeat(rows[-1:], more, axis=0)])
        return np.asarray(compiled(padded))[: len(rows)]

    return tried(Adapted(problem, label, run, name, *scaling, traced=batched), WHEN_RANDOM)


def _evaluated(model: Any, params: Any, label: str) -> tuple[Callable[[Any], Any], Any]:
    """The function in inference mode, and where its parameters are."""
    from flax import linen, nnx

    if isinstance(model, linen.Module):
        if params is None:
            raise ValueError(f"{label} is a module of flax.linen: pass its params too, what module.init returned")
        if isinstance(params, Mapping) and params and "params" not in params:
            raise ValueError(f"{label}: params are all that module.init returned, not its entry 'params' alone")
        return lambda x: model.apply(params, x), params
    if params is not None:
        raise ValueError(f"params go with a module of flax.linen, and {label} is none: bind them into the function")
    if isinstance(model, nnx.Module):
        copied = nnx.merge(*nnx.split(model))
        copied.eval()
        return copied, nnx.state(copied, nnx.Param)
    if isinstance(model, type) or not callable(model):
        raise ValueError(f"jax_surrogate takes a function of arrays or a module, not {model!r:.80}")
    if type(model).__module__.startswith("equinox.") or hasattr(model, "__dataclass_fields__"):
        try:
            import equinox
        except ImportError:
            return model, None
        model = equinox.nn.inference_mode(model)
        return model, equinox.filter(model, equinox.is_array)
    return model, None


def _batched(
    function: Callable[[Any], Any], problem: Problem, dtype: str, inputs: Scaling, label: str
) -> Callable[[Any], Any]:
    """The function itself if it takes a batch, else of every row.

    One that takes both, and whose answer to a row depends on the others, is meant for one: x - mean(x), for example.
    """
    d = problem.inputs.dimension
    n = TRIED if d != TRIED else TRIED + 1  # so that one row is not taken for a column of another
    P = jnp.asarray(np.tile(problem.inputs.centre, (n, 1)))
    fed = jnp.asarray(scaled(inputs, P, back=False), dtype=dtype)
    fitting, reasons = [], []
    for candidate in (function, jax.vmap(function)):
        try:
            found = jax.eval_shape(candidate, fed)
        except Exception as error:  # a model may refuse in any way it likes
            reasons.append(words(error))
            continue
        shape = getattr(found, "shape", ())
        if shape[:1] == (n,) and int(np.prod(shape[1:])) == problem.size:
            fitting.append(candidate)
        else:
            reasons.append(f"it answers {n} inputs with shape {list(shape)}, not [{n}, {problem.size}]")
    if fitting:
        return fitting[-1] if len(fitting) > 1 and _mixes_rows(function, problem, dtype, inputs) else fitting[0]
    why = "; and one by one: ".join(dict.fromkeys(reasons))
    raise ValueError(
        f"{label} maps neither inputs [n, {d}] nor one input [{d}] in {dtype} to fields of {problem.name}, which have "
        f"{problem.size} values: {why}. {_remedy(why)}"
    )


def _remedy(why: str) -> str:
    if "TracerArrayConversion" in why:
        return "A function in numpy needs no adapter: hand it over as it is"
    return "Where it takes more than its input, bind the rest: lambda x: model(x, ...), in inference mode"


def _mixes_rows(function: Callable[[Any], Any], problem: Problem, dtype: str, inputs: Scaling) -> bool:
    """Whether a batch's first answer changes with the other rows, by more than rounding."""
    P = problem.inputs.from_unit(np.random.default_rng(0).random((TRIED, problem.inputs.dimension)))
    fed = jnp.asarray(scaled(inputs, jnp.asarray(P), back=False), dtype=dtype)
    try:
        together, alone = (np.asarray(function(x)[:1], dtype=np.float64) for x in (fed, fed[:1]))
    except Exception:  # of one row alone it may be no function at all: it is asked again, and told, when it is tried
        return False
    return not same(together, alone, dtype)
