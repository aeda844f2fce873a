"""Label noise of a known kind and amount, and the copy of a dataset that carries it."""
