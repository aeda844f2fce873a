"""DALE: Algorithm 1 and its equations, for any network. Torch only; see `alternating_step`."""
