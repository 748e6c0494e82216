"""An ONNX file as a surrogate. A file of operators and numbers: ONNX Runtime opens it, with no operator but its own."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ...solvers.answers import words
from ...solvers.batching import without_caches
from ...solvers.identity import check_problem
from ...solvers.problem import Problem
from .adapted import Adapted, Scaling, checked_dtype, checked_scaling, missing, tried
from .torch_module import OF_PICKLES, PICKLES

WHEN_RANDOM = "export it in evaluation mode, without dropout or random operators (module.eval() before the export)"
DEVICES = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
NUMBER, PLACE = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : "), re.compile(r"/\S*onnxruntime\S*:\d+ .*?\) ")
# How a file tells where weights lie outside of it: an entry of two strings, "location" and a path of at most 127 bytes.
# The path is only looked at, since the next entry may begin within 127 bytes.
BESIDE = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])(?=([^\x00]{1,127}))", re.DOTALL)
TYPES = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16"}


def onnx_surrogate(
    path: str | os.PathLike[str],
    problem: Problem,
    *,
    inputs: Scaling = None,
    outputs: Scaling = None,
    output: str | None = None,
    device: str = "cpu",
) -> Adapted:
    """An ONNX file that maps inputs [n, d] to fields [n, N], [n, nodes, components] or [n, times, nodes, components].

    Args:
        inputs, outputs: how inputs and answers are scaled, or reshaped (as of ``torch_surrogate``).
        output: the name of the field, where the file has several outputs.
        device: "cpu" or "cuda".

    Raises:
        ValueError: ONNX Runtime is not installed; no such file; not ONNX, an operator that it does not know, or of
            another shape or type than this problem's; answers at random.
    """
    check_problem(problem)
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"onnx_surrogate takes the path of an ONNX file, not a {type(path).__name__}: save it first")
    label, session = str(path), _Session(Path(path), device, output)
    taken, given = session.takes, session.gives
    dtype = TYPES.get(taken.type) or checked_dtype(str(taken.type).removeprefix("tensor(").rstrip(")"), label)
    box, rows = problem.inputs, taken.shape[0] if taken.shape else None
    if inputs is None and (len(taken.shape) != 2 or _fixed(taken.shape[1], box.dimension) != box.dimension):
        raise ValueError(
            f"{label} takes inputs {_shape(taken.shape)}, and {problem.name} has [n, {box.dimension}] "
            f"({box.listed}): is it of another problem? Else say with inputs=, a function, what it takes"
        )
    values = [_fixed(k, None) for k in given.shape[1:]]
    if outputs is None and None not in values and prod(values) != problem.size:  # type: ignore[arg-type]
        raise ValueError(
            f"{label} answers {_shape(given.shape)}, and a field of {problem.name} has {problem.size} values "
            f"({problem.settings}): is it of another problem, or of other settings?"
        )
    scaling = checked_scaling(inputs, "inputs"), checked_scaling(outputs, "outputs")
    return tried(Adapted(problem, label, session, dtype, *scaling, rows=_fixed(rows, None)), WHEN_RANDOM)


def _fixed(length: Any, otherwise: int | None) -> int | None:
    """An axis's length, where the file fixes it: others have names, or none."""
    return length if isinstance(length, int) else otherwise


def _shape(shape: list[Any]) -> str:
    return f"[{', '.join(str(k) if k is not None else '?' for k in shape)}]"


@dataclass(frozen=True, eq=False)
class _Session:
    """What ONNX Runtime opened; in another process it is opened again, if the file is still the same."""

    path: Path
    device: str
    output: str | None
    sha256: str = ""

    def __post_init__(self) -> None:
        found = self._read()
        if self.sha256 not in ("", found):
            raise ValueError(f"{self.path} was changed since it was opened: open it again")
        object.__setattr__(self, "sha256", found)

    def _read(self) -> str:
        if self.path.suffix in PICKLES:
            raise ValueError(f"{self.path} {OF_PICKLES}")
        if not self.path.is_file():
            raise ValueError(f"there is no ONNX file at {self.path}")
        content = self.path.read_bytes()
        digest = hashlib.sha256(content)
        for length, name in sorted(set(BESIDE.findall(content))):  # weights that the file keeps in others
            beside = self.path.parent / name[: length[0]].decode(errors="replace")
            if beside.is_file():  # else ONNX Runtime says that it is missing
                with beside.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        return without_caches(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()

    @cached_property
    def opened(self) -> Any:
        try:
            import onnxruntime
        except ImportError:
            raise missing("ONNX Runtime", "onnx_surrogate", "onnx") from None
        if self.device not in DEVICES:
            raise ValueError(f"the device is one of {', '.join(DEVICES)}, not {self.device!r}")
        if DEVICES[self.device] not in onnxruntime.get_available_providers():
            raise ValueError(f"this ONNX Runtime does not compute on {self.device}: pip install onnxruntime-gpu")
        options = onnxruntime.SessionOptions()
        options.use_deterministic_compute = True
        options.log_severity_level = 4  # what is wrong is raised, and told once
        if hasattr(os, "sched_getaffinity"):  # as many as this process has: told, the runtime pins none of them
            options.intra_op_num_threads = len(os.sched_getaffinity(0))
        try:
            return onnxruntime.InferenceSession(str(self.path), options, providers=[DEVICES[self.device]])
        except Exception as error:  # of the runtime's own kinds
            raise ValueError(f"{self.path} {_why(error)}") from None

    @cached_property
    def takes(self) -> Any:
        """Its one input."""
        return self._one(self.opened.get_inputs(), None, "inputs", "export a model of one array of inputs [n, d]")

    @cached_property
    def gives(self) -> Any:
        """The output that is the field."""
        remedy = "say with output= which one is the field, or export that one alone"
        return self._one(self.opened.get_outputs(), self.output, "outputs", remedy)

    def _one(self, those: list[Any], wanted: str | None, what: str, remedy: str) -> Any:
        names = [each.name for each in those]
        if wanted is not None and wanted not in names:
            raise ValueError(f"{self.path} has no output {wanted!r}: there are {', '.join(names)}")
        if wanted is None and len(those) != 1:
            raise ValueError(f"{self.path} has {len(those)} {what} ({', '.join(names)}): {remedy}")
        return those[0 if wanted is None else names.index(wanted)]

    def __call__(self, rows: np.ndarray) -> Any:
        run, asked, fed = self.opened.run, [self.gives.name], {self.takes.name: rows}
        try:
            return run(asked, fed)[0]
        except Exception as error:  # of the runtime's own kinds
            said, many = _said(error), f"of {len(rows)} rows (export it with a dynamic first axis): "
            raise RuntimeError(f"{many if 'shape' in said or 'dimension' in said else ''}{said}") from None


def _why(error: Exception) -> str:
    text, kind = _said(error), type(error).__name__
    if kind == "InvalidProtobuf":
        return "is no ONNX file, or damaged: export it again"
    if any(sign in text for sign in ("No Op registered", "not a registered function", "Could not find an impl")):
        return (
            f"uses an operator that ONNX Runtime does not compute ({text}): export it with standard operators, another "
            "opset_version, or in float32"
        )
    if any(sign in text for sign in ("IR version", "Opset")):
        return f"is of a newer format than this ONNX Runtime reads ({text}): update onnxruntime, or lower opset_version"
    if "External data" in text:
        return f"keeps its weights in another file, which must lie beside it ({text}): copy both, or export one file"
    return f"cannot be opened by ONNX Runtime ({text}): export it again"


def _said(error: Exception) -> str:
    """What it says, without its number and the place in its own source, which come first and leave no room."""
    text = PLACE.sub("", NUMBER.sub("", str(error)))
    return words(RuntimeError(text)).removeprefix("RuntimeError: ")
