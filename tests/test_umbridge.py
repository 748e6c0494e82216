"""Models behind UM-Bridge servers: sizes, derivatives, errors, servers that die, hang or answer nonsense."""

import json
import pickle
import socket
import threading
import time
from contextlib import suppress

import jax
import numpy as np
import pytest
from umbridge_server import JACOBIAN, Model, serving, slow

import assay
from assay.solvers.external.protocol import LOST, Server
from assay.solvers.external.umbridge import umbridge
from assay.solvers.problem import SolveError
from assay.solvers.snapshots.sample import sample

BOX = assay.Box(("a", "b", "c"), [0.0] * 3, [1.0] * 3)
P = BOX.sample(4)


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def url(model):
    with serving(model) as address:
        yield address


def test_blocks_are_laid_one_after_another(url, model):
    problem = umbridge(url, "forward", BOX)
    assert problem.name == "forward" and problem.size == 3
    assert [what for what, _ in model.asked] == ["Info", "ModelInfo", "InputSizes", "OutputSizes"]  # nothing is solved
    np.testing.assert_array_equal(problem.solve_batch(P), P @ JACOBIAN.T)
    assert model.asked[-1][1]["input"] == [P[-1, :1].tolist(), P[-1, 1:].tolist()]
    np.testing.assert_array_equal(umbridge(url, box=BOX, output=1).solve_batch(P), P @ JACOBIAN.T[:, 2:])
    np.testing.assert_array_equal(umbridge(url, box=BOX, config={"shift": 2.5}).solve(P[0]), JACOBIAN @ P[0] + 2.5)


def test_files_say_which_model_but_not_where_it_is_served(url):
    made = umbridge(url, box=BOX)
    with serving(Model()) as elsewhere:
        assert umbridge(elsewhere, box=BOX).fingerprint == made.fingerprint
    others = [umbridge(url, box=BOX, config={"shift": 1}), umbridge(url, box=BOX, output=0)]
    assert len({made.fingerprint, *(other.fingerprint for other in others)}) == 3
    sent = pickle.loads(pickle.dumps(made))
    np.testing.assert_array_equal(sent.solve(P[0]), JACOBIAN @ P[0])


@pytest.mark.parametrize("support", ["Gradient", "ApplyJacobian"])
def test_derivatives_are_the_models_own(support):
    with serving(Model(support=("Evaluate", support))) as url:
        problem = umbridge(url, box=BOX)
        w = np.array([1.0, -2.0, 0.5])
        np.testing.assert_allclose(jax.grad(lambda p: w @ problem.solve(p))(P[0]), JACOBIAN.T @ w)
        last = umbridge(url, box=BOX, output=1)
        np.testing.assert_allclose(jax.grad(lambda p: last.solve(p)[0])(P[0]), JACOBIAN[2])


def test_without_derivatives_there_is_no_gradient(url):
    assert umbridge(url, box=BOX).gradient is None


def test_many_are_asked_at_once_and_one_by_one_where_that_is_wanted():
    model = Model(slow)
    with serving(model) as url:
        np.testing.assert_array_equal(sample(umbridge(url, box=BOX), 8).fields, BOX.sample(8) @ JACOBIAN.T)
        assert 2 <= model.most <= 4
        model.most = 0
        sample(umbridge(url, box=BOX, at_once=1), 3)
        assert model.most == 1


SAID = {
    "its own error": (
        (400, json.dumps({"error": {"type": "InvalidInput", "message": "Expected 3\n  but got\x1b 2"}})),
        "answered with an error, InvalidInput: Expected 3 but got\\? 2",
    ),
    "a page": (
        (500, "Server got itself in trouble"),
        "HTTP status 500: Server got itself in trouble",
    ),
    "an error without words": ((500, json.dumps({"detail": 1})), "an error, HTTP status 500: None"),
    "nan": ((200, '{"output": [[NaN, 1], [2]]}'), "what is not JSON: NaN is not a number that JSON has"),
    "python": ((200, "{'output': [[1, 2], [3]]}"), "answered with what is not JSON"),
    "a list": ((200, "[1, 2, 3]"), "JSON that is no object"),
    "no output": ((200, "{}"), "answered Evaluate without a list called output"),
    "other sizes": ((200, '{"output": [[1, 2, 3], [4]]}'), r"blocks of \[3, 1\] numbers, where \[2, 1\] are declared"),
    "fewer blocks": ((200, '{"output": [[1, 2]]}'), r"blocks of \[2\] numbers"),
    "null": (
        (200, '{"output": [[1, null], [3]]}'),
        "a block that is no list of numbers but holds null, as some servers write NaN",
    ),
    "a header": ((500, "", {"EXCEPTION_WHAT": "no mesh"}), "HTTP status 500: no mesh"),
    "words": ((200, '{"output": [[1, "2"], [3]]}'), "a block that is no list of numbers"),
    "too large": ((200, json.dumps({"output": [[1e99, 2], [3]], "more": "x" * 100_000})), "answered with more than"),
}


@pytest.mark.parametrize("kind", sorted(SAID))
def test_what_is_no_answer_is_a_failed_solve_with_the_servers_words(url, model, kind):
    problem = umbridge(url, box=BOX)
    said, why = SAID[kind]
    model.answer = lambda what, question: said if what == "Evaluate" else None
    with pytest.raises(SolveError, match=f"the solver {why}|the solver answered with {why}"):
        problem.solve(P[0])
    assert len(model.asked) == 5  # an answer is not asked for again


def test_what_takes_longer_than_it_may_has_failed(model):
    model.evaluate = slow
    with serving(model) as url:
        problem = umbridge(url, box=BOX, time_limit=0.05)
        with pytest.raises(SolveError, match="the solver did not answer within 0.05 s"):
            problem.solve(P[0])


def test_a_server_that_trickles_is_held_to_the_limit_as_a_whole():
    listening = socket.create_server(("127.0.0.1", 0))

    def trickle():
        connection, _ = listening.accept()
        with listening, connection, suppress(OSError):
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            for _ in range(100):
                connection.sendall(b" ")
                time.sleep(0.05)

    thread = threading.Thread(target=trickle)
    thread.start()
    server = Server(f"http://127.0.0.1:{listening.getsockname()[1]}", 0.4, 1.0)
    start = time.monotonic()
    with pytest.raises(Exception, match="did not answer within 0.4 s"):
        server.ask("Evaluate", {})
    assert time.monotonic() - start < 2
    thread.join()


def test_a_server_that_dies_and_comes_back_loses_nothing(model):
    """Cut in the middle of some answers, away for a while, and back at the same port."""
    cut = []

    def answer(what, question):
        if what == "Evaluate" and len(model.asked) % 3 == 0:
            cut.append(question)
            return "cut"

    with serving(model) as url:
        problem = umbridge(url, box=BOX, patience=20.0)
        model.answer = answer
        first = sample(problem, 6)
        port = int(url.rpartition(":")[2])
    assert cut and first.valid.all()
    found = []
    asking = threading.Thread(target=lambda: found.append(sample(problem, 9)))
    asking.start()
    time.sleep(0.3)
    assert not found
    with serving(model, port):
        asking.join(20)
    np.testing.assert_array_equal(found[0].fields, BOX.sample(9) @ JACOBIAN.T)


def test_after_the_patience_a_solve_has_failed_and_the_others_do_not_wait_again(model):
    with serving(model) as url:
        problem = umbridge(url, box=BOX, patience=0.3)
    start = time.monotonic()
    found = sample(problem, 12)
    assert not found.valid.any() and time.monotonic() - start < 5
    (why,) = {*found.reasons.values()}
    assert why.startswith(f"is away: {url} cannot be reached (Connection refused), for 0.3 s")


def test_an_input_at_which_the_server_ends_time_and_again_is_given_up(url, model):
    problem = umbridge(url, box=BOX)
    model.answer = lambda what, question: "cut" if question["input"][0][0] == P[0, 0] else None
    assert problem.solve_batch(P[1:2]).shape == (1, 3)
    with pytest.raises(SolveError, match=f"ended {LOST} times when it was asked this"):
        problem.solve(P[0])


def test_a_load_balancer_without_a_server_is_asked_again(url, model):
    problem = umbridge(url, box=BOX)
    left = [2]

    def answer(what, question):
        left[0] -= 1
        return (503, "no server") if left[0] >= 0 else None

    model.answer = answer
    np.testing.assert_array_equal(problem.solve(P[0]), JACOBIAN @ P[0])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"info": {"protocolVersion": 0.9, "models": ["forward"]}}, "speaks version 0.9 of the protocol, not 1.0"),
        ({"info": {"protocolVersion": 1.0, "models": ["forwards"]}}, "no model at .* called 'forward'; did you mean"),
        ({"info": {"protocolVersion": 1.0, "models": []}}, "names no models"),
        ({"support": {"Evaluate": False, "Gradient": True}}, "cannot be evaluated: it supports Gradient"),
        ({"sizes": {"inputSizes": [2, 2], "outputSizes": [1]}}, r"takes 4 numbers, in blocks of \[2, 2\], but the box"),
        ({"sizes": {"inputSizes": [3], "outputSizes": [0]}}, r"answers with no numbers: its blocks are \[0\]"),
        ({"sizes": {"inputSizes": [3], "outputSizes": ["1"]}}, "outputSizes that are no whole numbers"),
    ],
)
def test_what_does_not_fit_is_told_when_the_problem_is_made(url, model, change, said):
    vars(model).update(change)
    with pytest.raises(ValueError, match=said):
        umbridge(url, "forward", BOX)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"url": "127.0.0.1:4242"}, "the address of a server is http://HOST:PORT, not '127.0.0.1:4242'"),
        ({"url": "http://127.0.0.1:port"}, "the address of a server is"),
        ({"url": "http://[::1"}, "the address of a server is"),
        ({"url": "http://a b:1"}, "the address of a server is"),
        ({"url": "ftp://127.0.0.1"}, "the address of a server is"),
        ({"url": "http://me:secret@127.0.0.1"}, "holds no user and password"),
        ({"url": None}, "the address of a server is"),
        ({"box": None}, r"box= is a Box\(names, lower, upper\)"),
        ({"at_once": 0}, "at_once is a whole number"),
        ({"patience": -1}, "patience is a number of seconds"),
        ({"time_limit": 0}, "time_limit is a positive number"),
        ({"config": {"a": np.nan}}, "config holds what JSON has no word for"),
        ({"output": 2}, "output is the number of a block, from 0 to 1, not 2"),
        ({"size": 3}, "the server tells the size of its model"),
    ],
)
def test_arguments_that_make_no_sense(url, arguments, said):
    with pytest.raises(ValueError, match=said):
        umbridge(**{"url": url, "box": BOX, **arguments})


def test_several_models_must_be_told_apart(url, model):
    model.info["models"] = ["forward", "posterior"]
    with pytest.raises(ValueError, match="has several models: say which, forward or posterior"):
        umbridge(url, box=BOX)


def test_no_server_is_told_in_words_that_help():
    with pytest.raises(ValueError, match=r"the UM-Bridge server at http://127.0.0.1:9 is away: .* cannot be reached"):
        umbridge("http://127.0.0.1:9", box=BOX, patience=0.0)
