"""Physics in networks, networks as physics."""
