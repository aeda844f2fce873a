"""Labels of the same images by several readers: read, joined, compared."""
