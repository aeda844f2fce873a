"""Every fold of every trainer in one resumable command: `nnUNetv2_dale_benchmark`."""
