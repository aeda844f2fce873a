import json

import numpy as np
import pytest
import SimpleITK
from scipy.ndimage import binary_dilation, binary_erosion

from nnunetv2_dale.demo.anatomy import LABELS
from nnunetv2_dale.demo.phantom import Phantom, make_phantom, scan, write_phantom_dataset

SMALL = (12, 48, 64)
SMALL_MM = (8.0, 5.6, 5.6)


@pytest.fixture(scope="module")
def cases() -> list[Phantom]:
    """Five cases as large as the demo's."""
    return [make_phantom((0, index)) for index in range(5)]


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_a_case_is_a_function_of_its_seed():
    first, again, other = (make_phantom(seed, SMALL, SMALL_MM) for seed in (7, 7, 8))
    for name in ("image_hu", "clean_label", "noisy_label"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert (getattr(first, name) != getattr(other, name)).any()


def test_noise_does_not_change_the_anatomy():
    quiet, loud = (make_phantom(3, SMALL, SMALL_MM, noise_hu=hu, boundary_noise_mm=mm) for hu, mm in ((0, 0), (30, 4)))
    np.testing.assert_array_equal(quiet.clean_label, loud.clean_label)
    np.testing.assert_array_equal(quiet.noisy_label, quiet.clean_label)


def test_tissues_have_their_hounsfield_units(cases):
    for case in cases:
        assert case.image_hu.dtype == np.int16
        assert -1024 <= case.image_hu.min() < -900  # air around the body
        assert case.image_hu[:, 0, :].mean() == pytest.approx(-1000, abs=10)
        assert 250 < case.image_hu.max() < 800  # bone
        for name, low, high in (("liver", 90, 120), ("spleen", 110, 140), ("kidney", 130, 190), ("lesion", 20, 75)):
            inside = binary_erosion(case.clean_label == LABELS[name], np.ones((1, 3, 3)))
            assert low < np.median(case.image_hu[inside]) < high, name


def test_the_image_has_the_noise_asked_for():
    quiet, noisy = (make_phantom(0, noise_hu=hu).image_hu.astype(float) for hu in (0, 14))
    noise = noisy - quiet
    middle = noise[:, 40:60, 50:78]
    assert middle.std() == pytest.approx(14, rel=0.12)
    assert noise[:, :8, :8].std() < 0.75 * middle.std()
    neighbours = np.corrcoef(middle[..., :-1].ravel(), middle[..., 1:].ravel())[0, 1]
    assert 0.2 < neighbours < 0.8  # a grain, not white noise


def test_lesions_fade_where_organs_end_sharply():
    """Without noise, the share of the contrast that is crossed between one voxel inside and one voxel outside."""
    crossed = {"lesion": [], "spleen": []}
    for index in range(4):
        case = make_phantom((0, index), noise_hu=0)
        image = case.image_hu.astype(float)
        for name, steps in crossed.items():
            mask = case.clean_label == LABELS[name]
            around = LABELS["liver"] if name == "lesion" else 0
            flat = np.ones((1, 3, 3), dtype=bool)
            inner, outer = (
                mask & ~binary_erosion(mask, flat),
                binary_dilation(mask, flat) & (case.clean_label == around),
            )
            far = binary_dilation(mask, flat, iterations=7) & ~binary_dilation(mask, flat, iterations=5)
            deep = np.median(image[binary_erosion(mask, flat, iterations=3)])
            contrast = np.median(image[far & (case.clean_label == around)]) - deep
            steps.append((np.median(image[outer]) - np.median(image[inner])) / contrast)
    assert np.mean(crossed["lesion"]) < 0.35
    assert np.mean(crossed["spleen"]) > 1.5 * np.mean(crossed["lesion"])


def test_noisy_labels_agree_with_clean_ones_as_much_as_stated_and_least_on_lesions(cases):
    agreement = {
        name: np.mean([dice(case.clean_label == value, case.noisy_label == value) for case in cases])
        for name, value in LABELS.items()
        if value
    }
    assert 0.70 < agreement["lesion"] < 0.88
    assert all(0.90 < agreement[name] < 0.99 for name in ("liver", "spleen", "kidney"))


@pytest.mark.parametrize("shape", [(8, 32, 32), (16, 48, 48), (9, 33, 47)])
def test_every_class_is_in_every_case_of_a_small_grid(shape):
    for seed in range(6):
        case = make_phantom(seed, shape, (5.0, 6.0, 6.0))
        assert case.image_hu.shape == case.clean_label.shape == case.noisy_label.shape == shape
        assert set(np.unique(case.clean_label)) == set(np.unique(case.noisy_label)) == set(LABELS.values())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"shape": (8, 16, 64)}, r"at least \(8, 32, 32\)"),
        ({"shape": (64, 64)}, r"at least \(8, 32, 32\)"),
        ({"spacing_mm": (0, 1, 1)}, "three positive"),
        ({"noise_hu": -1}, "cannot be negative"),
    ],
)
def test_impossible_arguments_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        make_phantom(0, **arguments)


def test_the_scanner_blurs_and_keeps_the_mean():
    edge = np.zeros((4, 32, 32), dtype=np.float32)
    edge[:, :, 16:] = 1000
    image = scan(edge, 0.0, np.random.default_rng(0))
    assert 300 < image[2, 16, 16] - image[2, 16, 15] < 900
    assert image.mean() == pytest.approx(500, abs=1)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_phantom_dataset(
        tmp_path_factory.mktemp("nnUNet raw"), training_cases=2, test_cases=1, shape=SMALL, spacing_mm=SMALL_MM, seed=5
    )


def test_the_dataset_is_laid_out_for_nnunet_with_clean_labels_beside(dataset):
    assert dataset.name == "Dataset998_DalePhantom"
    names = {
        folder.name: sorted(path.name for path in folder.iterdir()) for folder in dataset.iterdir() if folder.is_dir()
    }
    assert names == {
        "imagesTr": ["phantom_000_0000.nii.gz", "phantom_001_0000.nii.gz"],
        "labelsTr": ["phantom_000.nii.gz", "phantom_001.nii.gz"],
        "labelsTr_clean": ["phantom_000.nii.gz", "phantom_001.nii.gz"],
        "imagesTs": ["phantom_002_0000.nii.gz"],
        "labelsTs": ["phantom_002.nii.gz"],
    }
    description = json.loads((dataset / "dataset.json").read_text())
    assert description["channel_names"] == {"0": "CT"}
    assert description["labels"] == LABELS
    assert description["numTraining"] == 2


def test_files_hold_what_was_made_with_the_spacing_in_the_header(dataset):
    case = make_phantom((5, 0), SMALL, SMALL_MM)
    for folder, suffix, expected in (
        ("imagesTr", "_0000", case.image_hu),
        ("labelsTr", "", case.noisy_label),
        ("labelsTr_clean", "", case.clean_label),
    ):
        image = SimpleITK.ReadImage(str(dataset / folder / f"phantom_000{suffix}.nii.gz"))
        np.testing.assert_allclose(image.GetSpacing(), (5.6, 5.6, 8.0), rtol=1e-6)
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image), expected)
