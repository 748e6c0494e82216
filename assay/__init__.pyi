"""The public names, and where each comes from: read by type checkers, and by ``lazy_loader`` when one is asked for."""

from . import benchmarks as benchmarks
from . import solvers as solvers
from . import surrogates as surrogates
from . import verify as verify
from .formats.file_check import FileCheck, check_file
from .repairs.repair import Repair, repair
from .solvers.box import Box
from .solvers.datasets.dataset import Dataset, dataset
from .solvers.datasets.files import load_dataset, save_dataset
from .solvers.external.command import command
from .solvers.external.umbridge import umbridge
from .solvers.outputs import Output, output
from .solvers.problem import Problem, Solution, SolveError, solve
from .solvers.problems.affine import affine
from .solvers.problems.black_box import black_box
from .solvers.problems.catalogue import problem
from .solvers.processes.worker_processes import WorkerProcesses
from .solvers.snapshots.sample import Snapshots, load_snapshots, sample
from .surrogates import (
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
from .verify.audit import Audit, audit
from .verify.boxes.map_file import load_trust_map
from .verify.boxes.trust_map import TrustMap
from .verify.certificate import Certificate
from .verify.certify import certify
from .verify.certify_box import certify_box
from .verify.enclose import enclose
from .verify.evidence import Evidence
from .verify.falsification import Falsification
from .verify.falsify import falsify
from .verify.guard import Answer, Guard, guard
from .verify.guard_steps import StepGuard, StepsAnswer, guard_steps
from .verify.precision.precision import Precision, precision
from .verify.prepare import prepare
from .verify.proofs.constants import Prepared
from .verify.relations.broken_relations import BrokenRelation, broken_relations
from .verify.search.counterexample import Counterexample, replay
from .verify.search.regions import Region
from .verify.search.unsolved_input import UnsolvedInput
from .verify.shifts.shifts import Shifts, shifts
from .verify.statistical_guard import StatisticalGuard
from .verify.statistics.calibrate import calibrate
from .verify.statistics.calibration import Calibration, load_calibration
from .verify.statistics.conformal import Bars, conformal
from .verify.statistics.failure_probability import failure_probability
from .verify.statistics.probability import FailureProbability
from .verify.tangent.tangent_map import TangentMap, tangent_map

__version__: str

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
    "FileCheck",
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
    "WorkerProcesses",
    "__version__",
    "affine",
    "audit",
    "black_box",
    "broken_relations",
    "calibrate",
    "certify",
    "certify_box",
    "check_file",
    "command",
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
    "umbridge",
]
