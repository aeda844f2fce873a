"""What was measured, one command each, from the repository's root: `python -m benchmarks.step_cost --quick`."""
