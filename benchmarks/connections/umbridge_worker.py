"""A rod that conducts and loses heat, served by the UM-Bridge project's own Python package; a program of its own.

-k u'' + c u = q on (0, 1), u(0) = u(1) = 0, by differences on 64 inner nodes
input blocks [k, c] and [q]; output blocks u [64] and its mean [1]; Gradient by the adjoint

python umbridge_worker.py PORT PAUSE LOG       every solve takes PAUSE seconds more and leaves a line in LOG
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

NODES = 64
H = 1 / (NODES + 1)
LAPLACE = (2 * np.eye(NODES) - np.eye(NODES, k=1) - np.eye(NODES, k=-1)) / H**2


def rod(p: np.ndarray) -> np.ndarray:
    """The field and its mean at k, c, q."""
    k, c, q = p
    u = np.linalg.solve(k * LAPLACE + c * np.eye(NODES), np.full(NODES, q))
    return np.append(u, H * u.sum())


def main() -> None:
    import umbridge

    port, pause, log = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]

    class Rod(umbridge.Model):
        def __init__(self) -> None:
            super().__init__("forward")

        def get_input_sizes(self, config: Any = None) -> list[int]:
            return [2, 1]

        def get_output_sizes(self, config: Any = None) -> list[int]:
            return [NODES, 1]

        def __call__(self, parameters: list[list[float]], config: Any = None) -> list[list[float]]:
            time.sleep(pause)
            p = np.concatenate(parameters)
            found = rod(p)
            with open(log, "a") as stream:
                stream.write(f"{p.tolist()}\n")
            return [found[:NODES].tolist(), [float(found[NODES])]]

        def gradient(
            self, out_wrt: int, in_wrt: int, parameters: list[list[float]], sens: list[float], config: Any = None
        ) -> list[float]:
            k, c, q = np.concatenate(parameters)
            u = rod(np.array([k, c, q]))[:NODES]
            w = np.array(sens) if out_wrt == 0 else np.full(NODES, H * sens[0])
            z = np.linalg.solve(k * LAPLACE + c * np.eye(NODES), w)
            return [float(-z @ (LAPLACE @ u)), float(-z @ u)] if in_wrt == 0 else [float(z.sum())]

        def supports_evaluate(self) -> bool:
            return True

        def supports_gradient(self) -> bool:
            return True

    umbridge.serve_models([Rod()], port)


if __name__ == "__main__":
    main()
