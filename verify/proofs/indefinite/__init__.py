"""Linear problems without a sign: advection-diffusion's theorem; bounds from coefficients of it and of Helmholtz."""
