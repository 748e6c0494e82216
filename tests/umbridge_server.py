"""A UM-Bridge server of a few lines, which can be made to behave badly."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

SIZES = {"inputSizes": [1, 2], "outputSizes": [2, 1]}
JACOBIAN = np.array([[1.0, 2.0, 0.0], [0.0, 1.0, -1.0], [3.0, 0.0, 1.0]])  # of two blocks of outputs, 2 + 1


def linear(x, config):
    y = JACOBIAN @ np.concatenate(x) + config.get("shift", 0.0)
    return [y[:2].tolist(), y[2:].tolist()]


class Model:
    """``evaluate(blocks, config)`` and what the server says of it; ``answer``, where it is set, says anything else."""

    def __init__(self, evaluate=linear, support=("Evaluate",), **about):
        self.evaluate, self.sizes = evaluate, {**SIZES, **about}
        self.support = {key: key in support for key in ("Evaluate", "Gradient", "ApplyJacobian", "ApplyHessian")}
        self.info = {"protocolVersion": 1.0, "models": ["forward"]}
        self.asked, self.busy, self.most = [], 0, 0
        self.answer = lambda what, question: None

    def reply(self, what, question):
        """Status and text; None where the connection is to be cut."""
        said = self.answer(what, question)
        if said is not None:
            return said
        if what == "Info":
            return 200, json.dumps(self.info)
        if question["name"] not in self.info["models"]:
            return 400, json.dumps({"error": {"type": "ModelNotFound", "message": "no such model"}})
        if what == "ModelInfo":
            return 200, json.dumps({"support": self.support})
        if what in ("InputSizes", "OutputSizes"):
            key = what[0].lower() + what[1:]
            return 200, json.dumps({key: self.sizes[key]})
        rows, columns = ((0, 1), (2,)), ((0,), (1, 2))
        if what in ("Gradient", "ApplyJacobian"):
            block = JACOBIAN[np.ix_(rows[question["outWrt"]], columns[question["inWrt"]])]
            found = block.T @ question["sens"] if what == "Gradient" else block @ question["vec"]
            return 200, json.dumps({"output": found.tolist()})
        return 200, json.dumps({"output": self.evaluate(question["input"], question["config"])})


def handler(model):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.told(None)

        def do_POST(self):
            self.told(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def told(self, question):
            model.asked.append((self.path[1:], question))
            model.busy += 1
            model.most = max(model.most, model.busy)
            try:
                said = model.reply(self.path[1:], question)
            finally:
                model.busy -= 1
            if said == "cut":
                return
            status, text, *headers = said
            body = text.encode()
            self.send_response(status)
            for key, value in headers[0].items() if headers else ():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    return Handler


@contextmanager
def serving(model, port=0):
    """The address, while the model is served."""
    server = ThreadingHTTPServer(("127.0.0.1", port), handler(model))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def slow(x, config):
    time.sleep(0.1)
    return linear(x, config)
