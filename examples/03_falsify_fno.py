"""A Fourier neural operator, falsified.

An FNO learns Burgers' equation from 64 solves and looks right on average. The search needs few further solves for an
input where it is not: signals that cost no solve come first, then the slope of the true error.
"""

import numpy as np

import assay

problem = assay.problem("burgers", cells=64, steps=16)
train, tests = assay.sample(problem, 64, seed=0), assay.sample(problem, 50, seed=5, independent=True)
surrogate = assay.train(problem, "fno", train, seed=0, seconds=15)

P, truth = tests.inputs, tests.fields
errors = np.linalg.norm(surrogate(P) - truth, axis=1) / np.linalg.norm(truth, axis=1)
result = assay.falsify(problem, surrogate, tolerance=5e-2, budget=60, seed=0)
print(f"mean error at {len(P)} draws {errors.mean():.2g}, worst of them {errors.max():.2g}")
print(f"search: {result.verdict}, worst {result.worst:.2g} after {result.solver_calls} solves")
print(result.counterexamples[0])

result.plot("failures.png")
assert result.verdict == "falsified" and result.worst > errors.mean()
