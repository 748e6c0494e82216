"""Other questions than were learnt, other arithmetic.

"Out of distribution" says nothing until it says which. Here the shifts have names: a wider range of one input, a finer
grid; and the arithmetic: float32, bfloat16, float16.
"""

import assay

problem = assay.problem("thermal-block", blocks=(2, 1), cells=8)
surrogate = assay.train(problem, "pod-mlp", assay.sample(problem, 64), seed=0, steps=300)
print(assay.shifts(problem, surrogate, n=50))
rounded = assay.precision(problem, surrogate, 1e-2)
print(rounded)
assert all(change.keeps for change in rounded.changes if change.format == "float32")
