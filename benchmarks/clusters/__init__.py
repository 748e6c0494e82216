"""Solves on several processes and on a Dask cluster, box proofs on several devices: the same results, and the time."""
