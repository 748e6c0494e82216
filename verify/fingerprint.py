"""Hashes by which a proof on disk names what it is a proof of: the problem, and the surrogate's basis and program."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from ..solvers.coercive import CoerciveProblem
from ..solvers.problem import Problem


def of_problem(problem: Problem) -> str:
    """Name, settings and inputs; for matrices of one's own also these, and weights and load at two inputs, to twelve
    digits, since another machine may round them otherwise.
    """
    about = [problem.name, problem.settings, problem.inputs.to_json(), problem.size]
    digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode())
    if isinstance(problem, CoerciveProblem) and not problem.settings:
        for e in np.eye(len(problem.reference_theta)):
            term = problem.matrix(e)
            for part in (term.indptr, term.indices, term.data):
                digest.update(np.ascontiguousarray(part).tobytes())
        for p in problem.inputs.from_unit(np.full((2, problem.inputs.dimension), 0.5) + [[0.0], [0.25]]):
            for values in (problem.theta(jnp.asarray(p)), problem.load(jnp.asarray(p))):
                digest.update(" ".join(f"{x:.12e}" for x in np.asarray(values)).encode())
    return digest.hexdigest()


def of_model(surrogate: Any, dimension: int) -> str:
    """The basis, and the traced coefficients: operations in their order, and every constant in them."""
    digest = hashlib.sha256(np.ascontiguousarray(surrogate.basis, dtype="<f8").tobytes())
    program = jax.make_jaxpr(lambda p: surrogate.coefficients(p[None])[0])(jnp.ones(dimension))
    _add(digest, program.jaxpr, program.consts)
    return digest.hexdigest()


def _add(digest: Any, jaxpr: Jaxpr, consts: Any) -> None:
    for value in consts:
        digest.update(np.ascontiguousarray(value).tobytes())
    for eqn in jaxpr.eqns:
        digest.update(eqn.primitive.name.encode())
        for atom in eqn.invars:
            if isinstance(atom, Literal):
                digest.update(np.ascontiguousarray(atom.val).tobytes())
        for inner in eqn.params.values():
            if isinstance(inner, ClosedJaxpr):
                _add(digest, inner.jaxpr, inner.consts)
            elif isinstance(inner, Jaxpr):
                _add(digest, inner, ())
