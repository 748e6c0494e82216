"""Does the network move as the solver does?

The surrogate's derivatives with respect to its inputs beside the solver's own: a network may be near the solution and
wrong in its slope, which is where it fails next. The map compares both tangent spaces, and counts the dimensions that
the data really have.
"""

import numpy as np

import assay

problem = assay.problem("bratu", cells=16)
surrogate = assay.train(problem, "pod-mlp", assay.sample(problem, 32), seed=0, steps=300)
found = assay.tangent_map(problem, surrogate, problem.inputs.sample(100, seed=1))
print(found)

found.plot("tangents.png")
assert np.nanmedian(found.jacobian_errors) < 0.5
