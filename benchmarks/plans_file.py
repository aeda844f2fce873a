"""Plans in nnU-Net's format for networks of a chosen size, made anew or of nnU-Net's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

PLANNED = "tiny"  # nnU-Net's plans for little memory, of which those of the studies are made


def architecture(
    features: Sequence[int],
    strides: Sequence[Sequence[int]],
    convolutions: Sequence[int],
    decoder_convolutions: int,
    residual: bool = False,
) -> dict[str, Any]:
    """A U-Net of nnU-Net's; `residual` is its ResEnc instead of the plain encoder.

    Features, strides (along each axis) and convolutions (of a residual encoder its blocks) are those of each stage.
    """
    dimensions, stages = len(strides[0]), len(features)
    name = "ResidualEncoderUNet" if residual else "PlainConvUNet"
    return {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{name}",
        "arch_kwargs": {
            "n_stages": stages,
            "features_per_stage": list(features),
            "conv_op": f"torch.nn.modules.conv.Conv{dimensions}d",
            "kernel_sizes": [[3] * dimensions] * stages,
            "strides": [list(stride) for stride in strides],
            "n_blocks_per_stage" if residual else "n_conv_per_stage": list(convolutions),
            "n_conv_per_stage_decoder": [decoder_convolutions] * (stages - 1),
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dimensions}d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def configuration(
    patch: Sequence[int], batch: int, spacing_mm: Sequence[float], normalisation: str, network: dict[str, Any]
) -> dict[str, Any]:
    """A configuration of one image channel; `patch` in voxels, `network` from `architecture`."""
    return {
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": batch,
        "patch_size": list(patch),
        "spacing": list(spacing_mm),
        "normalization_schemes": [normalisation],
        "use_mask_for_norm": [False],
        "batch_dice": len(patch) == 2,
        "architecture": network,
    }


def plans_file(dataset_name: str, plans_name: str, configurations: dict[str, Any]) -> dict[str, Any]:
    """The file's fields that do not depend on a configuration; the axes of images stay in their order."""
    return {
        "dataset_name": dataset_name,
        "plans_name": plans_name,
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "label_manager": "LabelManager",
        "configurations": configurations,
    }


def plan_command(dataset: int, *configurations: str) -> list[str]:
    """The command that plans a dataset for little memory, as `PLANNED`, and preprocesses it, in one process."""
    words = ["nnUNetv2_plan_and_preprocess", "-d", str(dataset), "-gpu_memory_target", "0.3"]
    return [*words, "-overwrite_plans_name", PLANNED, "-np", "1", "-npfp", "1", "-c", *configurations]


def smaller_plans(
    plans: Mapping[str, Any], configuration: str, features: Sequence[int], name: str, **changes: Any
) -> dict[str, Any]:
    """nnU-Net's plans of one configuration with a smaller network, edited as a user edits them, under a new name.

    Features are channels of each stage that is kept; changes replace what else of the configuration, such as the batch
    size.
    """
    chosen = {**plans["configurations"][configuration], **changes}
    network = {**chosen["architecture"]["arch_kwargs"], "n_stages": len(features), "features_per_stage": list(features)}
    for each in ("kernel_sizes", "strides", "n_conv_per_stage"):
        network[each] = network[each][: len(features)]
    network["n_conv_per_stage_decoder"] = network["n_conv_per_stage_decoder"][: len(features) - 1]
    chosen["architecture"] = {**chosen["architecture"], "arch_kwargs": network}
    return {**plans, "plans_name": name, "configurations": {configuration: chosen}}
