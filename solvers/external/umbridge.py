"""A model behind a UM-Bridge server as a problem: any solver, in any language, on any machine.

The blocks of numbers that such a model takes and gives are laid one after another: input j of the box is number j of
all blocks in their order, and so are the values of a field.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from ..answers import Refused, Unanswered
from ..box import Box
from ..problems.black_box import BlackBox, black_box, checked_limit
from ..problems.catalogue import closest
from ..real import real_array
from .protocol import VERSION, Server

PER_NUMBER = 64  # bytes of a number in an answer, at most
STARTING, TELLING = 5.0, 60.0  # seconds in which a server must be there, and tell what it has, to make a problem of it


@dataclass(frozen=True)
class RemoteModel:
    """One model of a server; called with an input it gives a field."""

    server: Server
    name: str
    config: dict[str, Any]
    input_sizes: tuple[int, ...]
    output_sizes: tuple[int, ...]
    outputs: tuple[int, ...]  # the blocks that a field is made of
    support: tuple[str, ...]

    def __call__(self, p: Float[np.ndarray, " d"]) -> Float[np.ndarray, " N"]:
        """
        Raises:
            Unanswered, Refused: as ``Server.ask``, or the answer is of another size.
        """
        blocks = self._ask("Evaluate", {"input": self._blocks(p)}, sum(self.output_sizes))
        sizes = tuple(len(block) if isinstance(block, list) else -1 for block in blocks)
        if sizes != self.output_sizes:
            raise Refused(
                f"answered with blocks of {list(sizes)} numbers, where {list(self.output_sizes)} are declared"
            )
        return np.concatenate([_numbers(blocks[k]) for k in self.outputs])

    def gradient(self, p: Float[np.ndarray, " d"], w: Float[np.ndarray, " N"]) -> Float[np.ndarray, " d"]:
        """The derivatives of sum_i w_i u_i(p): by Gradient, or by ApplyJacobian, one question an input.

        Raises:
            Unanswered, Refused: as ``__call__``.
        """
        sens = np.split(w, np.cumsum([self.output_sizes[k] for k in self.outputs])[:-1])
        parts = []
        for j, size in enumerate(self.input_sizes):
            part = np.zeros(size)
            for k, weights in zip(self.outputs, sens, strict=True):
                part += self._pulled_back(p, j, k, weights)
            parts.append(part)
        return np.concatenate(parts)

    def _pulled_back(self, p: np.ndarray, j: int, k: int, w: np.ndarray) -> Float[np.ndarray, " d"]:
        """w, of output block k, through the Jacobian of input block j."""
        about = {"outWrt": k, "inWrt": j, "input": self._blocks(p)}
        size = self.input_sizes[j]
        if "Gradient" in self.support:
            return self._vector("Gradient", {**about, "sens": w.tolist()}, size)
        columns = [self._vector("ApplyJacobian", {**about, "vec": e}, len(w)) for e in np.eye(size).tolist()]
        return np.array([float(w @ column) for column in columns])

    def _vector(self, what: str, question: dict[str, Any], size: int) -> Float[np.ndarray, " size"]:
        found = _numbers(self._ask(what, question, size))
        if found.shape != (size,):
            raise Refused(f"answered {what} with {found.size} numbers, not {size}")
        return found

    def _ask(self, what: str, question: dict[str, Any], size: int) -> list[Any]:
        question = {"name": self.name, **question, "config": self.config}
        answer = self.server.ask(what, question, PER_NUMBER * (size + 1024)).get("output")
        if not isinstance(answer, list):
            raise Refused(f"answered {what} without a list called output")
        return answer

    def _blocks(self, p: np.ndarray) -> list[list[float]]:
        return [part.tolist() for part in np.split(p, np.cumsum(self.input_sizes)[:-1])]

    def identity(self) -> str:
        """A hash of the model's name, its config, its sizes and the chosen outputs; not of where it is served."""
        about = [self.name, self.config, self.input_sizes, self.output_sizes, self.outputs]
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def umbridge(
    url: str,
    model: str | None = None,
    box: Box | None = None,
    coordinates: Any = None,
    *,
    config: dict[str, Any] | None = None,
    output: int | None = None,
    name: str | None = None,
    time_limit: float | None = None,
    patience: float = 60.0,
    at_once: int = 4,
    **options: Any,
) -> BlackBox:
    """A problem that a UM-Bridge server solves: ``umbridge("http://127.0.0.1:4242", "forward", box)``.

    Nothing is solved to make it: the server tells the sizes of its model. Derivatives of ``problem.solve`` in reverse
    mode are the model's own, where it has Gradient or ApplyJacobian.

    Files know the model by its name, config and sizes, not by where it is served: another program behind the same three
    is not told apart, so give ``name`` its version.

    Args:
        model: its name there; may be left out where the server has one model.
        box: one input for every number that the model takes, block after block.
        config: what the model is to be told with every question, such as {"level": 2}.
        output: the number of the block of outputs that is the field, from 0; by default all of them, one after another.
        name: stands in every file; by default the model's.
        time_limit: seconds that an answer may take, its wait for others at the server included.
        patience: seconds for which a server may be away before a solve has failed. One that died and is started again
            meanwhile is asked again: no solve is lost.
        at_once: questions that are on their way at a time, where many are to be solved and no executor is given.
        options: as of ``black_box``: norm, components, offset, residual, loosen, relations.

    Raises:
        ValueError: no server, protocol or model of that kind, or a box of another size than its inputs.
    """
    if not isinstance(box, Box):
        raise ValueError(f"box= is a Box(names, lower, upper), one input for every number, not {type(box).__name__}")
    if isinstance(at_once, bool) or not isinstance(at_once, int) or at_once < 1:
        raise ValueError(f"at_once is a whole number of questions, at least 1, not {at_once!r}")
    if isinstance(patience, bool) or not isinstance(patience, int | float) or not 0 <= patience < np.inf:
        raise ValueError(f"patience is a number of seconds, at least 0, not {patience!r}")
    for key in ("size", "gradient"):
        if key in options:
            raise ValueError(f"the server tells the {key} of its model: leave {key}= out")
    try:
        settings: dict[str, Any] = json.loads(json.dumps(config or {}, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"config holds what JSON has no word for: {error}") from None
    limit = None if time_limit is None else checked_limit(time_limit)
    remote = _found(Server(url, limit, float(patience)), model, settings, output)
    if sum(remote.input_sizes) != box.dimension:
        raise ValueError(
            f"{remote.name} takes {sum(remote.input_sizes)} numbers, in blocks of {list(remote.input_sizes)}, but the "
            f"box has {box.dimension} inputs ({box.listed})"
        )
    differentiable = {"Gradient", "ApplyJacobian"} & {*remote.support}
    made = black_box(
        remote,
        box,
        coordinates,
        name=remote.name if name is None else name,
        size=sum(remote.output_sizes[k] for k in remote.outputs),
        gradient=remote.gradient if differentiable else None,
        **options,
    )
    return replace(made, identified=remote.identity(), at_once=at_once)


def _found(server: Server, model: str | None, config: dict[str, Any], output: int | None) -> RemoteModel:
    """What the server says of the model.

    Raises:
        ValueError: it is not there, or not as it should be.
    """
    first = Server(server.url, TELLING, min(STARTING, server.patience))
    try:
        info = first.ask("Info")
        if info.get("protocolVersion") != VERSION:
            raise Refused(f"speaks version {info.get('protocolVersion')!r} of the protocol, not {VERSION}")
        name = _chosen(server.url, info.get("models"), model)
        about = {"name": name, "config": config}
        support = first.ask("ModelInfo", about).get("support")
        inputs = _sizes(first.ask("InputSizes", about), "inputSizes")
        outputs = _sizes(first.ask("OutputSizes", about), "outputSizes")
    except (Unanswered, Refused) as error:
        raise ValueError(f"the UM-Bridge server at {server.url} {error}") from None
    can = tuple(sorted(key for key, has in support.items() if has is True)) if isinstance(support, dict) else ()
    if "Evaluate" not in can:
        raise ValueError(
            f"the model {name} at {server.url} cannot be evaluated: it supports {', '.join(can) or 'nothing'}"
        )
    if output is not None and (
        isinstance(output, bool) or not isinstance(output, int) or not 0 <= output < len(outputs)
    ):
        raise ValueError(f"output is the number of a block, from 0 to {len(outputs) - 1}, not {output!r}")
    chosen = tuple(range(len(outputs))) if output is None else (output,)
    if not sum(outputs[k] for k in chosen):
        raise ValueError(f"the model {name} at {server.url} answers with no numbers: its blocks are {list(outputs)}")
    return RemoteModel(server, name, config, inputs, outputs, chosen, can)


def _chosen(url: str, names: Any, model: str | None) -> str:
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise Refused(f"names no models: {str(names)[:80]}")
    if model is None and len(names) > 1:
        raise ValueError(f"the server at {url} has several models: say which, {' or '.join(names)}")
    if model is not None and model not in names:
        raise closest(model, names, f"model at {url}")
    return names[0] if model is None else model


def _sizes(answer: dict[str, Any], key: str) -> tuple[int, ...]:
    sizes = answer.get(key)
    if not isinstance(sizes, list) or not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in sizes):
        raise Refused(f"answered with {key} that are no whole numbers: {str(sizes)[:80]}")
    return tuple(sizes)


def _numbers(block: Any) -> Float[np.ndarray, " n"]:
    if not isinstance(block, list) or not all(isinstance(x, int | float) and not isinstance(x, bool) for x in block):
        null = " but holds null, as some servers write NaN" if isinstance(block, list) and None in block else ""
        raise Refused(f"answered with a block that is no list of numbers{null}")
    return real_array(block, "answered with", Refused).reshape(-1)
