"""Networks that are shared by all nodes, which know where they are: any mesh will do."""
