"""Seeds of pseudo-random numbers: one range and one refusal everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np

MOST = 2**62  # room for what is added to a seed, in the 64-bit whole numbers of files


def checked_seed(seed: Any) -> int:
    """The seed as a Python number.

    Raises:
        ValueError: not a whole number from 0 to 2**62.
    """
    if isinstance(seed, bool | np.bool_) or not isinstance(seed, int | np.integer) or not 0 <= int(seed) <= MOST:
        raise ValueError(f"the seed must be a whole number from 0 to 2**62, not {seed!r}")
    return int(seed)
