"""A scikit-fem model with Robin conditions, guarded.

A plate of two materials that gives its heat to the air around it. Its matrices come from scikit-fem; `assay.affine`
makes a problem of them, with proofs: diffusion in both halves and the exchange on the boundary are the three terms

    A(p) = k1 A1 + k2 A2 + h M,        f = a source in the left half.

A reduced basis learns it from 24 solves, and every guarded answer is proved to be within 1e-3 of the finite elements'.
"""

import jax.numpy as jnp
import numpy as np
import skfem
from skfem.helpers import dot, grad

import assay

mesh = skfem.MeshQuad.init_tensor(np.linspace(0, 1, 33), np.linspace(0, 1, 33))
mesh = mesh.with_subdomains({"left": lambda x: x[0] < 0.5, "right": lambda x: x[0] > 0.5})
inside = {name: skfem.Basis(mesh, skfem.ElementQuad1(), elements=name) for name in ("left", "right")}
boundary = skfem.FacetBasis(mesh, skfem.ElementQuad1())

stiffness = skfem.BilinearForm(lambda u, v, w: dot(grad(u), grad(v)))
mass = skfem.BilinearForm(lambda u, v, w: u * v)
load = skfem.LinearForm(lambda v, w: v)
terms = [stiffness.assemble(inside["left"]), stiffness.assemble(inside["right"]), mass.assemble(boundary)]

box = assay.Box(("k1", "k2", "h"), np.array([0.1, 0.1, 0.5]), np.array([10.0, 10.0, 5.0]), log=(True, True, False))
problem = assay.affine(terms, lambda p: jnp.stack([p[0], p[1], p[2]]), load.assemble(inside["left"]), box)

surrogate = assay.train(problem, "reduced-basis", assay.sample(problem, 24))
answer = assay.guard(problem, surrogate, tolerance=1e-3)(problem.inputs.sample(1000, seed=1))
print(f"{problem.size} unknowns, 1000 answers: {answer.counts}, all within {answer.relative_upper.max():.2g}: proved")

assert answer.relative_upper.max() <= 1e-3
