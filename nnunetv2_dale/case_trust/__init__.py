"""Whole cases whose contours are displaced: what is remembered of them, their groups, the weights of their labels."""
