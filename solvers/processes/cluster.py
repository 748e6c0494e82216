"""The workers of a Dask cluster as an executor.

Whatever starts the scheduler will do: ``dask scheduler`` and ``dask worker HOST:PORT --nthreads 1`` by hand, or
dask-jobqueue on a cluster with SLURM, PBS, LSF, ...:

    from dask_jobqueue import SLURMCluster

    nodes = SLURMCluster(queue="compute", account="p123", cores=1, processes=1, memory="4GB", walltime="04:00:00")
    nodes.scale(jobs=50)
    print(nodes.scheduler_address)             # for the command line: assay sample PROBLEM --dask ADDRESS
    executor = nodes.get_client().get_executor(pure=False)
    assay.sample(problem, 10_000, path="snapshots.h5", executor=executor)

One thread a worker, unless the solver may be called from several at once; assay of this version, and the module that
defines the solver, must be importable there (PYTHONPATH). Tasks of a worker that is lost are given to another by Dask;
one that ends three of them (``distributed.scheduler.allowed-failures``) counts as a failed solve, with the reason.
Results are those of one process to the bit where processors, libraries and the threads of linear algebra are the same:
Dask's workers use one (OMP_NUM_THREADS=1) unless they are told otherwise.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

from ..answers import words

WAIT = 30.0  # seconds for the scheduler's answer


@contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """An executor of the workers of the Dask scheduler at ``address``, tcp://HOST:PORT; its tasks are given up where
    what it is used for ends early.

    Raises:
        ValueError: dask.distributed is not installed, no scheduler answers, or its workers cannot import assay.
    """
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError:
        raise ValueError("a Dask cluster needs dask.distributed: pip install 'assay-pde[cluster]'") from None
    try:
        client = distributed.Client(address, timeout=WAIT, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:  # what it raises where nobody is there, and for no address
        raise ValueError(
            f"no Dask scheduler answers at {address} ({words(error)}): start one with `dask scheduler`, or name "
            "that of a running cluster, tcp://HOST:PORT"
        ) from None
    executor = client.get_executor(pure=False)  # a solve is made as often as it is asked for
    try:
        _check_workers(client, address)
        yield executor
        executor.shutdown()
    except BaseException:
        executor.shutdown(wait=False)
        raise
    finally:
        client.close()


def _check_workers(client: Any, address: str) -> None:
    """Those that are there by now; others may join."""
    try:
        client.run(ready)
    except Exception as error:
        raise ValueError(
            f"the workers of {address} cannot import assay ({words(error)}): install the same version there"
        ) from None


def ready() -> bool:
    """Runs in every worker, which imports this module for it."""
    return True
