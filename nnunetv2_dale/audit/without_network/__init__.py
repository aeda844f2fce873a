"""The audit before any training: what labels and images alone say, case held against case."""
