"""Train, prove, search, guard.

A network learns a diffusion problem from 64 solves. Its error is bounded from both sides at a hundred inputs, searched
for over the whole box, and kept below the tolerance by a guard.

`bounds` are proved; what a search does not find is not.
"""

import assay

problem = assay.problem("thermal-block", blocks=(2, 2), cells=32, low=1.0, high=10.0)
snapshots = assay.sample(problem, 64, seed=0)
surrogate = assay.train(problem, "pod-mlp", snapshots, seed=0, steps=300)

P = problem.inputs.sample(100, seed=1)
bounds = assay.certify(problem, surrogate, P)
print(f"{bounds.evidence}: no error above {bounds.relative_upper.max():.2g} at {len(P)} inputs")

result = assay.falsify(problem, surrogate, tolerance=1e-2, budget=50, seed=0)
print(f"{result.verdict}, worst {result.worst:.2g} after {result.solver_calls} solves")

answer = assay.guard(problem, surrogate, tolerance=1e-2)(P)
print(answer.counts)

bounds.plot("bounds.png")
assert bounds.relative_upper.max() < 1e-2 and answer.relative_upper.max() <= 1e-2
