"""A PyTorch module as a surrogate: evaluation mode, deterministic algorithms and no gradients during its calls."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...solvers.identity import check_problem
from ...solvers.problem import Problem
from .adapted import Adapted, Scaling, checked_dtype, checked_scaling, missing, tried

WHEN_RANDOM = "switch off what draws, such as F.dropout(x), which is on unless it is told training=self.training"
PICKLES = (".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".bin")
OF_PICKLES = (
    "is a pickle, which runs code when it is opened, so that it is never opened here: build the module in Python, "
    "module.load_state_dict(torch.load(..., weights_only=True)) and assay.torch_surrogate(module, problem), or export "
    "it with torch.onnx.export"
)


def torch_surrogate(
    module: Any, problem: Problem, *, inputs: Scaling = None, outputs: Scaling = None, dtype: Any = None
) -> Adapted:
    """A PyTorch module: inputs [n, d] to fields [n, N], [n, nodes, components] or [n, times, nodes, components].

    It is called where its parameters are and in their dtype, in chunks. The module itself is left as it is: training
    mode and PyTorch's settings are put back after every call.

    Args:
        inputs: what the module takes, where it is not the input itself: a pair (shift, scale), (P - shift) / scale, or
            a function of P [n, d] in numpy, which may answer in any shape.
        outputs: a pair, shift + scale * answer, or a function of the answer in numpy.
        dtype: what inputs are handed over in, for a module without parameters.

    Raises:
        ValueError: PyTorch is not installed, no module, parameters on several devices or of a type numpy lacks, answers
            of another shape, at random, or none.
    """
    try:
        import torch
    except ImportError:
        raise missing("PyTorch", "torch_surrogate", "torch") from None
    check_problem(problem)
    if isinstance(module, str | os.PathLike):
        raise ValueError(f"{os.fspath(module)!r}: {OF_PICKLES}")
    if not isinstance(module, torch.nn.Module):
        raise ValueError(f"torch_surrogate takes a torch.nn.Module, not {_kind(module)}")
    label = f"the module {type(module).__name__}"
    held = [*module.parameters(), *module.buffers()]
    devices = list(dict.fromkeys(str(x.device) for x in held))
    if len(devices) > 1:
        raise ValueError(f"{label} lies on {', '.join(devices)}: move it to one device with module.to(...)")
    kinds = [x.dtype for x in held if x.is_floating_point()]
    if any(x.dtype.is_complex for x in held) and not kinds:
        kinds = [torch.float64 if any(x.dtype == torch.complex128 for x in held) else torch.float32]
    name = checked_dtype(dtype if dtype is not None else kinds[0] if kinds else torch.get_default_dtype(), label)
    device = devices[0] if devices else "cpu"
    if device.startswith("cuda"):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic cuBLAS asks for it
    run = _Run(module, device)
    scaling = checked_scaling(inputs, "inputs"), checked_scaling(outputs, "outputs")
    return tried(Adapted(problem, label, run, name, *scaling), WHEN_RANDOM)


def _kind(given: Any) -> str:
    """What stands where a module should, and how it becomes one."""
    if isinstance(given, type):
        return f"the class {given.__name__}: build it, and load its weights"
    if isinstance(given, Mapping):
        return f"a {type(given).__name__}: build the module, and module.load_state_dict(...) of these weights"
    return f"a {type(given).__name__}"


@dataclass(frozen=True, eq=False)
class _Run:
    module: Any
    device: str

    def __call__(self, rows: np.ndarray) -> Any:
        import torch

        with _as_evaluated(self.module), torch.no_grad():
            answer = self.module(torch.from_numpy(np.ascontiguousarray(rows)).to(self.device))
            if not isinstance(answer, torch.Tensor):
                return answer
            answer = answer.detach().cpu()
            return (answer.double() if answer.is_floating_point() else answer).numpy()


@contextmanager
def _as_evaluated(module: Any) -> Iterator[None]:
    """Evaluation mode and deterministic algorithms, all as before afterwards."""
    import torch

    training = [part for part in module.modules() if part.training]
    wanted = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        module.eval()
        torch.use_deterministic_algorithms(True)
        yield
    finally:
        torch.use_deterministic_algorithms(wanted[0], warn_only=wanted[1])
        for part in training:
            part.training = True
