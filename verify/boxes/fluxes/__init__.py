"""Bounds over boxes by fluxes that balance the load, for problems with one coefficient per cell (``box_flux.py``)."""
