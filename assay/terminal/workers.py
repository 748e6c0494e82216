"""--workers and --dask: solves in processes of their own, or on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Annotated

import typer

from ..solvers.problem import Problem
from ..solvers.processes.cluster import cluster
from ..solvers.processes.worker_processes import WorkerProcesses
from .errors import UserError

Workers = Annotated[
    int | None, typer.Option("--workers", min=1, metavar="N", help="Solve in N processes at a time; here if left out.")
]
Dask = Annotated[
    str | None,
    typer.Option(
        "--dask",
        metavar="ADDRESS",
        help="Solve on the workers of this Dask scheduler, tcp://HOST:PORT (on SLURM dask-jobqueue starts one).",
    ),
]


def flag_of(workers: int | None, dask: str | None) -> str:
    """Which of the two was given; "" where none was."""
    return "--workers" if workers is not None else "--dask" if dask is not None else ""


def check_workers(workers: int | None, dask: str | None, problem: Problem | None = None) -> None:
    """
    Raises:
        UserError: both flags, or a problem without a solver.
    """
    flag = flag_of(workers, dask)
    if workers is not None and dask is not None:
        raise UserError("--workers are processes of this machine and --dask those of a cluster: leave one of them out")
    if flag and problem is not None and not problem.has_solver:
        raise UserError(f"{flag} is about solves, and there is no solver of {problem.name}: leave it out")


@contextmanager
def pool(workers: int | None, dask: str | None, problem: Problem | None = None) -> Iterator[Executor | None]:
    """The executor that the flags ask for; None for none. Where its work is given up it is stopped, busy or not.

    Raises:
        UserError: as ``check_workers``.
    """
    check_workers(workers, dask, problem)
    if workers is not None:
        with WorkerProcesses(workers) as processes:
            yield processes
    elif dask is not None:
        with cluster(dask) as executor:
            yield executor
    else:
        yield None
