"""What can be said of nodes: whether they form a tensor grid, and which are neighbours."""
