"""One theorem a file, and ``prover.py``, the one door to them.

``proof.py`` is what every proof answers, ``bounds.py`` what with. ``field_proof.py`` has the shape of theorems that are
JAX code of one row, ``radius.py`` of those among them that are one radius ||u - v||. ``coercive.py`` offers
``thomson.py`` for fields and ``reduced.py`` for coefficients; ``sines.py`` is shared by Helmholtz, Bratu and
advection-diffusion, whose theorem, with the bounds from coefficients of it and of Helmholtz, is in ``indefinite/``.
"""
