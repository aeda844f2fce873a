"""Pictures of raw and preprocessed cases: the panels hold what they say, and the command writes what it should."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from matplotlib.collections import LineCollection
from skimage import io

from nnunetv2_dale.dale.fuzziness import IntensityBins
from nnunetv2_dale.preview.cli import main
from nnunetv2_dale.preview.picture import BINS_IN_WORDS, TITLES, draw_case
from nnunetv2_dale.preview.picture_maps import PictureSettings
from nnunetv2_dale.preview.preview_case import PreviewCase, RawSource, class_names, is_colour
from tests.datasets import NnunetFolders, write_raw_dataset, write_volume

SETTINGS = PictureSettings(
    patch_sizes=(4,),
    tau=0.9,
    entropy_bins=8,
    intensity_bins="near_labels",
    fewest_patches=1,
    channel=0,
    colour=False,
    ignore_label=None,
    class_names={1: "organ"},
)


def _case(label: bool = True, channels: int = 1, is_ct: bool = False) -> PreviewCase:
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 255, (channels, 6, 16, 20)).astype(np.float32)
    image[:, :, :, :10] = 50
    classes = np.zeros(image.shape[1:], np.int16)
    classes[3, 5:9, 9:15] = 1
    classes[4, 6:8, 9:12] = 1
    return PreviewCase("some case", image, classes if label else None, (3.0, 1.0, 2.0), False, is_ct)


@pytest.fixture
def raw(nnunet_folders: NnunetFolders) -> Path:
    """`nnUNet_raw` with a volume that has a label and one that has none."""
    case = _case()
    assert case.label is not None
    labels = {"one": case.label.astype(np.uint8), "two words": None}
    images = {name: [case.image[0]] for name in labels}
    names = {"labels": {"background": 0, "organ": 1}, "channel_names": {"0": "CT"}}
    write_raw_dataset(nnunet_folders.raw / "Dataset004_Tiny", labels, images, {"spacing_zyx": (1, 1, 1)}, **names)
    return nnunet_folders.raw


def test_panels_hold_the_masks_and_views_of_the_equations() -> None:
    panels = draw_case(_case(), SETTINGS, "heading").figure.axes[: len(TITLES)]
    assert tuple(axes.get_title() for axes in panels) == TITLES
    entropy, edges, m, mask_fuzzy, mask_clear = (np.asarray(panels[i].images[0].get_array()) for i in range(2, 7))
    assert np.allclose(m, np.maximum(entropy, edges))
    assert np.allclose(mask_fuzzy, np.where(m > 0.9, 1, m))
    assert np.allclose(mask_clear, np.where(m < 0.9, 1, 0))
    assert 0 < mask_clear.mean() < 1
    image, clear_view = (np.asarray(panels[i].images[0].get_array()) for i in (0, 8))
    assert np.allclose(clear_view[mask_clear == 1], image[mask_clear == 1], atol=1e-5)
    assert np.ptp(clear_view[mask_clear == 0]) < 1e-6  # one grey: the mean
    assert panels[0].get_aspect() == 0.5


def test_rows_are_the_slices_that_matter_times_patch_sizes() -> None:
    settings = replace(SETTINGS, patch_sizes=(4, 8))
    picture = draw_case(_case(), settings, "heading")
    rows = [axes.get_ylabel() for axes in picture.figure.axes[: -1 : len(TITLES)]]
    assert any("slice 4 of 6\nmost foreground" in row for row in rows)
    assert sum("patch 1×4×4" in row or "patch 2×4×4" in row for row in rows) == len(rows) / 2
    assert len(picture.summary) == 2
    assert "of the foreground" in picture.summary[0]


@pytest.mark.parametrize(
    ("bins", "label", "told"),
    [
        ("near_labels", True, "8 entropy bins at quantiles of the intensities near labels"),
        ("equal", True, "8 equal entropy bins between the image's extremes"),
        ("near_labels", False, "8 equal entropy bins between the image's extremes"),  # there are none to be near to
    ],
)
def test_the_bins_are_named(bins: IntensityBins, label: bool, told: str) -> None:
    figure = draw_case(_case(label=label), replace(SETTINGS, intensity_bins=bins), "heading").figure
    assert f"heading · {told}" in [text.get_text() for text in figure.texts]


def test_bins_near_labels_show_another_entropy_than_printed_ones() -> None:
    shown = [
        np.asarray(draw_case(_case(), replace(SETTINGS, intensity_bins=bins), "").figure.axes[2].images[0].get_array())
        for bins in BINS_IN_WORDS
    ]
    assert not np.allclose(*shown)


def test_without_a_label_m_is_the_entropy() -> None:
    panels = draw_case(_case(label=False), SETTINGS, "heading").figure.axes
    assert np.allclose(panels[2].images[0].get_array(), panels[4].images[0].get_array())
    assert [text.get_text() for text in panels[3].texts] == ["no label"]


def test_colour_is_shown_in_colour_and_masked_to_black() -> None:
    case = _case(channels=3)
    settings = replace(SETTINGS, colour=True)
    panels = draw_case(case, settings, "heading").figure.axes
    shown = np.asarray(panels[0].images[0].get_array())
    assert shown.shape == (16, 20, 3)
    masked = np.asarray(panels[6].images[0].get_array()) == 0
    assert np.allclose(np.asarray(panels[8].images[0].get_array())[masked], 0)


def test_the_ignore_label_is_no_foreground() -> None:
    case = _case()
    settings = replace(SETTINGS, ignore_label=1, class_names={})
    panels = draw_case(case, settings, "heading").figure.axes
    (lines,) = panels[3].collections
    assert isinstance(lines, LineCollection)
    assert not lines.get_segments()


def test_names_of_classes_and_colour_channels() -> None:
    labels = {"background": 0, "whole": [1, 2], "core": [2], "ignore": 3}
    assert class_names({"labels": labels}) == {1: "whole", 2: "core", 3: "ignore"}
    assert is_colour({"channel_names": {"0": "R", "1": "G", "2": "B"}})
    assert not is_colour({"channel_names": {"0": "T1", "1": "T2", "2": "FLAIR"}})


def test_command_draws_cases_with_and_without_label_and_a_page(raw: Path, tmp_path: Path) -> None:
    target = tmp_path / "my pictures"
    arguments = ["-d", "4", "-o", str(target), "--patch_size", "4", "8", "--html"]
    assert main(arguments) == 0
    assert sorted(path.name for path in target.iterdir()) == ["index.html", "one.png", "two words.png"]
    page = (target / "index.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    assert "two words" in page
    assert io.imread(target / "one.png").shape[1] > 1000
    assert main(arguments) == 2
    assert main([*arguments, "--overwrite", "--slicewise", "--cases", "one"]) == 0
    assert main([*arguments[:4], "--overwrite", "--html", "--no_pictures", "--cases", "one"]) == 0
    page = (target / "index.html").read_text()
    assert "data:image/png" not in page
    assert "no picture of a patient" in page
    assert not any(str(folder) in page for folder in (tmp_path, raw))
    assert "<dd>3×3×3</dd>" in page  # a fifth of the 16 × 20 voxels of a slice, not the 16 voxels of large images
    assert "patch 3×3×3: m reaches" in page


def test_two_dimensional_rgb_png(raw: Path, tmp_path: Path) -> None:
    folder = raw / "Dataset005_Flat"
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    channels = {"0": "R", "1": "G", "2": "B"}
    write_raw_dataset(folder, {}, labels={"background": 0, "organ": 1}, channel_names=channels, file_ending=".png")
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    io.imsave(folder / "imagesTr" / "a_0000.png", picture, check_contrast=False)
    io.imsave(folder / "labelsTr" / "a.png", (picture[..., 0] > 300).astype(np.uint8), check_contrast=False)
    assert main(["-d", "5", "-o", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "a.png").is_file()


def test_preprocessed_case(raw: Path, tmp_path: Path) -> None:
    from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetNumpy

    folder = tmp_path / "preprocessed" / "Dataset004_Tiny"
    (folder / "data_2d").mkdir(parents=True)
    (folder / "dataset.json").write_bytes((raw / "Dataset004_Tiny" / "dataset.json").read_bytes())
    configuration = {"data_identifier": "data_2d", "spacing": [1.0, 2.0], "patch_size": [16, 20], "architecture": {}}
    (folder / "nnUNetPlans.json").write_text(json.dumps({"configurations": {"2d": configuration}}))
    case = _case()
    assert case.label is not None
    segmentation = case.label[None].astype(np.int8)
    segmentation[:, 0] = -1
    nnUNetDatasetNumpy.save_case(case.image, segmentation, {}, str(folder / "data_2d" / "one"))
    assert main(["-d", "4", "-c", "2d", "-o", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "one.png").is_file()
    assert main(["-d", "4", "-c", "3d_fullres", "-o", str(tmp_path / "out")]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tau", "2"], "--tau lies"),
        (["--cases", "three"], "no case three"),
        (["--channel", "4"], "channel 4 does not exist"),
        (["-c", "2d"], "nnUNet_preprocessed is not set"),
    ],
)
def test_refusals(raw: Path, tmp_path: Path, arguments: list[str], message: str, capsys, monkeypatch) -> None:
    monkeypatch.delenv("nnUNet_preprocessed", raising=False)
    assert main(["-d", "4", "-o", str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("flag", ["--patch_size", "-n"])
def test_nothing_is_counted_from_zero(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["-d", "4", "-o", "out", flag, "0"])
    assert f"argument {flag}: expected a whole number from 1 on, got '0'" in capsys.readouterr().err


def test_a_file_in_place_of_the_output_folder_is_told(raw: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "file.txt").touch()
    for place in ("file.txt", "file.txt/sub"):
        assert main(["-d", "4", "-o", str(tmp_path / place), "--cases", "one"]) == 2
        assert "file.txt is no folder, so" in capsys.readouterr().err


def test_unreadable_and_mismatching_files_are_named(raw: Path, tmp_path: Path, capsys) -> None:
    label = raw / "Dataset004_Tiny" / "labelsTr" / "one.nii.gz"
    write_volume(np.zeros((6, 16, 21), np.uint8), label)
    assert main(["-d", "4", "-o", str(tmp_path / "out"), "--cases", "one"]) == 2
    assert "one.nii.gz has shape (6, 16, 21)" in capsys.readouterr().err
    label.write_bytes(b"")
    assert main(["-d", "4", "-o", str(tmp_path / "out"), "--cases", "one"]) == 2
    assert "one.nii.gz is damaged" in capsys.readouterr().err


def test_what_is_given_of_the_label_darkens_it(raw: Path, tmp_path: Path) -> None:
    folder = raw / "Dataset004_Tiny"
    confidence = np.ones((6, 16, 20), np.float32)
    confidence[:, 5:9] = 0.25
    (folder / "confidenceTr").mkdir()
    label = SimpleITK.ReadImage(str(folder / "labelsTr" / "one.nii.gz"))
    volume = SimpleITK.GetImageFromArray(confidence)
    volume.CopyInformation(label)
    SimpleITK.WriteImage(volume, str(folder / "confidenceTr" / "one.nii.gz"))
    case = RawSource("4", slicewise=False).load("one")
    assert case.confidence is not None
    np.testing.assert_array_equal(case.confidence, confidence)
    figure = draw_case(case, SETTINGS, "heading").figure
    shown = [axes.images[-1].get_array() for axes in figure.axes[: len(TITLES)] if axes.get_title() == "Label"]
    np.testing.assert_allclose(np.ma.filled(shown[0], 0), 1 - confidence[0])
    assert any("given confidence below 1" in text.get_text() for text in figure.legends[0].get_texts())
    SimpleITK.WriteImage(volume * 3, str(folder / "confidenceTr" / "one.nii.gz"))
    assert main(["-d", "4", "-o", str(tmp_path / "pictures"), "-n", "1"]) == 2
