"""Hashes by which a proof on disk names what it is a proof of: the problem, and the surrogate's basis and program."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from ..solvers.problem import Problem


def of_problem(problem: Problem) -> str:
    """Name, settings and inputs; for matrices of one's own also these, by their action on a fixed vector."""
    about = [problem.name, problem.settings, problem.inputs.to_json(), problem.size]
    digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode())
    residual = getattr(problem, "residual", None)
    if residual is not None and not problem.settings:
        u = np.random.default_rng(0).standard_normal(problem.size)
        for p in problem.inputs.sample(2, seed=0):
            digest.update(np.asarray(residual(jnp.asarray(p), jnp.asarray(u))).tobytes())
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
