"""Truth and certificates run in float64 (IEEE 754 binary64), or not at all."""

import jax
import numpy as np

UNIT_ROUNDOFF = float(np.finfo(np.float64).eps) / 2  # u = 2^-53, round to nearest
RANGE = 2.0**100  # proofs need coefficients and loads between 1/RANGE and RANGE, so that no square leaves float64


def require_float64() -> None:
    """Refuse to go on in single precision: a bound computed there proves nothing.

    Raises:
        RuntimeError: JAX's 64-bit mode, which ``import assay`` turns on, was switched off afterwards.
    """
    if jax.dtypes.canonicalize_dtype(np.float64) != np.float64:
        raise RuntimeError(
            "assay needs float64, but JAX's 64-bit mode is off: remove the code that switches it off, or call "
            "jax.config.update('jax_enable_x64', True) before solving or certifying"
        )


def gamma(operations: int) -> float:
    """gamma_n = n u / (1 - n u), the relative error of n chained roundings (Higham 2002, Lemma 3.1)."""
    return operations * UNIT_ROUNDOFF / (1 - operations * UNIT_ROUNDOFF)
