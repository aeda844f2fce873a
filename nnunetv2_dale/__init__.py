"""DALE (*Minding Fuzzy Regions*, CVPR 2025) for nnU-Net v2."""

__version__ = "0.1.0"
