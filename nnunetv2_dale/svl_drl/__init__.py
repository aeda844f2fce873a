"""SVL-DRL (arXiv 2601.03875): staged voxel-level reinforcement learning for wrong labels. Torch only."""
