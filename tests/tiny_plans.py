"""Plans in nnU-Net's format for networks of a few thousand weights."""

from __future__ import annotations

from typing import Any

from benchmarks.plans_file import architecture as unet
from benchmarks.plans_file import configuration, plans_file

SHAPE, SPACING_MM = (8, 40, 40), (4.0, 2.0, 2.0)  # of the phantoms


def tiny_plans(dataset_name: str) -> dict[str, Any]:
    """Plans of all four configurations, as preprocessing reads them; 3d_lowres has half the in-plane resolution."""
    low_spacing = [SPACING_MM[0], 2 * SPACING_MM[1], 2 * SPACING_MM[2]]
    low_resolution = _configuration("3d_lowres", [8, 16, 16], low_spacing)
    hounsfield = {"max": 400.0, "mean": 110.0, "median": 110.0, "min": -200.0, "std": 60.0}
    configurations = {
        "2d": _configuration("2d", [32, 32], list(SPACING_MM[1:])),
        "3d_fullres": _configuration("3d_fullres", [8, 32, 32], list(SPACING_MM)),
        "3d_lowres": {**low_resolution, "next_stage": "3d_cascade_fullres"},
        "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
    }
    return {
        **plans_file(dataset_name, "nnUNetPlans", configurations),
        "original_median_spacing_after_transp": list(SPACING_MM),
        "original_median_shape_after_transp": list(SHAPE),
        "experiment_planner_used": "ExperimentPlanner",
        "foreground_intensity_properties_per_channel": {
            "0": {**hounsfield, "percentile_00_5": -150.0, "percentile_99_5": 300.0}
        },
    }


def _configuration(name: str, patch_size: list[int], spacing_mm: list[float]) -> dict[str, Any]:
    resampling = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
    return {
        **configuration(patch_size, 2, spacing_mm, "CTNormalization", architecture(len(patch_size))),
        "data_identifier": f"nnUNetPlans_{name}",
        "median_image_size_in_voxels": list(SHAPE[-len(patch_size) :]),
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": resampling,
        "resampling_fn_seg_kwargs": {**resampling, "is_seg": True},
        "resampling_fn_probabilities_kwargs": resampling,
    }


def architecture(dimensions: int, residual: bool = False) -> dict[str, Any]:
    """A U-Net (residual: ResEnc) of three stages; 3D ones keep the depth in the first pooling."""
    strides = [[1] * dimensions, [2] * dimensions if dimensions == 2 else [1, 2, 2], [2] * dimensions]
    return unet([4, 6, 8], strides, [1, 2, 2] if residual else [1, 1, 1], decoder_convolutions=1, residual=residual)
