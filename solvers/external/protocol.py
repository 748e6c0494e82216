"""UM-Bridge, protocol 1.0, as a client sees it: questions and answers in JSON over HTTP (Seelinger et al., 2023).

A server that is away, for it died or was not started yet, is asked again, later and later, until it has been away for
as long as one is ready to wait: then a solve has failed. So has one that takes longer than it may, or at which the
server ends time and again. Nothing beyond the standard library is needed.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from ..answers import LONGEST, Refused, Unanswered, printable
from ..files import parse_json

VERSION = 1.0
CONNECT = 10.0  # seconds in which a server that is there takes a connection
FIRST, LATER = 0.1, 2.0  # seconds until an absent server is asked again: at first, and in the end
LOST = 5  # times that a server may end while it is asked the same
SILENT = (60, 10, 6)  # seconds of silence, between probes, and probes, after which a machine that vanished is given up
ABSENT = (502, 503, 504)  # what a load balancer says of a server that is not there
MOST = 1 << 20  # bytes of an answer about a model


class _Away(Exception):
    """There is no server now; ``asked``: it ended after it was asked."""

    def __init__(self, why: str, asked: bool) -> None:
        super().__init__(why)
        self.asked = asked


class Server:
    """One server; may be asked from several threads at once, and be sent to other processes.

    Args:
        url: http://host:port, with a path where it has one, or https.
        limit: seconds that an answer may take; None for any time.
        patience: seconds for which a server may be away.

    Raises:
        ValueError: no such address.
    """

    def __init__(self, url: str, limit: float | None, patience: float) -> None:
        wrong = ValueError(f"the address of a server is http://HOST:PORT, not {url!r}")
        if not isinstance(url, str) or not url.isascii() or not url.isprintable() or " " in url:
            raise wrong
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise wrong from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise wrong
        if parts.username is not None:
            raise ValueError("the address of a server holds no user and password: UM-Bridge knows none")
        self.url, self.limit, self.patience = url.rstrip("/"), limit, patience
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname, port
        self._path = parts.path.rstrip("/")
        self._prepare()

    def _prepare(self) -> None:
        self._lock = threading.Lock()
        self._away_since: float | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_lock", "_away_since")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    def ask(self, what: str, question: dict[str, Any] | None = None, most: int = MOST) -> dict[str, Any]:
        """The answer to POST /what, or GET where there is no question.

        Args:
            most: bytes that it may have.

        Raises:
            Unanswered: why not, in words that follow "the solver": among them what the server says of an error.
            Refused: the answer is no JSON object.
        """
        body = None if question is None else json.dumps(question, allow_nan=False).encode()
        pause, lost = FIRST, 0
        while True:
            try:
                answer = self._once(what, body, most)
                self._away_since = None
                return answer
            except _Away as away:
                lost += away.asked
                self._wait(str(away), lost, pause)
                pause = min(2 * pause, LATER)

    def _wait(self, why: str, lost: int, pause: float) -> None:
        """
        Raises:
            Unanswered: it has been away for too long, or ended too often.
        """
        if lost >= LOST:
            raise Unanswered(f"ended {lost} times when it was asked this: {self.url} {why}")
        with self._lock:
            now = time.monotonic()
            if self._away_since is None:
                self._away_since = now
            left = self._away_since + self.patience - now
        if left <= 0:
            raise Unanswered(f"is away: {self.url} {why}, for {self.patience:g} s")
        time.sleep(min(pause, left))

    def _once(self, what: str, body: bytes | None, most: int) -> dict[str, Any]:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=CONNECT)
        try:
            try:
                connection.connect()
            except OSError as error:
                raise _Away(f"cannot be reached ({_words(error)})", asked=False) from None
            sock = connection.sock  # the connection forgets it when it has an answer
            _probe_silence(sock)
            sock.settimeout(self.limit)
            end = None if self.limit is None else time.monotonic() + self.limit
            try:
                headers = {"Content-Type": "application/json", "Connection": "close"}
                connection.request("GET" if body is None else "POST", f"{self._path}/{what}", body, headers)
                response = connection.getresponse()
                text = _read(sock, response, most, end)
            except TimeoutError:
                raise Unanswered(f"did not answer within {self.limit:g} s") from None
            except (OSError, http.client.HTTPException) as error:
                raise _Away(f"ended while it was asked ({_words(error)})", asked=True) from None
        finally:
            connection.close()
        if response.status in ABSENT and b'"error"' not in text:
            raise _Away(f"says {response.status} {response.reason}", asked=False)
        raised = response.getheader("EXCEPTION_WHAT")  # how the C++ server tells what a model threw
        return _understood(response.status, text or (raised or "").encode())


def _read(sock: socket.socket, response: http.client.HTTPResponse, most: int, end: float | None) -> bytes:
    """All of an answer, within the time that is left of the limit as a whole."""
    pieces, size = [], 0
    while piece := response.read1(1 << 16):
        pieces.append(piece)
        size += len(piece)
        if size > most:
            raise Refused(f"answered with more than {most} bytes, which no answer to this has")
        if end is not None:
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError
            sock.settimeout(left)
    if response.length:  # it promised more
        raise http.client.IncompleteRead(b"", response.length)
    return b"".join(pieces)


def _probe_silence(sock: socket.socket) -> None:
    """Have the system find out when the other machine is gone, which nobody would tell."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in zip(("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"), SILENT, strict=True):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _words(error: Exception) -> str:
    said = getattr(error, "strerror", None) or str(error)
    return " ".join(f"{said or type(error).__name__}".split())


def _understood(status: int, text: bytes) -> dict[str, Any]:
    """
    Raises:
        Unanswered: it is an error, whose type and words are told.
        Refused: no JSON object.
    """
    try:
        answer = parse_json(text)
    except ValueError as error:
        if status != 200:
            raise Unanswered(f"answered with HTTP status {status}: {_shown(text) or 'nothing else'}") from None
        raise Refused(f"answered with what is {error}") from None
    if not isinstance(answer, dict):
        raise Refused(f"answered with JSON that is no object: {_shown(text)}")
    if "error" in answer or status != 200:
        about = answer.get("error")
        kind, words = (about.get("type"), about.get("message")) if isinstance(about, dict) else (None, about)
        raise Unanswered(f"answered with an error, {kind or f'HTTP status {status}'}: {_shown(str(words).encode())}")
    return answer


def _shown(text: bytes) -> str:
    """What a server says, in one line that is not too long."""
    line = printable(text.decode(errors="replace"))
    room = LONGEST * 2 // 3
    return line if len(line) <= room else f"{line[:room]}..."
