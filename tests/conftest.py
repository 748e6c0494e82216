"""Settings of every test: one thread per library, float64, compiled functions kept between runs."""

import os
from collections.abc import Iterator

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: a second BLAS thread beside JAX's own costs up to 8x

import jax
import pytest

import assay  # noqa: F401  (turns float64 on)
from assay.benchmarks.soundness.faulty import Pool
from assay.benchmarks.soundness.true_error import TrueError
from assay.solvers.problems.thermal_block import ThermalBlock


def pytest_configure(config: pytest.Config) -> None:
    """Keep what JAX compiles under .pytest_cache; `pytest --cache-clear` forgets it."""
    jax.config.update("jax_compilation_cache_dir", str(config.rootpath / ".pytest_cache" / "d" / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture(scope="module", autouse=True)
def forget_compiled() -> Iterator[None]:
    """What a module compiled is dropped at its end: a whole run would keep six gigabytes."""
    yield
    jax.clear_caches()


@pytest.fixture(scope="session")
def small() -> ThermalBlock:
    """2 x 2 blocks, contrast 100, 8 x 8 cells: shared, so that its bounds are compiled once."""
    return ThermalBlock((2, 2), 8, low=0.1, high=10.0)


@pytest.fixture(scope="session")
def small_pool(small: ThermalBlock) -> Pool:
    """64 solved inputs of ``small``."""
    return Pool(small)


@pytest.fixture(scope="session")
def true_error(small: ThermalBlock) -> TrueError:
    """Errors of fields of ``small`` as intervals."""
    return TrueError(small)
