"""What training has in common: data made ready, bases, optimisers, the verb itself."""
