"""Masks as arrays: overlap, surfaces and their distances in mm, connected parts, bounding boxes."""
