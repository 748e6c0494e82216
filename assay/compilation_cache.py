"""Compiled programs kept between processes: JAX's persistent compilation cache, in a folder of this user's own.

    <the user's cache folder>/assay/compiled/<versions and processor>/

The command line keeps them, unless ASSAY_NO_CACHE=1 is set, or JAX's own settings say where they go or that they do
not. For programs of one's own, ``keep_compiled()`` does the same; importing assay changes nothing.

*Whom this trusts.* A proof runs the machine code that it finds here: whoever can write here decides what is proved. So
the folders are this user's with mode 0700, and nobody else can write on the way to them (``private_folder``); otherwise
nothing is kept. What other programs of this user write here is trusted as they are, and an entry that is put under
another one's name is run unnoticed.

*What is the same program.* JAX finds an entry by a hash of the program, the compiler's settings and jaxlib's version,
but runs code made for another processor after no more than a line in the log. So the folder's name is a hash of the
versions, jaxlib's library (there are different builds of one version), the processor's features, and the number of
cores, into which loops are split. Whether loops, branches and library calls give the same bits when they are read back
as when they were compiled is tried once in every such folder, before it is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import subprocess
import sys
import time
import warnings
import zlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np

from .solvers.private_folder import NotPrivate, check_private, make_private, user_cache

LARGEST = 1 << 30  # bytes of all folders together; beyond, what was not used for the longest goes first
OLDEST = (0, 10)  # jaxlib before it may crash when it reads large programs back (macOS)
LEAST_SECONDS = 0.0  # what compiles in less is not kept: reading takes 3 ms, the smallest program 20 ms to compile
OFF = "ASSAY_NO_CACHE"
_TRIED = "gives-back-what-was-put-in"
_DESCRIBES = {  # lines of /proc/cpuinfo: what code is generated for
    *("vendor_id", "cpu family", "model", "model name", "stepping", "flags"),
    *("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision", "Features", "isa", "uarch"),
}


class Unusable(Exception):
    """Why nothing is kept, in one line."""


def switched_off() -> str | None:
    """Who decided that nothing is kept here, if anybody did."""
    config: Any = jax.config
    if os.environ.get(OFF, "") not in ("", "0"):
        return f"{OFF} is set"
    if config.jax_compilation_cache_dir:
        return f"JAX keeps them in {config.jax_compilation_cache_dir}, by its own setting"
    if not config.jax_enable_compilation_cache:
        return "JAX's own setting jax_enable_compilation_cache is off"
    return None


def place() -> Path:
    """The folder of all versions and processors, whether it is there or not.

    Raises:
        Unusable: nobody knows where.
    """
    try:
        return user_cache() / "assay" / "compiled"
    except NotPrivate as error:
        raise Unusable(str(error)) from None


def keep_compiled() -> Path | None:
    """From here on, what JAX compiles is kept for the next process; call it before anything is compiled.

    Returns:
        The folder; None where JAX's own settings, or ASSAY_NO_CACHE, decide otherwise.

    Raises:
        Unusable: the folder is not safe, or does not give back what was put in.
    """
    if switched_off() is not None:
        return None
    version = tuple(int(x) for x in jaxlib.__version__.split(".")[:2])
    if version < OLDEST:
        raise Unusable(f"jaxlib {jaxlib.__version__} does not read compiled programs back reliably: update it")
    name = compiler_and_processor()
    try:
        folder = make_private(user_cache(), "assay", "compiled", name)
    except NotPrivate as error:
        raise Unusable(str(error)) from None
    tidy(folder.parent)
    _use(folder)
    if not (folder / _TRIED).exists():
        if not _gives_back():
            jax.config.update("jax_compilation_cache_dir", None)
            raise Unusable(f"this jaxlib ({jaxlib.__version__}) computes otherwise with what it reads back")
        (folder / _TRIED).touch()
    return folder


def _use(folder: Path) -> None:
    settings = {
        "jax_persistent_cache_min_compile_time_secs": LEAST_SECONDS,
        "jax_persistent_cache_min_entry_size_bytes": -1,
        "jax_persistent_cache_enable_xla_caches": "none",  # of graphics processors: in folders that ``tidy`` knows not
        "jax_compilation_cache_dir": str(folder),
    }
    for key, value in settings.items():
        if key.upper() not in os.environ:
            jax.config.update(key, value)
    # what cannot be read (another process is writing it) or written (the disk is full) is compiled, or not kept
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache entry")


def compiler_and_processor() -> str:
    """A hash of all that decides which machine code a program becomes, apart from what JAX's own key holds.

    Raises:
        Unusable: the processor's features cannot be read.
    """
    library = Path(jaxlib.__file__).parent
    builds = sorted(
        (file.name, file.stat().st_size, file.stat().st_mtime_ns)
        for file in library.iterdir()
        if file.suffix in (".so", ".pyd", ".dylib", ".dll")
    )
    from . import __version__

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    about = [__version__, jax.__version__, jaxlib.__version__, builds, _processor(), cores, os.environ.get("NPROC")]
    return hashlib.sha256(repr(about).encode()).hexdigest()[:24]


def _processor() -> list[str]:
    found = [sys.platform, platform.machine()]
    try:
        if sys.platform == "linux":
            lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
            found += sorted({line for line in lines if line.split(":")[0].strip() in _DESCRIBES})
        elif sys.platform == "darwin":
            command = ["/usr/sbin/sysctl", "machdep.cpu.brand_string", "hw.optional", "hw.cpufamily"]
            found += subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        elif sys.platform == "win32":
            import ctypes

            features = [bool(ctypes.windll.kernel32.IsProcessorFeaturePresent(i)) for i in range(128)]
            found += [platform.processor(), repr(features)]
    except (OSError, subprocess.SubprocessError):
        pass
    if len(found) == 2:
        raise Unusable("the features of this processor cannot be read, and code for another one must not be run")
    return found


def contents(root: Path) -> tuple[int, int]:
    """How many programs are kept, and their size in bytes."""
    files = list(_files(root))
    return sum(path.name.endswith("-cache") for path, _ in files), sum(about.st_size for _, about in files)


def clear(root: Path) -> tuple[int, int]:
    """Remove what is kept, and nothing else; returns what it was.

    Raises:
        NotPrivate, OSError: the folder is not this user's alone: what is in it is left.
    """
    if not root.exists():
        return 0, 0
    check_private(root, own=2)
    before = contents(root)
    for path, _ in _files(root):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
    for folder in [entry.path for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)]:
        with contextlib.suppress(OSError):  # another process has just put something there
            os.rmdir(folder)
    return before


def tidy(root: Path, largest: int = LARGEST) -> None:
    """Remove entries that were not written to their end, and what was not used for the longest if all take too much.

    JAX writes an entry in place and never over another: one left by a process that was killed would be in the way.
    """
    mark = root / "looked-through"
    since, now = 0.0, time.time()
    with contextlib.suppress(OSError):
        since = mark.stat().st_mtime
    files = []
    for path, about in _files(root):
        if about.st_mtime >= since - 2 and not _whole(path):
            path.unlink(missing_ok=True)
        else:
            files.append((max(about.st_atime, about.st_mtime), about.st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files, key=lambda x: x[0]) if total > largest else ():
        if total <= 0.75 * largest:
            break
        path.unlink(missing_ok=True)
        total -= size
    with contextlib.suppress(OSError):
        mark.touch()
        os.utime(mark, (now, now))


def _files(root: Path) -> list[tuple[Path, os.stat_result]]:
    """The plain files of the folders in ``root``."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for folder in [Path(entry.path) for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)]:
            for entry in os.scandir(folder):
                with contextlib.suppress(FileNotFoundError):  # another process has removed it
                    if entry.is_file(follow_symlinks=False):
                        found.append((Path(entry.path), entry.stat(follow_symlinks=False)))
    return found


def _whole(path: Path) -> bool:
    """Whether a compressed entry ends as it should; entries compressed otherwise (zstandard) say so themselves."""
    try:
        with open(path, "rb") as stream:
            if not path.name.endswith("-cache"):
                return True
            if stream.read(1) != b"\x78":
                return stream.tell() == 1
            stream.seek(0)
            inside = zlib.decompressobj()
            while block := stream.read(1 << 20):
                inside.decompress(block)
            return inside.eof
    except FileNotFoundError:
        return True
    except (OSError, zlib.error):
        return False


def _gives_back() -> bool:
    """Whether a program with loops, branches and library calls computes the same bits once it was read back.

    (A fork of XLA read loops back with other numbers of steps than they were written with.)
    """
    unique = float(np.random.default_rng().random())  # so that it is compiled the first time

    def program(x: Any, n: Any) -> Any:
        def step(state: Any) -> Any:
            i, y = state
            y = jax.lax.cond(i % 3 == 0, lambda y: jnp.tanh(y @ x), lambda y: jnp.sin(y) - 0.5 * y, y)
            return i + 1, y + unique

        _, y = jax.lax.while_loop(lambda state: state[0] < n, step, (0, x))
        last, all_ = jax.lax.scan(lambda y, k: (jnp.cos(y * k), y.sum()), y, jnp.arange(1.0, 8.0))
        factor = jnp.linalg.cholesky(x @ x.T + jnp.eye(len(x)))
        return y, last, all_, jax.scipy.linalg.solve_triangular(factor, y, lower=True), jnp.sort(y, axis=0)

    x = np.random.default_rng(0).normal(size=(16, 16))

    def bits() -> list[bytes]:
        jax.clear_caches()
        compiled = jax.jit(program)
        return [np.asarray(a).tobytes() for n in (0, 5, 29) for a in jax.tree.leaves(compiled(x, n))]

    first = bits()
    return bits() == first
