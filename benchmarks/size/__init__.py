"""The coercive path at real size: problems that others published, posed through ``affine``."""
