"""Other trainings that withstand wrong labels, one module each. Torch only."""
