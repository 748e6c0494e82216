"""The server's side of UM-Bridge, protocol 1.0: one model, ``forward``, that can be evaluated and nothing else.

Each connection has a thread of its own, which reads, checks and waits; the model answers many of them together
(``guarded_model.py``). What is wrong with a question is told as the protocol tells it: {"error": {"type", "message"}}.
"""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from ..solvers.answers import words
from ..solvers.files import parse_json
from .guarded_model import Blocks, Busy, GuardedModel, Unsolved

MODEL, VERSION = "forward", 1.0
SUPPORT = {"Evaluate": True, "Gradient": False, "ApplyJacobian": False, "ApplyHessian": False}
PER_NUMBER, ROOM = 64, 1 << 16  # bytes of a question, at most: for each input, and for all else
SILENT = 120.0  # seconds after which a connection on which nothing comes is closed


class ProtocolError(Exception):
    """What is answered instead of an answer."""

    def __init__(self, kind: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.kind, self.status = kind, status


class Listener(ThreadingHTTPServer):
    """The address is taken at once; nobody can connect until it is ``answering``.

    Args:
        port: 0 for any that is free.

    Raises:
        OSError: the address cannot be taken.
    """

    daemon_threads, block_on_close = True, False
    request_queue_size = 128

    def __init__(self, model: GuardedModel, host: str, port: int) -> None:
        class Handler(_Handler):
            asked = model

        super().__init__((host, port), Handler, bind_and_activate=False)
        try:
            self.server_bind()
        except BaseException:
            self.server_close()
            raise

    def server_bind(self) -> None:
        """Without asking for the name of this machine, which may take long."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: somebody went away in the middle."""

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Meanwhile questions are taken, in other threads.

        Raises:
            OSError: somebody else listens at the address by now.
        """
        self.server_activate()
        threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True).start()
        try:
            yield
        finally:
            self.shutdown()


class _Handler(BaseHTTPRequestHandler):
    asked: GuardedModel
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "assay", ""
    disable_nagle_algorithm = True  # head and body of an answer are not held back for each other
    timeout = SILENT

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self._reply("GET", b"")

    def do_POST(self) -> None:
        self._reply("POST", self._body())

    def _body(self) -> bytes | ProtocolError:
        """What was sent; the rest of the connection is lost where that cannot be told."""
        most = ROOM + PER_NUMBER * self.asked.problem.inputs.dimension
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            self.close_connection = True
            return ProtocolError("InvalidInput", "the request has no Content-Length", 411)
        if int(length) > most:
            self.close_connection = True
            return ProtocolError("InvalidInput", f"the request has {length} bytes; {most} are enough for any", 413)
        return self.rfile.read(int(length))

    def _reply(self, method: str, body: bytes | ProtocolError) -> None:
        try:
            if isinstance(body, ProtocolError):
                raise body
            status, answer = 200, _answer(self.asked, method, self.path.partition("?")[0], body)
        except ProtocolError as error:
            if error.status < 500:
                self.asked.refused()
            status, answer = error.status, {"error": {"type": error.kind, "message": str(error)}}
        text = json.dumps(answer, allow_nan=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: what is worth a line is counted (``guarded_model.Log``)."""


def _answer(model: GuardedModel, method: str, path: str, body: bytes) -> dict[str, Any]:
    """
    Raises:
        ProtocolError: no such question, model or input; or no answer.
    """
    what = path.strip("/")
    if method == "GET":
        if what == "Info":
            return {"protocolVersion": VERSION, "models": [MODEL]}
        raise ProtocolError("InvalidInput", f"there is nothing at /{what}: GET /Info, or POST", 404)
    if what not in ("ModelInfo", "InputSizes", "OutputSizes", *SUPPORT):
        raise ProtocolError("UnsupportedFeature", f"there is nothing at /{what}", 404)
    question = _question(body)
    name = question.get("name")
    if name != MODEL:
        raise ProtocolError("ModelNotFound", f"there is no model {str(name)[:80]!r}: the model is called {MODEL!r}")
    if what == "ModelInfo":
        return {"support": SUPPORT}
    if not SUPPORT.get(what, True):
        raise ProtocolError("UnsupportedFeature", f"{what} is not supported: a guarded surrogate is evaluated alone")
    config = question.get("config")
    if config not in (None, {}):
        raise ProtocolError("InvalidInput", f"this model takes no config, not even {str(config)[:80]}")
    if what == "InputSizes":
        return {"inputSizes": [model.problem.inputs.dimension]}
    if what == "OutputSizes":
        return {"outputSizes": list(model.output_sizes)}
    return {"output": list(_evaluated(model, _input(model, question.get("input"))))}


def _question(body: bytes) -> dict[str, Any]:
    try:
        question = parse_json(body)
    except ValueError as error:
        raise ProtocolError("InvalidInput", f"the request is {error}") from None
    if not isinstance(question, dict):
        raise ProtocolError("InvalidInput", "the request is JSON, but no object")
    return question


def _input(model: GuardedModel, blocks: Any) -> np.ndarray:
    box = model.problem.inputs
    shape = (
        f"input is one block of {box.dimension} numbers, [[{', '.join(box.names[:4])}{', ...' * (box.dimension > 4)}]]"
    )
    if not isinstance(blocks, list) or len(blocks) != 1 or not isinstance(blocks[0], list):
        raise ProtocolError("InvalidInput", shape)
    block = blocks[0]
    if not all(isinstance(x, int | float) and not isinstance(x, bool) for x in block):
        raise ProtocolError("InvalidInput", f"{shape}: there is something else among them")
    if len(block) != box.dimension:
        raise ProtocolError("InvalidInput", f"{shape}, not of {len(block)}")
    try:
        p: np.ndarray = box.check(np.array([[float(x) for x in block]]))[0]
    except (ValueError, OverflowError) as error:
        raise ProtocolError("InvalidInput", str(error).removeprefix("row 0, ")) from None
    return p


def _evaluated(model: GuardedModel, p: np.ndarray) -> Blocks:
    try:
        asked: Future[Blocks] = model.ask(p)
        return asked.result()
    except Busy as error:
        raise ProtocolError("Busy", str(error), 503) from None
    except Unsolved as error:
        raise ProtocolError("InvalidOutput", str(error), 500) from None
    except Exception as error:
        raise ProtocolError("InternalError", f"the guard raised {words(error)}", 500) from None
