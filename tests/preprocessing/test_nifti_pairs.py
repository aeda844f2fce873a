"""`nifti_pairs` on folders as people have them: what is read right, and what is refused with what sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from nnunetv2_dale.preprocessing import main
from numpy.testing import assert_array_equal

from nnunetv2_dale.confidence.cli import main as raters
from tests.datasets import read_volume, write_volume

LABEL = np.zeros((3, 6, 6), np.uint8)
LABEL[1, 2:4, 2:4] = 1


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "raw").mkdir()
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    for name in ("nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "source"


def _image(source: Path, name: str, value: int = 0, folder: str = "imagesTr") -> None:
    write_volume(np.full(LABEL.shape, value, np.int16), source / folder / name)


def _label(source: Path, name: str, label: np.ndarray = LABEL, folder: str = "labelsTr") -> None:
    write_volume(label, source / folder / name)


def _pair(source: Path, name: str, label: np.ndarray = LABEL) -> None:
    _image(source, name)
    _label(source, name, label)


def _convert(source: Path, *flags: str) -> int:
    return main(["nifti_pairs", "-i", str(source), "--new_id", "6", "-np", "1", *flags])


def _refused(source: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    """What is said where nothing is converted."""
    assert _convert(source, *flags) == 2
    return capsys.readouterr().err


CLASSES = ("--classes", "tumour", "--channels", "MRI")


def _written(source: Path) -> Path:
    return source.parent / "raw/Dataset006_Converted"


def test_a_missing_channel_is_not_filled_by_the_next(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for case, channels in {"a": (0, 1), "b": (0, 2)}.items():
        _label(source, f"{case}.nii.gz")
        for channel in channels:
            _image(source, f"{case}_{channel:04d}.nii.gz")
    assert "case b has channels 0000, 0002, but case a has channels 0000, 0001" in _refused(
        source, capsys, "--classes", "tumour", "--channels", "T1", "T2"
    )
    assert not _written(source).exists()


def test_the_number_of_a_patient_is_not_a_channel(source: Path) -> None:
    for number in (1, 2, 3):
        _image(source, f"patient_{number:04d}.nii.gz", number)
        _label(source, f"patient_{number:04d}.nii.gz")
        _image(source, f"patient_1{number:03d}.nii.gz", folder="imagesTs")
    assert _convert(source, *CLASSES) == 0
    assert sorted(path.name for path in (_written(source) / "imagesTr").iterdir()) == [
        f"patient_{number:04d}_0000.nii.gz" for number in (1, 2, 3)
    ]
    assert (read_volume(_written(source) / "imagesTr/patient_0002_0000.nii.gz") == 2).all()
    assert len(list((_written(source) / "imagesTs").iterdir())) == 3


def test_numbered_patients_with_numbered_channels(source: Path) -> None:
    for number in (1, 2):
        _label(source, f"patient_{number:04d}.nii.gz")
        _image(source, f"patient_{number:04d}_0000.nii.gz", 10 * number)
        _image(source, f"patient_{number:04d}_0001.nii.gz", 10 * number + 1)
        _image(source, f"new_{number:04d}_0000.nii.gz", folder="imagesTs")
        _image(source, f"new_{number:04d}_0001.nii.gz", folder="imagesTs")
    assert _convert(source, "--classes", "tumour", "--channels", "T1", "T2") == 0
    assert (read_volume(_written(source) / "imagesTr/patient_0002_0001.nii.gz") == 21).all()
    assert sorted(path.name for path in (_written(source) / "imagesTs").iterdir())[0] == "new_0001_0000.nii.gz"


def test_two_files_of_one_channel_are_refused(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _pair(source, "a.nii.gz")
    _image(source, "a_0000.nii.gz")
    assert "is channel 0 of a, as is a.nii.gz" in _refused(source, capsys, *CLASSES)


def test_labels_with_gaps_are_refused_or_renumbered_when_asked(source: Path, capsys) -> None:
    _image(source, "a.nii.gz")
    label = np.array([0, 1, 2, 4], np.uint8)[np.arange(LABEL.size).reshape(LABEL.shape) % 4]
    _label(source, "a.nii.gz", label)
    described = {"labels": {"0": "background", "1": "ncr", "2": "ed", "4": "et"}, "modality": {"0": "MRI"}}
    (source / "dataset.json").write_text(json.dumps(described))
    assert _convert(source) == 2
    message = "dataset.json: has the labels 0, 1, 2, 4, and nnU-Net needs consecutive ones; --consecutive_labels"
    assert message in capsys.readouterr().err
    assert _convert(source, "--consecutive_labels") == 0
    written = json.loads((_written(source) / "dataset.json").read_text())
    assert written["labels"] == {"background": 0, "ncr": 1, "ed": 2, "et": 3}
    assert_array_equal(read_volume(_written(source) / "labelsTr/a.nii.gz"), np.where(label == 4, 3, label))


@pytest.mark.parametrize(
    ("labels", "channels"),
    [
        ({"0": "background", "1": "tumour"}, {"0": "MRI"}),
        ({"background": 0, "tumour": 1}, {"MRI": 0}),
        (["background", "tumour"], ["MRI"]),
        ({"0": "Background", "1": "tumour"}, {"0": "MRI"}),
        ({"1": "tumour"}, {"0": "MRI"}),
    ],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_every_form_of_dataset_json_is_understood(source: Path, labels: object, channels: object, mark: str) -> None:
    _pair(source, "a.nii.gz")
    described = json.dumps({"labels": labels, "channel_names": channels})
    (source / "dataset.json").write_text(mark + described, encoding="utf-8")
    assert _convert(source) == 0
    written = json.loads((_written(source) / "dataset.json").read_text())
    assert written["labels"] == {"background": 0, "tumour": 1}
    assert written["channel_names"] == {"0": "MRI"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"labels": { # v2\n "background": 0}}', "is not valid JSON (Expecting"),
        ('{"labels": {"background": 0, "whole": [1, 2]}}', "has labels that are regions (whole)"),
        ('{"labels": {"background": 0, "a": 1, "b": 1}}', "gives several labels the number 1"),
        ('{"labels": {"background": 0, "a": "one"}}', "gives labels without a number (a)"),
        ('{"labels": "tumour"}', "gives its labels as 'tumour'"),
    ],
)
def test_the_advice_for_a_dataset_json_that_cannot_be_used_helps(source: Path, text: str, sentence, capsys) -> None:
    _pair(source, "a.nii.gz")
    (source / "dataset.json").write_text(text)
    error = _refused(source, capsys)
    assert f"dataset.json: {sentence}" in error
    assert "give --classes and --channels" in error
    assert _convert(source, *CLASSES) == 0


def test_labels_of_test_images_come_along(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _pair(source, "a.nii.gz")
    _image(source, "t_0000.nii.gz", folder="imagesTs")
    _label(source, "t.nii.gz", folder="labelsTs")
    assert _convert(source, *CLASSES) == 0
    assert (_written(source) / "labelsTs/t.nii.gz").is_file()
    assert (_written(source) / "imagesTs/t_0000.nii.gz").is_file()
    _label(source, "u.nii.gz", folder="labelsTs")
    assert "labelsTs/u.nii.gz: has no image in imagesTs" in _refused(source, capsys, *CLASSES, "--overwrite")


def test_an_image_that_is_not_read_is_named(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _pair(source, "a.nii.gz")
    (source / "imagesTr/notes.txt").touch()
    (source / "imagesTr/b.mgz").touch()
    (source / "labelsTr/b.mgz").touch()
    (source / "imagesTr/c").mkdir()
    (source / "imagesTr/c/0001.dcm").touch()
    error = _refused(source, capsys, *CLASSES)
    assert "3 problems" in error
    assert "imagesTr/b.mgz: is in a format that is not read here" in error
    assert "imagesTr/c: is a folder of DICOM files" in error


# --- public reports: values that are no classes, segmentations of 3D Slicer, a mask for each organ -------------------


def _numbered(count: int) -> np.ndarray:
    label = np.zeros(LABEL.shape, np.int16)
    for number in range(count):
        label[2 * (number // 9), 2 * (number // 3 % 3), 2 * (number % 3)] = number + 1
    return label


def test_numbered_lesions_are_not_classes_and_can_be_merged(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """nnU-Net issue 2034: each metastasis has its own number."""
    counts = {"a": 1, "b": 6, "c": 18}
    for case, count in counts.items():
        _pair(source, f"{case}.nii.gz", _numbered(count))
    said = _refused(source, capsys, *CLASSES)
    assert "labelsTr/c.nii.gz: unknown label values 2 (1 voxel), 3 (1 voxel)" in said
    assert "1 to 18 look like the numbers of separate parts, not like classes: --mask_threshold 1" in said
    assert "labelsTr/a.nii.gz" not in said
    assert not _written(source).exists()
    assert _convert(source, *CLASSES, "--mask_threshold", "1") == 0
    for case, count in counts.items():
        assert_array_equal(read_volume(_written(source) / f"labelsTr/{case}.nii.gz"), _numbered(count) > 0)


def test_soft_and_undocumented_values_are_counted(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soft, other = LABEL.astype(np.float32), LABEL.copy()
    soft[1, 2, 1:4] = 0.13, 0.5, 0.98
    other[2, :2, :2] = 2
    for case, label in {"a": LABEL, "soft": soft, "other": other}.items():
        _pair(source, f"{case}.nii.gz", label)
    said = _refused(source, capsys, *CLASSES)
    assert (
        "unknown label values 0.13 (1 voxel), 0.5 (1 voxel), 0.98 (1 voxel); known are 0, 1; the mask is soft" in said
    )
    (line,) = [line for line in said.splitlines() if "other.nii.gz" in line]
    assert line.endswith("unknown label values 2 (4 voxels); known are 0, 1")
    assert _convert(source, *CLASSES, "--mask_threshold", "0.5") == 0
    assert_array_equal(read_volume(_written(source) / "labelsTr/soft.nii.gz"), soft >= 0.5)


def _slicer(source: Path, name: str, label: np.ndarray, segments: dict[int, str]) -> None:
    """A segmentation as 3D Slicer writes it, order and values its own; (…, Z, Y, X) with layers first."""
    volume = SimpleITK.GetImageFromArray(
        np.moveaxis(label, 0, -1) if label.ndim == 4 else label, isVector=label.ndim == 4
    )
    volume.SetSpacing((1.0, 1.0, 3.0))
    volume.SetOrigin((-10.0, 5.0, 2.0))
    for number, (value, segment) in enumerate(segments.items()):
        volume.SetMetaData(f"Segment{number}_LabelValue", str(value))
        volume.SetMetaData(f"Segment{number}_Name", segment)
    path = source / "labelsTr" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(volume, str(path))


ORGANS = ("--classes", "liver", "left kidney", "--channels", "CT")


def test_slicers_values_mean_what_their_names_say(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """nnU-Net issue 2220."""
    label = np.zeros(LABEL.shape, np.uint8)
    label[1, :2], label[1, 3:] = 5, 2
    names = {"a": {5: "Liver", 2: "left_kidney", 9: "not drawn"}, "b": {2: "liver", 5: "Left kidney"}}
    for case, segments in names.items():
        _image(source, f"{case}.nii.gz")
        _slicer(source, f"{case}.seg.nrrd", label, segments)
    assert _convert(source, *ORGANS) == 0
    table = {"a": {5: 1, 2: 2}, "b": {2: 1, 5: 2}}
    for case, values in table.items():
        expected = np.select([label == value for value in values], list(values.values()), 0)
        assert_array_equal(read_volume(_written(source) / f"labelsTr/{case}.nii.gz"), expected)
    _slicer(source, "b.seg.nrrd", label, {2: "liver", 5: "Segment_1"})
    assert "has the segment 'Segment_1' (value 5), which is none of the classes liver, left" in _refused(
        source, capsys, *ORGANS, "--overwrite"
    )
    _slicer(source, "b.seg.nrrd", label, {2: "liver"})
    assert "unknown label values 5" in _refused(source, capsys, *ORGANS, "--overwrite")


def test_layers_of_slicer_are_refused(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _image(source, "a.nii.gz")
    _slicer(source, "a.seg.nrrd", np.stack([LABEL, np.roll(LABEL, 1, 2)]), {1: "liver"})
    assert "a.seg.nrrd: has 2 layers of segments that overlap" in _refused(source, capsys, *ORGANS)


def test_a_mask_for_each_organ_is_refused_with_what_is_wanted(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _image(source, "a.nii.gz")
    for organ in ("liver", "spleen"):
        _label(source, f"a/{organ}.nrrd")
    said = _refused(source, capsys, *ORGANS)
    assert (
        "labelsTr/a: is a folder of 2 files (liver.nrrd, spleen.nrrd); one file per case is expected, a.nii.gz" in said
    )


def test_both_spacings_are_named_where_a_label_has_another(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _image(source, "a.nii.gz")
    write_volume(LABEL, source / "labelsTr/a.nii.gz", spacing_zyx=(3.0, 0.8, 0.8), origin=(0.0, 5.0, 2.0))
    said = _refused(source, capsys, *CLASSES)
    assert "spacing [0.8, 0.8, 3.0] instead of [1.0, 1.0, 3.0]" in said
    assert "origin [0.0, 5.0, 2.0] instead of [-10.0, 5.0, 2.0]" in said


@pytest.mark.parametrize(
    ("what", "geometry"),
    [("origin", {"origin": (-8.2, 5.0, 2.0)}), ("direction", {"direction": (0, 1, 0, 1, 0, 0, 0, 0, -1)})],
)
def test_channels_that_lie_elsewhere_are_refused(source: Path, what: str, geometry, capsys) -> None:
    """nnU-Net issues 2599 (1.8 mm) and 2058."""
    _label(source, "a.nii.gz")
    _image(source, "a_0000.nii.gz")
    write_volume(np.zeros(LABEL.shape, np.int16), source / "imagesTr/a_0001.nii.gz", **geometry)
    said = _refused(source, capsys, "--classes", "tumour", "--channels", "T1", "T2")
    assert "a_0001.nii.gz: does not lie on the first channel's grid" in said
    assert what in said


def test_a_class_that_no_label_has_is_told(source: Path, caplog: pytest.LogCaptureFixture) -> None:
    """nnU-Net issue 2402; a test label does not count."""
    for case, folder in (("a", "Tr"), ("b", "Tr"), ("t", "Ts")):
        _image(source, f"{case}.nii.gz", folder=f"images{folder}")
        _label(source, f"{case}.nii.gz", LABEL * (2 if case == "t" else 1), folder=f"labels{folder}")
    assert _convert(source, "--classes", "tumour", "cyst", "--channels", "MRI") == 0
    assert "no training label holds the class cyst" in caplog.text
    caplog.clear()
    _label(source, "b.nii.gz", 2 * LABEL)
    assert _convert(source, "--classes", "tumour", "cyst", "--channels", "MRI", "--overwrite") == 0
    assert "holds the class" not in caplog.text


READERS = ("anna", "ben", "carl")


@pytest.fixture
def readers(source: Path) -> Path:
    """Two cases that three readers drew: ben a voxel further, carl as anna."""
    wider = LABEL.copy()
    wider[1, 4, 2:4] = 1
    for number in (1, 2):
        _image(source, f"case{number}.nii.gz", number)
        for name, label in zip(READERS, (LABEL, wider, LABEL), strict=True):
            _label(source, f"case{number}.nii.gz", label, name)
    return source


@pytest.mark.parametrize("target", ["majority", "staple", "random"])
def test_several_readers_become_what_the_command_for_readers_makes_of_them(readers: Path, target: str) -> None:
    command = (*CLASSES, "--labels", *READERS, "--target", target)
    assert _convert(readers, *command) == 0
    assert _convert(readers, *command, "--overwrite") == 0
    made = _written(readers)
    assert main(["nifti_pairs", "-i", str(readers), "--new_id", "7", "--labels", "carl", *CLASSES]) == 0
    folders = [str(readers / name) for name in READERS]
    assert raters(["raters", "-i", *folders, "-d", "7", "--new_id", "8", "--target", target, "-np", "1"]) == 0
    other = made.with_name("Dataset008_Converted")
    both = [
        {path.relative_to(each).as_posix() for path in each.rglob("*") if path.is_file()} - {"readers.json"}
        for each in (made, other)
    ]
    assert both[0] == both[1] | {"manifest.json"}
    assert (made / "readers.csv").read_bytes() == (other / "readers.csv").read_bytes()
    for name in both[1]:
        if name.endswith(".nii.gz"):
            assert_array_equal(read_volume(made / name), read_volume(other / name))
    assert ("ratersTr/ben/case1.nii.gz" in both[0]) == (target == "random")
    assert ("confidenceTr/case1.nii.gz" in both[0]) == (target != "random")
    manifest = json.loads((made / "manifest.json").read_text())
    assert (manifest["readers"], manifest["target"]) == (list(READERS), target)
    assert len(manifest["cases"][0]["sha256"]) == 4  # the image, and the label of each


def test_where_a_reader_lacks_a_case_or_a_class_nothing_is_written(readers: Path, capsys) -> None:
    (readers / "ben" / "case2.nii.gz").unlink()
    _label(readers, "case1.nii.gz", 3 * LABEL, "carl")
    error = _refused(readers, capsys, *CLASSES, "--labels", *READERS)
    assert "imagesTr/case2.nii.gz: has no label in ben" in error
    assert error.count("carl/case1.nii.gz") == 1
    _label(readers, "case2.nii.gz", LABEL, "ben")
    for number in (1, 2):
        _label(readers, f"case{number}.nii.gz", 0 * LABEL, "carl")
    assert "ratersTr/carl: has no tumour, which another reader drew" in _refused(
        readers, capsys, *CLASSES, "--labels", *READERS
    )
    assert "a folder of labels with a name of its own for each reader" in _refused(
        readers, capsys, *CLASSES, "--labels", "anna", "../source/anna"
    )
    assert not _written(readers).exists()
