"""Every input of a box, proved.

A small network that learnt from twelve solves. Branch and bound encloses its error over whole boxes of inputs, splits
those that are too wide, and ends with a map: certified, falsified, undecided. The map is checked again by other code.
"""

import assay

problem = assay.problem("thermal-block", blocks=(2, 1), cells=16, low=1.0, high=10.0)
surrogate = assay.train(problem, "pod-mlp", assay.sample(problem, 12), seed=0, steps=300, widths=(16,), smoothness=1e-9)
trust = assay.certify_box(problem, surrogate, tolerance=1e-4, seconds=60)
print(trust)
trust.save("map.json")

print(assay.audit("map.json", problem, surrogate, sample=20))
trust.plot("map.png")
assert trust.certified_volume > 0.9 and trust.falsified_volume > 0
