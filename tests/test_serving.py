"""`assay serve`: what is guarded is served as such, to many at once, and what is no question is told."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import umbridge as theirs

import assay
from assay.cli import run
from assay.serving.guarded_model import EVIDENCE, NO_BOUND, NOTES, WAITING, Busy, GuardedModel, Log, account
from assay.serving.http_server import Listener
from assay.verify.evidence import Evidence
from assay.verify.guard import guard
from assay.verify.guarded import ROUTES

BLOCK = assay.problem("thermal-block", blocks=(2, 1), cells=4)
P = BLOCK.inputs.sample(12, 3)
SQUARE = assay.Box(("a", "b"), [0.0, 0.0], [1.0, 1.0])


def partly_wrong(P):
    """Exact, quite wrong, and no answer at all, by the first input."""
    P = np.asarray(P)
    factor = np.where(P[:, 0] < 0.6, 1.0, np.where(P[:, 0] < 1.2, 1.5, np.nan))
    return factor[:, None] * np.asarray(BLOCK.solve_batch(P))


def flaky(p):
    if p[0] > 0.9:
        raise RuntimeError("licence server: no seats left")
    return np.array([p[0], 1.0, p[1]])


class Parts:
    """A guard that is made of two functions."""

    def __init__(self, without_solving, by_solving=None):
        self.without_solving, self.by_solving = without_solving, by_solving


def whole(fn):
    """One that needs no solve."""
    return Parts(lambda P: (fn(P), np.zeros(len(P), dtype=bool)))


def work_off(model, asked, tell=lambda: None):
    """All that was asked, and no more."""
    model.work(lambda: (tell(), model.stop()) if all(one.done() for one in asked) else None)


@contextmanager
def served(guarded, problem, output=None):
    """Its model, and its address."""
    model = GuardedModel(guarded, problem, output)
    listener = Listener(model, "127.0.0.1", 0)
    worker = threading.Thread(target=model.work)
    worker.start()
    try:
        with listener.answering():
            yield model, f"http://127.0.0.1:{listener.server_port}"
    finally:
        model.stop()
        worker.join()
        listener.server_close()


@pytest.fixture(scope="module")
def block():
    guarded = guard(BLOCK, partly_wrong, 1e-2)
    with served(guarded, BLOCK) as (model, url):
        yield guarded, model, url


@pytest.fixture(scope="module")
def square():
    problem = assay.black_box(flaky, SQUARE, size=3, name="flaky")
    with served(guard(problem, lambda P: np.ones((len(P), 3)), 1e-2), problem) as (model, url):
        yield problem, model, url


def ask(url, what, body=None, method=None):
    """Status and JSON."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    text = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method or ("GET" if body is None else "POST"), f"/{what}", text)
    response = connection.getresponse()
    said = response.read()
    connection.close()
    return response.status, json.loads(said) if said else None


def test_their_client_gets_what_the_guard_answers_to_the_bit(block):
    guarded, _, url = block
    assert theirs.supported_models(url) == ["forward"]
    model = theirs.HTTPModel(url, "forward")
    assert model.supports_evaluate()
    assert not (model.supports_gradient() or model.supports_apply_jacobian() or model.supports_apply_hessian())
    assert model.get_input_sizes() == [2] and model.get_output_sizes() == [BLOCK.size, 1, 1, 1]
    expected = guarded(P)
    assert {*expected.route} >= {"accepted", "solved"}
    for i, p in enumerate(P):
        u, route, bound, evidence = model([p.tolist()])
        np.testing.assert_array_equal(u, expected.u[i])
        assert ROUTES[int(route[0])] == expected.route[i] and bound == [expected.error_upper[i]]
        assert EVIDENCE[int(evidence[0])] is Evidence.PROVED
        truth = np.asarray(BLOCK.solve(p))
        assert float(BLOCK.relative_error(p, np.array(u), truth)) <= bound[0] <= 1e-2 or route == [2.0]
    for call in (
        lambda: model.gradient(0, 0, [P[0].tolist()], [1.0]),
        lambda: model.apply_jacobian(0, 0, [P[0].tolist()], [1.0, 0.0]),
        lambda: model.apply_hessian(0, 0, 0, [P[0].tolist()], [1.0], [1.0, 0.0]),
    ):
        with pytest.raises(Exception, match="not supported by model"):
            call()
    with pytest.raises(Exception, match="error of type InvalidInput: input is one block of 2 numbers, .*, not of 3"):
        model([[1.0, 2.0, 3.0]])


def test_our_client_of_our_server(block):
    guarded, _, url = block
    problem = assay.umbridge(url, "forward", BLOCK.inputs, output=0)
    np.testing.assert_array_equal(problem.solve_batch(P[:3]), guarded(P[:3]).u)
    with pytest.raises(assay.SolveError, match="answered with an error, InvalidInput: input 'k00': 99 is outside"):
        assay.umbridge(url, box=BLOCK.inputs.replace(upper=[99.0, 99.0]), output=0).solve([99.0, 1.0])


def test_who_asks_at_once_is_answered_together(block):
    guarded, model, url = block
    before = model.counts.copy()
    many = BLOCK.inputs.sample(64, 5)
    held, taken = threading.Event(), []

    def once_all_are_there(P):
        taken.append(len(P))
        held.wait()
        return guarded.without_solving(P)

    model._guard = Parts(once_all_are_there, guarded.by_solving)
    try:
        with ThreadPoolExecutor(64) as threads:
            asked = [threads.submit(ask, url, "Evaluate", {"name": "forward", "input": [p.tolist()]}) for p in many]
            while len(model._waiting) + sum(taken) < len(many) and not any(one.done() for one in asked):
                time.sleep(0.01)
            held.set()
            answers = [one.result() for one in asked]
    finally:
        model._guard = guarded
    expected = guarded(many)
    for i, (status, answer) in enumerate(answers):
        assert status == 200
        np.testing.assert_allclose(answer["output"][0], expected.u[i], rtol=1e-12)
    new = model.counts - before
    assert sum(new[route] for route in ROUTES) == 64 and new["calls"] <= 4


def test_what_needs_no_solve_does_not_wait_for_what_does(block):
    guarded, model, url = block
    routes = guarded(P).route
    cheap, dear = P[routes != "solved"], P[routes == "solved"]
    held, solving = threading.Event(), threading.Event()

    def slow(Q, executor=None):
        solving.set()
        held.wait(60)
        return guarded.by_solving(Q, executor)

    model._guard = Parts(guarded.without_solving, slow)
    try:
        with ThreadPoolExecutor(len(P)) as threads:
            late = [threads.submit(theirs.HTTPModel(url, "forward"), [p.tolist()]) for p in dear]
            assert solving.wait(60)
            early = [theirs.HTTPModel(url, "forward")([p.tolist()]) for p in cheap]
            waited = not any(one.done() for one in late)
            held.set()
            late = [one.result() for one in late]
    finally:
        held.set()
        model._guard = guarded
    assert waited and len(early) and len(late)
    assert {ROUTES[int(one[1][0])] for one in early} <= {"accepted", "polished"}
    np.testing.assert_array_equal([one[0] for one in late], guarded(dear).u)


def test_without_a_bound_none_is_claimed(square):
    problem, _, url = square
    status, answer = ask(url, "Evaluate", {"name": "forward", "input": [[0.5, 0.25]]})
    assert status == 200 and answer["output"] == [[0.5, 1.0, 0.25], [2.0], [NO_BOUND], [0.0]]
    assert NO_BOUND > 1e308 and np.isfinite(NO_BOUND)


def test_what_even_the_solver_cannot_answer_is_an_error_with_its_reason(square):
    _, model, url = square
    status, answer = ask(url, "Evaluate", {"name": "forward", "input": [[0.95, 0.25]]})
    assert status == 500 and answer["error"]["type"] == "InvalidOutput"
    assert "not even the solver: " in answer["error"]["message"] and "no seats left" in answer["error"]["message"]
    assert model.counts["failed"] == 1 and "1 failed" in account(model.counts)


FORWARD = {"name": "forward"}
BAD = {
    "no JSON": ("Evaluate", b"{", 400, "InvalidInput", "the request is not JSON"),
    "deep": ("Evaluate", b"[" * 2000, 400, "InvalidInput", "nested too deeply"),
    "no object": ("Evaluate", [1], 400, "InvalidInput", "JSON, but no object"),
    "no model": ("Evaluate", {}, 400, "ModelNotFound", "there is no model 'None': the model is called 'forward'"),
    "another model": ("InputSizes", {"name": "posterior"}, 400, "ModelNotFound", "no model 'posterior'"),
    "gradient": ("Gradient", FORWARD, 400, "UnsupportedFeature", "Gradient is not supported"),
    "jacobian": ("ApplyJacobian", FORWARD, 400, "UnsupportedFeature", "ApplyJacobian is not supported"),
    "hessian": ("ApplyHessian", FORWARD, 400, "UnsupportedFeature", "ApplyHessian is not supported"),
    "shared memory": ("EvaluateShMem", FORWARD, 404, "UnsupportedFeature", "nothing at /EvaluateShMem"),
    "another path": ("secrets", None, 404, "InvalidInput", "there is nothing at /secrets"),
    "no input": ("Evaluate", FORWARD, 400, "InvalidInput", r"one block of 2 numbers, \[\[a, b\]\]"),
    "two blocks": ("Evaluate", {**FORWARD, "input": [[1], [1]]}, 400, "InvalidInput", "one block of 2 numbers"),
    "three numbers": ("Evaluate", {**FORWARD, "input": [[0, 0, 0]]}, 400, "InvalidInput", ", not of 3"),
    "words": ("Evaluate", {**FORWARD, "input": [["0", 0]]}, 400, "InvalidInput", "something else among them"),
    "flags": ("Evaluate", {**FORWARD, "input": [[True, 0]]}, 400, "InvalidInput", "something else among them"),
    "NaN": ("Evaluate", b'{"name": "forward", "input": [[NaN, 0]]}', 400, "InvalidInput", "NaN is not a number"),
    "infinite": ("Evaluate", b'{"name": "forward", "input": [[1e999, 0]]}', 400, "InvalidInput", "not a finite number"),
    "huge": ("Evaluate", {**FORWARD, "input": [[10**400, 0]]}, 400, "InvalidInput", "too large"),
    "outside": ("Evaluate", {**FORWARD, "input": [[2, 0]]}, 400, "InvalidInput", r"input 'a': 2 is outside \[0, 1\]"),
    "config": ("Evaluate", {**FORWARD, "input": [[0, 0]], "config": {"level": 2}}, 400, "InvalidInput", "no config"),
    "too long": ("Evaluate", b" " * 100_000, 413, "InvalidInput", "has 100000 bytes"),
}


@pytest.mark.parametrize("kind", sorted(BAD))
def test_what_is_no_question_gets_the_protocols_error(square, kind):
    _, model, url = square
    what, body, code, type_, said = BAD[kind]
    before = model.counts["refused"], model.counts["calls"]
    status, answer = ask(url, what, body)
    assert status == code and set(answer) == {"error"} and set(answer["error"]) == {"type", "message"}
    assert answer["error"]["type"] == type_
    with pytest.raises(RuntimeError, match=said):
        raise RuntimeError(answer["error"]["message"])
    assert (model.counts["refused"], model.counts["calls"]) == (before[0] + 1, before[1])


def test_head_and_a_request_without_a_length(square):
    _, _, url = square
    assert ask(url, "", method="HEAD") == (200, None)
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    connection.putrequest("POST", "/Evaluate")
    connection.endheaders()
    assert connection.getresponse().status == 411
    connection.close()


def test_an_output_is_served_as_the_first_block():
    name = next(iter(BLOCK.outputs))
    guarded = guard(BLOCK, partly_wrong, 1e-2, output=name)
    with served(guarded, BLOCK, name) as (_, url):
        assert theirs.HTTPModel(url, "forward").get_output_sizes() == [1, 1, 1, 1]
        _, answer = ask(url, "Evaluate", {"name": "forward", "input": [P[0].tolist()]})
    expected = guarded(P[:1])
    assert answer["output"][0] == expected.output.tolist() and answer["output"][2] == expected.error_upper.tolist()


def test_each_answer_has_its_own_evidence():
    """Of all together it is the weakest: one accepted by statistics takes nothing from the proved ones beside it."""
    proved = guard(BLOCK, partly_wrong, 1e-2)
    mixed = replace(proved(P[:3]), statistical=np.array([True, False, False]))
    mixed.error_upper[:2] = [np.inf, 1e-3]
    mixed.error_upper[2] = np.inf
    assert mixed.evidence is Evidence.STATISTICAL
    model = GuardedModel(whole(lambda P: mixed), BLOCK)
    asked = [model.ask(p) for p in P[:3]]
    work_off(model, asked)
    assert [one.result()[2:] for one in asked] == [([NO_BOUND], [2.0]), ([1e-3], [3.0]), ([NO_BOUND], [0.0])]


def test_an_input_at_which_the_guard_raises_harms_no_other():
    guarded = guard(BLOCK, partly_wrong, 1e-2)

    def touchy(Q):
        if (P[1] == Q).all(axis=1).any():
            raise MemoryError("too much")
        return guarded(Q)

    model = GuardedModel(whole(touchy), BLOCK)
    asked = [model.ask(p) for p in P[:3]]
    said = []
    work_off(model, asked, Log(model, said.append, 0.0))
    assert isinstance(asked[1].exception(), MemoryError) and len(asked[0].result()) == len(asked[2].result()) == 4
    assert said[0] == "note: the guard raised MemoryError: too much"
    assert said[-1].startswith("2 answers in 4 calls of the guard: ") and "1 lost to an error of the guard" in said[-1]


def test_notes_are_told_once_and_not_without_end():
    def noted(Q):
        return replace(exact, notes=(f"wrong at {len(said)}", "always"))

    exact, said = guard(BLOCK, partly_wrong, 1e-2)(P[:1]), []
    model = GuardedModel(whole(noted), BLOCK)
    log = Log(model, said.append, 3600.0)
    for _ in range(40):
        model.ask(P[0])
    model._waiting, many = type(model._waiting)(), list(model._waiting)
    for p, asked in many:
        model._answer([(p, asked)])
        log()
    assert said[:2] == ["note: wrong at 0", "note: always"] and len(said) == len(set(said)) == NOTES


def test_nobody_is_left_waiting_when_it_is_interrupted_or_too_many_ask():
    def interrupted(Q, executor=None):
        raise KeyboardInterrupt

    to_solve = lambda Q: (solved, np.ones(len(Q), dtype=bool))  # noqa: E731
    solved = guard(BLOCK, partly_wrong, 1e-2)(P[:1])
    for parts in (Parts(interrupted), Parts(to_solve, interrupted)):
        model = GuardedModel(parts, BLOCK)
        asked = model.ask(P[0])
        with pytest.raises(KeyboardInterrupt):
            model.work()
        assert isinstance(asked.exception(), Busy)
    model = GuardedModel(parts, BLOCK)
    waiting = [model.ask(P[0]) for _ in range(WAITING)]
    with pytest.raises(Busy, match="questions are waiting already"):
        model.ask(P[0])
    model.stop()
    assert all(isinstance(one.exception(), Busy) for one in [*waiting, model.ask(P[0])])


def test_the_log_is_a_line_now_and_then_and_none_where_nothing_happens():
    model, said = GuardedModel(guard(BLOCK, partly_wrong, 1e-2), BLOCK), []
    log = Log(model, said.append, 3600.0)
    asked = [model.ask(P[0])]
    work_off(model, asked, lambda: (log(), log()))
    assert said == []
    Log(model, said.append, 0.0)()
    assert len(said) == 1 and said[0].startswith("1 answer in 1 call of the guard: 1 ")


MODULE = """
import numpy as np, assay
problem = assay.problem("thermal-block", blocks=(2, 1), cells=4)
def exact(P): return np.asarray(problem.solve_batch(P))
"""
OWN = ["mine:exact", "--problem", "thermal-block", "--set", "cells=4", "--set", "blocks=2,1"]


def test_a_port_that_is_taken_is_told(block, tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    port = block[2].rpartition(":")[2]
    assert run(["serve", *OWN, "--port", port]) == 2
    assert f"port {port} of 127.0.0.1 is taken: choose another --port" in capsys.readouterr().err
    assert run(["serve", *OWN, "--calibration", "c.npz", "--output", next(iter(BLOCK.outputs))]) == 2


def test_ctrl_c_ends_it_with_an_account(tmp_path):
    (tmp_path / "mine.py").write_text(MODULE)
    root = str(Path(assay.__file__).parent.parent)
    cache = str(Path(__file__).resolve().parent.parent / ".pytest_cache" / "d" / "jax")
    environment = {**os.environ, "PYTHONPATH": root, "JAX_COMPILATION_CACHE_DIR": cache}
    server = subprocess.Popen(
        [sys.executable, "-m", "assay", "serve", *OWN, "--port", "0"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = server.stdout.readline()
        assert " as the model 'forward'" in line, server.communicate()[1]
        url = line.partition(" at ")[2].split()[0]
        model = theirs.HTTPModel(url, "forward")
        assert [block[0] for block in model([P[0].tolist()])[1:]] == [0.0, pytest.approx(0.0, abs=1e-6), 3.0]
        server.send_signal(signal.SIGINT)
        server.wait(timeout=60)
        out, err = server.stdout.read(), server.stderr.read()  # `communicate` loses what came with the first line
    finally:
        server.kill()
        server.communicate()
    assert server.returncode == 130
    assert err.splitlines()[-1] == "assay: interrupted; 1 answer in 1 call of the guard: 1 accepted"
    assert "outputs: field [" in out and "Traceback" not in err
