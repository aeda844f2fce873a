"""Surface distances against MONAI's metrics, against SimpleITK's filters, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK
import torch
from numpy.typing import NDArray

from nnunetv2_dale.masks.boxes import box_of
from nnunetv2_dale.masks.voxel_surface import measures_of, surface_distances

SPACING = (2.5, 0.8, 1.1)


def blobs(seed: int, shape: tuple[int, ...] = (14, 22, 20)) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    from scipy import ndimage

    noise = np.random.default_rng(seed).normal(size=(2, *shape))
    smooth = np.stack([ndimage.gaussian_filter(part, 2.5) for part in noise])
    reference = smooth[0] > np.quantile(smooth[0], 0.7)
    prediction = smooth[0] + 0.4 * smooth[1] > np.quantile(smooth[0], 0.72)
    return prediction, reference


def measured(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], spacing: tuple[float, ...], tolerance: float = 1.5
) -> dict[str, float | None]:
    distances = surface_distances(prediction, reference, spacing)
    return measures_of(prediction, reference, distances, tolerance)


def test_by_hand() -> None:
    # Two single voxels, 2 apart along the first axis of 2.5 mm: every distance is 5 mm.
    prediction, reference = np.zeros((5, 3, 3), bool), np.zeros((5, 3, 3), bool)
    prediction[1, 1, 1] = reference[3, 1, 1] = True
    result = measured(prediction, reference, SPACING, tolerance=4.9)
    assert result == {"Dice": 0.0, "IoU": 0.0, "HD95": 5.0, "ASD": 5.0, "Surface Dice": 0.0}
    assert measured(prediction, reference, SPACING, tolerance=5.0)["Surface Dice"] == 1.0


def test_flat_boxes_by_hand() -> None:
    # 2D, a row of 4 against a row of 6 that sticks out by 2 pixels of 0.5 mm; every pixel of a row is surface.
    reference, prediction = np.zeros((3, 10), bool), np.zeros((3, 10), bool)
    reference[1, 1:5] = True
    prediction[1, 1:7] = True
    result = measured(prediction, reference, (1.0, 0.5), tolerance=0.5)
    assert result["Dice"] == pytest.approx(0.8)
    assert result["ASD"] == pytest.approx((0.5 + 1.0) / 10)
    assert result["Surface Dice"] == pytest.approx(9 / 10)
    assert result["HD95"] == pytest.approx(np.percentile([0, 0, 0, 0, 0.5, 1.0], 95))


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # MONAI calls itself by an old argument
@pytest.mark.parametrize("seed", range(4))
def test_same_as_monais_metrics(seed: int) -> None:
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance
    from monai.metrics.surface_dice import compute_surface_dice
    from monai.metrics.surface_distance import compute_average_surface_distance

    prediction, reference = blobs(seed)
    result = measured(prediction, reference, SPACING)
    tensors = [torch.from_numpy(mask)[None, None] for mask in (prediction, reference)]
    arguments = {"include_background": True, "spacing": SPACING}
    assert result["HD95"] == pytest.approx(
        compute_hausdorff_distance(*tensors, percentile=95, **arguments).item(), rel=1e-5
    )
    assert result["ASD"] == pytest.approx(
        compute_average_surface_distance(*tensors, symmetric=True, **arguments).item(), rel=1e-5
    )
    assert result["Surface Dice"] == pytest.approx(
        compute_surface_dice(*tensors, class_thresholds=[1.5], **arguments).item(), rel=1e-5
    )


@pytest.mark.parametrize("seed", range(4))
def test_same_as_simpleitks_filters(seed: int) -> None:
    prediction, reference = blobs(seed)
    images = []
    for mask in (prediction, reference):
        image = SimpleITK.GetImageFromArray(mask.astype(np.uint8))
        image.SetSpacing(SPACING[::-1])
        images.append(image)
    directed = []
    for one, other in (images, images[::-1]):
        # Contours by faces, as here; distances from a signed map are 0 on the surface's own voxels.
        surface = SimpleITK.GetArrayFromImage(SimpleITK.BinaryContour(one, fullyConnected=False)) > 0
        padded = SimpleITK.ConstantPad(other, [1] * 3, [1] * 3, 0)
        target = SimpleITK.BinaryContour(padded, fullyConnected=False)
        surface |= np.pad(np.zeros([s - 2 for s in surface.shape], bool), 1, constant_values=True) & (
            SimpleITK.GetArrayFromImage(one) > 0
        )
        distance = SimpleITK.SignedMaurerDistanceMap(target, squaredDistance=False, useImageSpacing=True)
        directed.append(np.abs(SimpleITK.GetArrayFromImage(distance))[1:-1, 1:-1, 1:-1][surface])
    result = measured(prediction, reference, SPACING)
    assert result["HD95"] == pytest.approx(max(np.percentile(side, 95) for side in directed), rel=1e-4)
    assert result["ASD"] == pytest.approx(np.concatenate(directed).mean(), rel=1e-4)


def test_cropping_to_the_union_changes_nothing() -> None:
    prediction, reference = (np.pad(mask, 7) for mask in blobs(1))
    box = box_of(prediction | reference)
    assert box is not None
    cropped = measured(prediction[box], reference[box], SPACING)
    assert cropped == measured(prediction, reference, SPACING)


def test_the_empty_rule() -> None:
    empty, full = np.zeros((4, 4), bool), np.ones((4, 4), bool)
    assert measured(empty, empty, (1, 1)) == dict.fromkeys(("Dice", "IoU", "HD95", "ASD", "Surface Dice"))
    one_empty = {"Dice": 0.0, "IoU": 0.0, "HD95": None, "ASD": None, "Surface Dice": 0.0}
    assert measured(empty, full, (1, 1)) == one_empty
    assert measured(full, empty, (1, 1)) == one_empty


def test_a_region_keeps_distances_to_the_whole_other_surface() -> None:
    prediction, reference = blobs(2)
    whole = surface_distances(prediction, reference, SPACING)
    assert whole is not None
    left = np.zeros_like(reference)
    left[:, :, :9] = True
    parts = [whole.within(left), whole.within(~left)]
    for side in ("from_prediction", "from_reference"):
        together = np.sort(np.concatenate([getattr(part, side) for part in parts]))
        np.testing.assert_array_equal(together, np.sort(getattr(whole, side)))
    nowhere = whole.within(np.zeros_like(reference))
    assert (nowhere.hausdorff_95(), nowhere.average(), nowhere.surface_dice(1)) == (None, None, None)
