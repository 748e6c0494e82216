"""Linear problems without a sign: advection-diffusion, and what Helmholtz's bounds from coefficients share with it."""
