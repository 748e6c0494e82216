"""Bounds over boxes where the solution itself is known as a function of the input: in closed form, or to a radius."""
