"""Settings of every test: one thread per library, float64, compiled functions kept between runs."""

import gc
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: a second BLAS thread beside JAX's own costs up to 8x

import jax
import pytest

import assay  # noqa: F401  (turns float64 on)
from assay.benchmarks.soundness.faulty import Pool
from assay.benchmarks.soundness.true_error import TrueError
from assay.solvers.problems.thermal_block import ThermalBlock

LARGEST = 4 << 30  # bytes of a process, beyond which compiled programs are dropped
HEAVIEST = (  # seconds of compiling, so that two processes end together; the others in the order of their names
    "test_certify_box", "test_enclose", "test_falsify", "test_elasticity", "test_hyperelastic", "test_box_flux",
    "test_helmholtz_box", "test_bratu_box",
    "test_enclose_oracle", "test_surrogates_pod_mlp", "test_enclose_factors", "test_guard", "test_steady_derivatives",
    "test_evolution", "test_cavity", "test_soundness", "test_thermal_block", "test_failed_derivatives",
)  # fmt: skip

# Where bounds meet true errors and exact arithmetic in their last digits: run as users' programs are compiled. Others
# may be compiled quickly (`make test` does), by a compiler that optimises less and rounds elsewhere.
ROUNDING = (
    "test_bratu_proof", "test_burgers_proof", "test_cavity_beyond", "test_cavity_proof", "test_certificate",
    "test_dense", "test_enclose_ball", "test_enclose_oracle", "test_heat_proof", "test_heat_reduced",
    "test_helmholtz_proof", "test_hyperelastic_proof", "test_measured_error", "test_recheck", "test_reduced",
    "test_representative", "test_soundness", "test_thomson",
)  # fmt: skip


# What takes longest: maps of whole boxes, orders of convergence on several grids, derivatives through every solver,
# many certificates, every network interrupted. They run in `make thorough`, which continuous integration calls, and
# with plain `pytest`; one of each kind is left. A line is how the names of tests begin.
THOROUGH = tuple((Path(__file__).parent / "thorough.txt").read_text("utf-8").splitlines())


def pytest_collection_finish() -> None:
    """What has been imported stays: looking through it for garbage, time and again, took a fifth of all tracing."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def pytest_configure(config: pytest.Config) -> None:
    """Keep what JAX compiles under .pytest_cache, for the other process too; `pytest --cache-clear` forgets it.

    Interruptions are tested: what a shell starts in the background ignores them unless told otherwise.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    jax.config.update("jax_compilation_cache_dir", str(config.rootpath / ".pytest_cache" / "d" / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The heaviest files first; what depends on rounding is marked."""
    for item in items:
        if item.path.stem in ROUNDING or any(word in item.name for word in ("rounding", "last_bit")):
            item.add_marker("rounding")
        if f"{item.path.name}::{item.name}".startswith(THOROUGH):
            item.add_marker("thorough")
    places = {name: place for place, name in enumerate(HEAVIEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


def pytest_runtest_setup() -> None:
    """Continuous integration says until when tests may begin, in seconds of the clock."""
    if time.time() > float(os.environ.get("ASSAY_TESTS_UNTIL", "inf")):
        pytest.skip("no time is left for it: ASSAY_TESTS_UNTIL has passed")


@pytest.fixture(scope="module", autouse=True)
def forget_compiled() -> Iterator[None]:
    """What was compiled is dropped once it has grown large; until then files share it."""
    yield
    if resident() > LARGEST:
        jax.clear_caches()


def resident() -> float:
    """Bytes that this process holds; infinite where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return float("inf")


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
