"""How something is shown: pages, slices, templates."""
