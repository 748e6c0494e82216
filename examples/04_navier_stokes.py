"""Navier-Stokes, certified.

The lid-driven cavity at small Reynolds numbers. A polynomial learns the stream function from 24 solves; each of its
answers comes with an interval in which its distance to the discrete solution lies, by energy stability: proved, and
narrow.
"""

import assay

problem = assay.problem("cavity", cells=16, reynolds=(1.0, 20.0))
surrogate = assay.train(problem, "polynomial", assay.sample(problem, 24), seed=0)
P = problem.inputs.sample(20, seed=1)
bounds = assay.certify(problem, surrogate, P)
print(f"{bounds.evidence}: {bounds.relative_lower.min():.2g} <= errors <= {bounds.relative_upper.max():.2g}")
for assumption in bounds.assumptions:
    print("-", assumption)

bounds.plot("bounds.png")
assert (bounds.relative_upper < 1e-2).all()
