"""What nnU-Net scans for trainers: see `nnunetv2_dale_trainers`. Nothing in the library imports this package."""
