"""Every recipe on a small copy of its dataset's layout, checked by nnU-Net itself."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from nnunetv2.experiment_planning import verify_dataset_integrity as integrity
from nnunetv2_dale.preprocessing import RECIPES, main
from numpy.testing import assert_array_equal
from skimage import io

from nnunetv2_dale.convert.recipe import recipe_parser
from tests.convert.fixtures import (
    BTCV_NUMBERS,
    SYNAPSE_TEST,
    disc,
    make_btcv,
    make_isic2016,
    make_left_atrium,
    make_lidc,
    make_mosmed_plus,
    make_polyp,
    make_transunet,
    save,
)
from tests.datasets import read_volume
from tests.run_commands import use_threads

Converted = Callable[..., Path]


@pytest.fixture
def convert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Converted:
    """Run a recipe, let nnU-Net check the result, and return the dataset's folder."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.setenv(name, str(tmp_path / name))
    use_threads(monkeypatch)

    def run(recipe: str, source: Path, *flags: str) -> Path:
        assert main([recipe, "-i", str(source), "--new_id", "501", "-np", "1", *flags]) == 0
        (folder,) = (tmp_path / "nnUNet_raw").glob("Dataset501_*")
        integrity.verify_dataset_integrity(str(folder), 1)
        return folder

    return run


def refused(capsys: pytest.CaptureFixture[str], recipe: str, source: Path, *flags: str) -> str:
    """What is said where nothing is converted."""
    assert main([recipe, "-i", str(source), "--new_id", "1", "-np", "1", *flags]) == 2
    return capsys.readouterr().err


def _json(path: Path) -> dict:
    return json.loads(path.read_text())


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_btcv_has_13_organs_and_five_folds(tmp_path: Path, convert: Converted) -> None:
    source = make_btcv(tmp_path / "RawData")
    folder = convert("btcv", source)
    description = _json(folder / "dataset.json")
    assert description["channel_names"] == {"0": "CT"}
    assert len(description["labels"]) == 14
    assert description["labels"]["left adrenal gland"] == 13
    assert description["numTraining"] == 30
    original = source / "Training/label/label0007.nii.gz"
    assert (folder / "labelsTr/case0007.nii.gz").read_bytes() == original.read_bytes()
    assert _names(folder / "imagesTs") == ["case0061_0000.nii.gz", "case0062_0000.nii.gz"]
    assert not (folder / "labelsTs").exists()
    folds = _json(folder / "splits_final.json")
    assert [len(fold["val"]) for fold in folds] == [6] * 5
    assert sorted(name for fold in folds for name in fold["val"]) == [f"case{number:04d}" for number in BTCV_NUMBERS]


@pytest.mark.parametrize("below", ["", "Training", ".."])
def test_synapse_from_btcv_maps_8_organs_and_has_the_18_12_split(tmp_path, convert: Converted, below: str) -> None:
    make_btcv(tmp_path / "download/RawData")
    folder = convert("synapse", tmp_path / "download/RawData" / below)
    (fold,) = _json(folder / "splits_final.json")
    assert fold["val"] == [f"case{number}" for number in SYNAPSE_TEST]
    assert len(fold["train"]) == 18
    assert "case0005" in fold["train"]
    before = read_volume(tmp_path / "download/RawData/Training/label/label0001.nii.gz")
    after = read_volume(folder / "labelsTr/case0001.nii.gz")
    by_name = {"aorta": 8, "gallbladder": 4, "left kidney": 3, "right kidney": 2, "liver": 6, "pancreas": 11}
    by_name |= {"spleen": 1, "stomach": 7}  # BTCV's own numbers
    labels = _json(folder / "dataset.json")["labels"]
    assert list(labels) == ["background", *sorted(by_name, key=lambda organ: labels[organ])]
    for organ, value in by_name.items():
        assert_array_equal(after == labels[organ], before == value)
    assert_array_equal(after == 0, np.isin(before, [0, 5, 9, 10, 12, 13]))


def test_synapse_from_transunets_arrays_is_not_called_ct(tmp_path: Path, convert: Converted) -> None:
    source = make_transunet(tmp_path / "Synapse")
    folder = convert("synapse", source, "--spacing", "3", "0.8", "0.7")
    assert _json(folder / "dataset.json")["channel_names"] == {"0": "noNorm"}
    (fold,) = _json(folder / "splits_final.json")
    assert len(fold["train"]) == 18
    assert len(fold["val"]) == 12
    image = SimpleITK.ReadImage(str(folder / "imagesTr/case0005_0000.nii.gz"))
    assert image.GetSpacing() == pytest.approx((0.7, 0.8, 3.0))
    for z in range(5):
        with np.load(source / f"train_npz/case0005_slice{z:03d}.npz") as arrays:
            assert_array_equal(SimpleITK.GetArrayFromImage(image)[z], arrays["image"])
            assert_array_equal(read_volume(folder / "labelsTr/case0005.nii.gz")[z], arrays["label"])


def test_synapse_reports_missing_cases_slices_and_strangers(tmp_path: Path, monkeypatch, capsys) -> None:
    source = make_transunet(tmp_path / "Synapse")
    (source / "train_npz/case0006_slice002.npz").unlink()
    (source / "test_vol_h5/case0035.npy.h5").rename(source / "test_vol_h5/case0011.npy.h5")
    report = refused(capsys, "synapse", source, "-o", str(tmp_path / "raw"))
    assert "train_npz/case0006_slice002.npz: is missing between its neighbours" in report
    assert "case0035 is missing; the 18/12 split needs all 30 cases" in report
    assert "test_vol_h5/case0011.npy.h5: is not one of the 30 cases" in report


def test_mosmed_plus(tmp_path: Path, convert: Converted) -> None:
    source = make_mosmed_plus(tmp_path / "MosMedDataPlus")
    mask = source / "Val_Folder/labelcol/Morozov_study_0007.png"
    mask.rename(mask.with_name(f"mask_{mask.name}"))
    folder = convert("mosmed_plus", source)
    (fold,) = _json(folder / "splits_final.json")
    assert (len(fold["train"]), fold["val"]) == (6, ["Morozov_study_0007", "Morozov_study_0008"])
    assert _names(folder / "labelsTs") == ["Morozov_study_0009.png", "Morozov_study_0010.png"]
    assert io.imread(folder / "imagesTr/Morozov_study_0001_0000.png").ndim == 2
    assert_array_equal(io.imread(folder / "labelsTr/Morozov_study_0001.png"), disc(1))


def test_isic2016_with_ph2(tmp_path: Path, convert: Converted) -> None:
    folder = convert("isic2016", make_isic2016(tmp_path / "source"))
    description = _json(folder / "dataset.json")
    assert description["channel_names"] == {"0": "R", "1": "G", "2": "B"}
    (fold,) = _json(folder / "splits_final.json")
    assert (len(fold["train"]), len(fold["val"])) == (6, 2)
    assert _names(folder / "imagesTs") == ["IMD100_0000.png", "IMD101_0000.png"]
    assert_array_equal(io.imread(folder / "labelsTs/IMD100.png"), disc(100))
    assert io.imread(folder / "imagesTr/ISIC_0000000_0000.png").shape == (40, 48, 3)


def test_isic2016_finds_ph2_elsewhere_or_goes_without(tmp_path: Path, convert: Converted, capsys) -> None:
    source = make_isic2016(tmp_path / "source")
    (source / "PH2Dataset").rename(tmp_path / "elsewhere")
    assert "--without_ph2" in refused(capsys, "isic2016", source)
    assert (convert("isic2016", source, "--ph2", str(tmp_path / "elsewhere")) / "labelsTs").is_dir()
    assert not (convert("isic2016", source, "--without_ph2", "--overwrite") / "labelsTs").exists()


def test_polyp_has_five_named_test_sets(tmp_path: Path, convert: Converted) -> None:
    folder = convert("polyp", make_polyp(tmp_path / "source"))
    tests = ["CVC-300", "CVC-ClinicDB", "CVC-ColonDB", "ETIS-LaribPolypDB", "Kvasir"]
    expected = ["imagesTr", *(f"imagesTs_{name}" for name in tests)]
    assert [name for name in _names(folder) if name.startswith("images")] == expected
    assert [name for name in _names(folder) if name.startswith("labelsTs")] == [f"labelsTs_{name}" for name in tests]
    assert not (folder / "splits_final.json").exists()
    assert_array_equal(io.imread(folder / "labelsTr/3.png"), disc(3))  # its source mask is grey
    assert_array_equal(io.imread(folder / "labelsTs_Kvasir/0.png"), disc(500))


def test_left_atrium(tmp_path: Path, convert: Converted) -> None:
    source = make_left_atrium(tmp_path / "LA")
    folder = convert("left_atrium", source)
    (fold,) = _json(folder / "splits_final.json")
    assert (len(fold["train"]), len(fold["val"])) == (4, 2)
    label = SimpleITK.ReadImage(str(folder / f"labelsTr/{fold['train'][0]}.nii.gz"))
    assert label.GetSize() == (12, 10, 8)  # x, y, z as in the file
    assert label.GetSpacing() == pytest.approx((0.625,) * 3)


def test_left_atrium_reports_its_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_left_atrium(tmp_path / "LA")
    with (source / "train.list").open("a") as file:
        file.write("NOTTHERE\n" + (source / "test.list").read_text().splitlines()[0] + "\n")
    report = refused(capsys, "left_atrium", source, "-o", str(tmp_path / "raw"))
    assert "NOTTHERE/mri_norm2.h5: is listed but missing" in report
    assert "is in train.list as well" in report


def test_lidc_takes_the_label_that_is_asked_for(tmp_path: Path, convert: Converted) -> None:
    source = make_lidc(tmp_path / "lidc")
    consensus = io.imread(convert("lidc", source) / "labelsTr/L0000_n0_s1.png")
    assert_array_equal(consensus, disc(0))
    reader = io.imread(convert("lidc", source, "--target", "rater3", "--overwrite") / "labelsTr/L0000_n0_s1.png")
    assert_array_equal(reader, np.roll(disc(0), 3, axis=1))
    drawn = []
    for seed in ("1", "1", "2"):
        folder = convert("lidc", source, "--target", "random", "--seed", seed, "--overwrite")
        manifest = {case["case"]: case["label_from"] for case in _json(folder / "manifest.json")["cases"]}
        for name, label_from in manifest.items():
            written, chosen = (io.imread(p / f"{name}.png") for p in (folder / "labelsTr", source / label_from))
            assert_array_equal(written, chosen)
        drawn.append(manifest)
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0].values())) > 1


def test_lidc_splits_by_patient(tmp_path: Path, convert: Converted) -> None:
    folder = convert("lidc", make_lidc(tmp_path / "lidc"))
    folds = _json(folder / "splits_final.json")
    assert len(folds) == 5
    assert all(not {n[:5] for n in fold["train"]} & {n[:5] for n in fold["val"]} for fold in folds)


def test_lidc_reports_what_the_table_and_the_folders_disagree_on(tmp_path: Path, capsys) -> None:
    source = make_lidc(tmp_path / "lidc")
    (source / "consensus/L0001_n0_s1.png").unlink()
    save(source / "images/L0099_n0_s1.png", disc(1))
    report = refused(capsys, "lidc", source, "-o", str(tmp_path / "raw"))
    assert "consensus/L0001_n0_s1.png: is missing" in report
    assert "images/L0099_n0_s1.png: is not in cases.csv" in report


def test_lidc_on_the_real_data(tmp_path: Path, convert: Converted, shared_data: Path) -> None:
    folder = convert("lidc", shared_data / "lidc_nodules", "--target", "random", "--seed", "3")
    assert _json(folder / "dataset.json")["numTraining"] == 530
    patient_of = {case["case"]: case["patient"] for case in _json(folder / "manifest.json")["cases"]}
    assert len(set(patient_of.values())) == 324
    for fold in _json(folder / "splits_final.json"):
        assert len(fold["train"]) + len(fold["val"]) == 530
        assert not {patient_of[name] for name in fold["train"]} & {patient_of[name] for name in fold["val"]}


def test_hippocampus_comes_out_as_it_went_in(tmp_path: Path, convert: Converted, shared_data: Path) -> None:
    source = shared_data / "Dataset004_Hippocampus"
    folder = convert("nifti_pairs", source)
    assert _names(folder / "imagesTr") == _names(source / "imagesTr")
    for kind in ("imagesTr", "labelsTr"):
        for path in sorted((source / kind).iterdir())[::20]:
            assert_array_equal(read_volume(folder / kind / path.name), read_volume(path))
    before, after = (_json(place / "dataset.json") for place in (source, folder))
    assert all(before[key] == after[key] for key in ("channel_names", "labels", "numTraining", "file_ending"))


@pytest.mark.parametrize("command", ["", "splits", *(recipe.command for recipe in RECIPES)])
def test_every_example_of_the_help_is_a_call_that_is_taken(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([*([command] if command else []), "--help"])
    page = capsys.readouterr().out
    program = "nnUNetv2_dale_convert "
    examples = [line.strip().removeprefix(program) for line in page.splitlines() if line.strip().startswith(program)]
    assert examples
    parser = recipe_parser(RECIPES)
    for words in examples:
        if not words.endswith("--help"):
            parser.parse_args(shlex.split(words))
    assert command or {"nifti_pairs", "splits"} <= {words.split()[0] for words in examples}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.command)
def test_every_page_is_complete(recipe, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([recipe.command, "--help"])
    page = capsys.readouterr().out
    words = ("Source", "Licence", "Images", "Classes", "Cases", "Split", "Caveats", "Expected in the folder of -i")
    assert [word for word in words if f"{word}:" not in page] == []
    assert all(len(line) <= 120 for line in page.splitlines())


def test_the_first_cases_of_the_left_atrium_keep_their_labels(tmp_path: Path, convert: Converted, capsys) -> None:
    source = make_left_atrium(tmp_path / "source")
    names = (source / "train.list").read_text().split()
    tests = (source / "test.list").read_text().split()
    (source / "train.list").write_text("\ufeff" + "\r\n".join(reversed(names)) + "\r\n", encoding="utf-8")
    folder = convert("left_atrium", source, "--labelled", "1")
    for name in [*names, *tests]:
        label = read_volume(folder / f"labelsTr/{name}.nii.gz")
        assert set(np.unique(label)) == ({0, 1} if name in (names[-1], *tests) else {2})
    assert _json(folder / "dataset.json")["labels"] == {"background": 0, "left atrium": 1, "ignore": 2}
    for labelled in ("0", str(len(names))):
        error = refused(capsys, "left_atrium", source, "--labelled", labelled)
        assert f"--labelled lies between 1 and {len(names) - 1}" in error


def test_a_left_atrium_case_in_neither_list_or_twice_is_named(tmp_path: Path, convert: Converted, capsys) -> None:
    source = make_left_atrium(tmp_path / "source")
    first, second, *_ = (source / "train.list").read_text().split()
    (source / "train.list").write_text(f"{second}\n{second}\n")
    error = refused(capsys, "left_atrium", source)
    assert f"{first}: is in neither list" in error
    assert f"train.list: lists {second} twice" in error
