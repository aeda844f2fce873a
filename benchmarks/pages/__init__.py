"""Writes the pages that show numbers: every `PAGE.md.j2` becomes the `PAGE.md` beside it."""
