"""Find where a neural surrogate of a PDE solver fails, prove how wrong it can be, and run it guarded."""

import os
from pathlib import Path

from . import starting

starting.begin()

import jax  # noqa: E402

__version__ = "0.1.0"

# Certificates are statements about float64 arithmetic, so 64-bit must be on before any array is made.
jax.config.update("jax_enable_x64", True)

# With one processor only, a solve that calls back to the host can wait for itself: JAX queues the call behind the
# computation that asked for it, and the copy of what it is given behind the call, which waits for that. So the
# computation is not queued, and XLA, which reads NPROC, gets a second thread for the copy.
if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) == 1:
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    os.environ.setdefault("NPROC", "2")

# In a checkout, assay/solvers and its sisters are links to the folders at the root. Where the links did not survive
# (a zip download, git without symbolic links) the root itself becomes a second place to look for them.
_ROOT = Path(__file__).resolve().parent.parent
if not (_ROOT / "assay" / "solvers").is_dir():
    __path__.append(str(_ROOT))

# Public names.
from .repairs.repair import Repair, repair  # noqa: E402
from .solvers.box import Box  # noqa: E402
from .solvers.datasets.dataset import Dataset, dataset  # noqa: E402
from .solvers.datasets.files import load_dataset, save_dataset  # noqa: E402
from .solvers.outputs import Output, output  # noqa: E402
from .solvers.problem import Problem, Solution, SolveError, solve  # noqa: E402
from .solvers.problems.affine import affine  # noqa: E402
from .solvers.problems.black_box import black_box  # noqa: E402
from .solvers.problems.catalogue import problem  # noqa: E402
from .solvers.snapshots.sample import Snapshots, load_snapshots, sample  # noqa: E402
from .surrogates import (  # noqa: E402
    Ensemble,
    Surrogate,
    ensemble,
    jax_surrogate,
    load,
    onnx_surrogate,
    save,
    sklearn_surrogate,
    torch_surrogate,
    train,
)
from .verify.audit import Audit, audit  # noqa: E402
from .verify.boxes.map_file import load_trust_map  # noqa: E402
from .verify.boxes.trust_map import TrustMap  # noqa: E402
from .verify.certificate import Certificate  # noqa: E402
from .verify.certify import certify  # noqa: E402
from .verify.certify_box import certify_box  # noqa: E402
from .verify.enclose import enclose  # noqa: E402
from .verify.evidence import Evidence  # noqa: E402
from .verify.falsification import Falsification  # noqa: E402
from .verify.falsify import falsify  # noqa: E402
from .verify.guard import Answer, Guard, guard  # noqa: E402
from .verify.guard_steps import StepGuard, StepsAnswer, guard_steps  # noqa: E402
from .verify.precision.precision import Precision, precision  # noqa: E402
from .verify.prepare import prepare  # noqa: E402
from .verify.proofs.constants import Prepared  # noqa: E402
from .verify.relations.broken_relations import BrokenRelation, broken_relations  # noqa: E402
from .verify.search.counterexample import Counterexample, replay  # noqa: E402
from .verify.search.regions import Region  # noqa: E402
from .verify.search.unsolved_input import UnsolvedInput  # noqa: E402
from .verify.shifts.shifts import Shifts, shifts  # noqa: E402
from .verify.statistical_guard import StatisticalGuard  # noqa: E402
from .verify.statistics.calibrate import calibrate  # noqa: E402
from .verify.statistics.calibration import Calibration, load_calibration  # noqa: E402
from .verify.statistics.conformal import Bars, conformal  # noqa: E402
from .verify.statistics.failure_probability import failure_probability  # noqa: E402
from .verify.statistics.probability import FailureProbability  # noqa: E402
from .verify.tangent.tangent_map import TangentMap, tangent_map  # noqa: E402

starting.over()

__all__ = [
    "Answer",
    "Audit",
    "Bars",
    "Box",
    "BrokenRelation",
    "Calibration",
    "Certificate",
    "Counterexample",
    "Dataset",
    "Ensemble",
    "Evidence",
    "FailureProbability",
    "Falsification",
    "Guard",
    "Output",
    "Precision",
    "Prepared",
    "Problem",
    "Region",
    "Repair",
    "Shifts",
    "Snapshots",
    "Solution",
    "SolveError",
    "StatisticalGuard",
    "StepGuard",
    "StepsAnswer",
    "Surrogate",
    "TangentMap",
    "TrustMap",
    "UnsolvedInput",
    "__version__",
    "affine",
    "audit",
    "black_box",
    "broken_relations",
    "calibrate",
    "certify",
    "certify_box",
    "conformal",
    "dataset",
    "enclose",
    "ensemble",
    "failure_probability",
    "falsify",
    "guard",
    "guard_steps",
    "jax_surrogate",
    "load",
    "load_calibration",
    "load_dataset",
    "load_snapshots",
    "load_trust_map",
    "onnx_surrogate",
    "output",
    "precision",
    "prepare",
    "problem",
    "repair",
    "replay",
    "sample",
    "save",
    "save_dataset",
    "shifts",
    "sklearn_surrogate",
    "solve",
    "tangent_map",
    "torch_surrogate",
    "train",
]
