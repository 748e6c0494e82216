"""Find where a neural surrogate of a PDE solver fails, prove how wrong it can be, and run it guarded."""

import os
import sys
from pathlib import Path

from . import starting

starting.begin()

import lazy_loader  # noqa: E402

__version__ = "0.1.0"
_lent: dict[str, str | None] = {}  # to JAX, by way of the environment: what stood there before (solvers/precision.py)


def _set_jax(name: str, on: bool) -> None:
    """Without importing JAX where nobody has, which takes most of a second: it reads the environment when it starts."""
    if "jax" in sys.modules:
        sys.modules["jax"].config.update(name, on)
    else:
        _lent[name.upper()] = os.environ.get(name.upper())
        os.environ[name.upper()] = str(int(on))


# Certificates are statements about float64 arithmetic, so 64-bit must be on before any array is made.
_set_jax("jax_enable_x64", True)

# With one processor only, a solve that calls back to the host can wait for itself: JAX queues the call behind the
# computation that asked for it, and the copy of what it is given behind the call, which waits for that. So the
# computation is not queued, and XLA, which reads NPROC, gets a second thread for the copy.
if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) == 1:
    _set_jax("jax_cpu_enable_async_dispatch", False)
    os.environ.setdefault("NPROC", "2")

# In a checkout, assay/solvers and its sisters are links to the folders at the root. Where the links did not survive
# (a zip download, git without symbolic links) the root itself becomes a second place to look for them.
_ROOT = Path(__file__).resolve().parent.parent
if not (_ROOT / "assay" / "solvers").is_dir():
    __path__.append(str(_ROOT))

# The public names, each imported when it is first asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

starting.over()
