"""One recipe per public dataset, and the command that runs them: `nnUNetv2_dale_convert RECIPE -i FOLDER --new_id ID`.

A recipe is a page: the dataset's facts, where its files lie, and one plan for `nnunetv2_dale.convert`.
"""

from __future__ import annotations

from collections.abc import Sequence

from nnunetv2_dale.convert.recipe import run_convert

from . import btcv, isic2016, left_atrium, lidc, mosmed_plus, nifti_pairs, polyp, synapse

RECIPES = (
    synapse.RECIPE,
    btcv.RECIPE,
    mosmed_plus.RECIPE,
    isic2016.RECIPE,
    polyp.RECIPE,
    left_atrium.RECIPE,
    lidc.RECIPE,
    nifti_pairs.RECIPE,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `nnUNetv2_dale_convert`; returns the exit code."""
    return run_convert(RECIPES, argv)
