"""What a problem that is affine in few terms consists of: a reduced basis is built from these parts alone.

    A(p) = sum_q theta_q(p) A_q,    f(p) = sum_j phi_j(p) f_j,    A_q symmetric positive semidefinite, Q and J small

Reference: Hesthaven, Rozza, Stamm, Certified Reduced Basis Methods (2016), section 3.3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Bool, Float


class AffineDecomposition(NamedTuple):
    """The weights are functions of one input in JAX; matrices and vectors are numpy's."""

    term_count: int  # Q
    theta: Callable[[Float[Array, " d"]], Float[Array, " Q"]]
    load_weights: Callable[[Float[Array, " d"]], Float[Array, " J"]]  # phi
    matrix: Callable[[Float[np.ndarray, " Q"]], sp.csr_matrix]  # weights -> their sum of the A_q, over the free entries
    load_terms: Float[np.ndarray, "J N"]  # f_j, zero in prescribed entries
    free: Bool[np.ndarray, " N"]  # which entries are unknowns
