"""CROWN and its relatives by the package bound-propagation, in an environment of its own: a script, never imported.

Run by the peer's interpreter, which needs torch and bound-propagation (GPL) but nothing of this package:

    PEER_PYTHON crown_worker.py

Reads one JSON request per line: {"model": FILE.npz, "boxes": FILE.npz, "out": FILE.npz, "kind", "method", "dtype",
"clear"}; writes the bounds to ``out`` and answers {"seconds": of the bounds alone} or {"error": ...}. Kinds of model:

    network     W_i, b_i: a tanh network
    scalar      ``function``: x and one elementary function of it
    product     x tanh(x)
    second      W_i, b_i of two hidden layers, and ``axis``: its second derivative along the axis
    residual    W_i, b_i, A, a: exp(A x + a) * network(x), times the matrix ``output`` of each box

Methods: ibp, crown, crown-ibp, alpha-crown.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

import bound_propagation as peer
import numpy as np
import torch
from bound_propagation.bounds import LinearBounds
from torch import nn

SCALARS = {
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "exp": peer.Exp,
    "sin": peer.Sin,
    "cos": peer.Cos,
    "square": lambda: peer.Pow([2]),
    "cube": lambda: peer.Pow([3]),
}


def linear(W: np.ndarray, b: np.ndarray, dtype: torch.dtype) -> nn.Linear:
    out = nn.Linear(W.shape[1], W.shape[0]).to(dtype)
    out.weight.data, out.bias.data = torch.tensor(W, dtype=dtype), torch.tensor(b, dtype=dtype)
    return out


def tanh_network(model: Any, dtype: torch.dtype) -> list[nn.Module]:
    count = sum(name.startswith("W_") for name in model)
    modules: list[nn.Module] = []
    for i in range(count):
        modules += [linear(model[f"W_{i}"], model[f"b_{i}"], dtype), nn.Tanh()]
    return modules[:-1]


def scalar(model: Any, dtype: torch.dtype) -> nn.Module:
    return nn.Sequential(peer.Parallel(nn.Identity(), SCALARS[str(model["function"])]()))


def product(model: Any, dtype: torch.dtype) -> nn.Module:
    return peer.Mul(nn.Identity(), nn.Tanh())


def residual(model: Any, dtype: torch.dtype) -> nn.Module:
    growth = nn.Sequential(linear(model["A"], model["a"], dtype), peer.Exp())
    return peer.Mul(growth, nn.Sequential(*tanh_network(model, dtype)))


def second(model: Any, dtype: torch.dtype) -> nn.Module:
    """With t = tanh z: t' = (1 - t^2) z', t'' = (1 - t^2) z'' - 2 t (1 - t^2) z'^2, both layers written out.

    z' of the first layer is constant, so everything behind it is a function of h = tanh(z_1). The package has no
    derivative of tanh; its powers and products (McCormick) have to do.
    """
    W, b = [[np.asarray(model[f"{x}_{i}"]) for i in range(3)] for x in "Wb"]
    w = W[0][:, int(model["axis"])]
    n, m = W[1].shape[1], W[1].shape[0]

    def times(a: np.ndarray, b: np.ndarray) -> nn.Module:
        return peer.ElementWiseLinear(torch.tensor(a, dtype=dtype), torch.tensor(b, dtype=dtype))

    def bend(size: int, factor: np.ndarray) -> nn.Module:
        """factor (1 - t^2)."""
        return nn.Sequential(peer.Pow([2] * size), times(-factor, factor))

    def curve(size: int, factor: np.ndarray) -> nn.Module:
        """-2 factor (t - t^3), as the product t (1 - t^2), or with the package's third power."""
        if "cubes" in model:
            cubes = nn.Sequential(peer.Pow([3] * size), times(2 * factor, 0 * factor))
            return peer.Add(times(-2 * factor, 0 * factor), cubes)
        return peer.Mul(times(np.ones(size), np.zeros(size)), bend(size, -2 * factor))

    one = np.ones(m)
    first = linear(W[1], np.zeros(m), dtype)
    values = nn.Sequential(linear(W[1], b[1], dtype), nn.Tanh())
    slopes = nn.Sequential(bend(n, w), first)
    curvatures = nn.Sequential(curve(n, w**2), first)
    left = peer.Mul(nn.Sequential(values, bend(m, one)), curvatures)
    right = peer.Mul(nn.Sequential(values, curve(m, one)), nn.Sequential(slopes, peer.Pow([2] * m)))
    head = linear(W[2], np.zeros(1), dtype)
    return nn.Sequential(linear(W[0], b[0], dtype), nn.Tanh(), peer.Add(left, right), head)


def build(model: Any, kind: str, dtype: torch.dtype) -> Any:
    makers = {"scalar": scalar, "product": product, "second": second, "residual": residual}
    module = makers[kind](model, dtype) if kind in makers else nn.Sequential(*tanh_network(model, dtype))
    return peer.BoundModelFactory().build(module)


def bounds(bound: Any, method: str, low: torch.Tensor, high: torch.Tensor, output: torch.Tensor | None) -> Any:
    """Interval bounds by one method; ``output`` [n, r, m] as the last layer, a different one for each box."""
    region = peer.HyperRectangle(low, high)
    if output is not None:
        if method == "ibp":
            inner = bound.ibp(region)
            mid, rad = (inner.lower + inner.upper) / 2, (inner.upper - inner.lower) / 2
            centre, spread = (torch.einsum("nrm,nm->nr", w, x) for w, x in ((output, mid), (output.abs(), rad)))
            return peer.IntervalBounds(region, centre - spread, centre + spread)
        bound.propagate_size(low.shape[1])
        bound.crown_relax(region)
        none = torch.zeros(output.shape[:2], dtype=low.dtype)
        start = LinearBounds(region, (output, none), (output, none))
        out = bound.crown_backward(start, False).concretize()
        bound.clear_relaxation()
        return out
    if method == "ibp":
        return bound.ibp(region)
    if method == "crown-ibp":
        return bound.crown_ibp(region).concretize()
    return bound.crown(region, alpha=method == "alpha-crown").concretize()


def forget(bound: Any) -> None:
    """Clears every relaxation of an earlier call: ``BoundMul.clear_relaxation`` leaves those of its factors, so that a
    second call on other boxes would reuse the bounds of the first.
    """
    for module in bound.modules():
        if isinstance(module, peer.BoundModule):
            module.clear_relaxation()


def answer(request: dict[str, Any], built: dict[tuple[str, ...], Any]) -> dict[str, Any]:
    dtype = getattr(torch, request["dtype"])
    key = (request["model"], request["kind"], request["dtype"])
    if key not in built:
        built[key] = build(dict(np.load(request["model"])), request["kind"], dtype)
    boxes = np.load(request["boxes"])
    low, high = (torch.tensor(boxes[name], dtype=dtype) for name in ("low", "high"))
    output = torch.tensor(boxes["output"], dtype=dtype) if "output" in boxes else None
    if request["clear"]:
        forget(built[key])
    start = time.perf_counter()
    out = bounds(built[key], request["method"], low, high, output)
    seconds = time.perf_counter() - start
    found = {name: getattr(out, name).detach().double().numpy() for name in ("lower", "upper")}
    np.savez(request["out"], **found)
    return {"seconds": seconds}


def main() -> None:
    logging.disable(logging.WARNING)  # alpha-CROWN without parameters to optimise: what it bounds is what counts
    built: dict[tuple[str, ...], Any] = {}
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line), built)
        except Exception as error:  # whatever the package raises is a result of the comparison
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
