"""The command on tiny datasets: what the copy holds, that it is reproducible, and every refusal."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from nnunetv2_dale.label_noise.cli import main
from tests.datasets import change_description, files_in, read_volume, write_raw_dataset, write_volume
from tests.label_noise.fixtures import TURNED, run, table_of

DILATE = ("--kind", "dilate", "--amount", "1")


def refused(raw: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command says to flags with which it ends and writes nothing."""
    assert run(*arguments) == 2
    assert [path.name for path in raw.iterdir()] == ["Dataset004_Tiny"]
    return capsys.readouterr().err


def test_copy_holds_noisy_and_clean_labels_changes_and_table(raw: Path) -> None:
    assert run("--kind", "dilate", "--dice", "0.8", "--seed", "1") == 0
    source, copy = raw / "Dataset004_Tiny", raw / "Dataset904_Tiny"
    before, after = files_in(source), files_in(copy)
    assert {name: after[name] for name in before if not name.startswith("labelsTr")} == {
        name: content for name, content in before.items() if not name.startswith("labelsTr")
    }
    rows, dices = table_of(copy), []
    for name in (f"case {number}" for number in range(8)):
        assert after[f"labelsTr_clean/{name}.nii.gz"] == before[f"labelsTr/{name}.nii.gz"]
        clean, noisy = (read_volume(copy / part / f"{name}.nii.gz") for part in ("labelsTr_clean", "labelsTr"))
        change = read_volume(copy / "labelsTr_changed" / f"{name}.nii.gz")
        assert np.array_equal(change > 0, clean != noisy)
        assert np.array_equal(clean == 3, noisy == 3)
        a, b = np.isin(clean, (1, 2)), np.isin(noisy, (1, 2))
        if a.any():
            dices.append(2 * (a & b).sum() / (a.sum() + b.sum()))
            assert float(rows[name]["dice"]) == pytest.approx(dices[-1], abs=1e-5)
            assert int(rows[name]["voxels_added"]) == (b & ~a).sum()
    assert np.mean(dices) == pytest.approx(0.8, abs=0.02)
    assert after["labelsTr/case 0.nii.gz"] == before["labelsTr/case 0.nii.gz"]  # background only
    settings = json.loads(after["label_noise.json"])
    assert settings["mean_dice_of_corrupted_cases_with_foreground"] == pytest.approx(np.mean(dices), abs=1e-5)


def test_geometry_is_untouched(raw: Path) -> None:
    assert run("--kind", "boundary", "--amount", "9") == 0
    for name in ("labelsTr", "labelsTr_changed"):
        old, new = (
            SimpleITK.ReadImage(str(raw / folder / part / "case 3.nii.gz"))
            for folder, part in (("Dataset004_Tiny", "labelsTr"), ("Dataset904_Tiny", name))
        )
        assert (old.GetSpacing(), old.GetOrigin(), old.GetDirection(), old.GetSize()) == (
            new.GetSpacing(),
            new.GetOrigin(),
            new.GetDirection(),
            new.GetSize(),
        )


def test_same_seed_gives_the_same_bytes_with_two_processes(raw: Path) -> None:
    noise = ("--kind", "boundary", "smooth", "swap", "--dice", "0.85", "--seed", "5", "--fraction", "0.6")
    assert run(*noise) == 0
    first = files_in(raw / "Dataset904_Tiny")
    assert main(["-d", "Dataset004_Tiny", "--new_id", "904", "-np", "2", *noise, "--overwrite"]) == 0
    assert files_in(raw / "Dataset904_Tiny") == first
    settings = json.loads(first["label_noise.json"])
    assert len(settings["corrupted"]) + len(settings["drawn_but_unchanged"]) == 5


def test_validation_cases_stay_clean_and_splits_travel(raw: Path, tmp_path: Path) -> None:
    names = [f"case {number}" for number in range(8)]
    splits = [{"train": names[2:], "val": names[:2]}, {"train": names[:6], "val": names[6:]}]
    file = tmp_path / "my splits.json"
    file.write_text(json.dumps(splits))
    assert run("--kind", "erode", "--amount", "1", "--splits", str(file), "--fold", "1") == 0
    rows = table_of(raw / "Dataset904_Tiny")
    assert [name for name in names if rows[name]["kind"]] == names[:6]
    assert all(float(rows[name]["dice"]) == 1 for name in names[6:])
    placed = tmp_path / "preprocessed" / "Dataset904_Tiny" / "splits_final.json"
    assert json.loads(placed.read_text()) == splits
    assert run("--kind", "erode", "--amount", "1", "--splits", str(file), "--overwrite") == 0
    assert [name for name in names if table_of(raw / "Dataset904_Tiny")[name]["kind"]] == names[2:6]


def test_labels_of_readers_stay_behind_and_what_is_known_travels(raw: Path) -> None:
    source, copy = raw / "Dataset004_Tiny", raw / "Dataset904_Tiny"
    (source / "ratersTr" / "anna").mkdir(parents=True)
    (source / "confidence.csv").write_text("case,weight\ncase 1,0.5\n")
    (source / "confidenceTr").mkdir()
    (first,) = (source / "labelsTr").glob("case 1.*")
    shutil.copy(first, source / "confidenceTr")
    assert run(*DILATE) == 0
    assert not (copy / "ratersTr").exists()
    assert (copy / "confidenceTr" / first.name).read_bytes() == first.read_bytes()
    for place in (copy, copy / "labelsTr_clean"):  # whoever is judged by the clean labels takes what is said of these
        assert (place / "confidence.csv").read_text() == (source / "confidence.csv").read_text()


@pytest.mark.parametrize("place", ["raw", "preprocessed"])
def test_patients_travel(raw: Path, place: str) -> None:
    folder = raw.parent / place / "Dataset004_Tiny"
    folder.mkdir(exist_ok=True)
    (folder / "splits_patients.json").write_text('{"case 1": "one", "case 2": "one"}')
    assert run(*DILATE) == 0
    copied = json.loads((raw / "Dataset904_Tiny" / "splits_patients.json").read_text())
    assert copied == {"case 1": "one", "case 2": "one"}


@pytest.mark.parametrize("flags", [(), ("--link", "symbolic")])
def test_a_damaged_test_image_is_named_and_not_copied(raw: Path, flags: tuple[str, ...], capsys) -> None:
    file = raw / "Dataset004_Tiny" / "imagesTs" / "new_0000.nii.gz"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert "imagesTs/new_0000.nii.gz: is damaged" in refused(raw, capsys, *DILATE, *flags)


def test_files_behind_a_link_to_a_folder_are_copied(raw: Path, tmp_path: Path) -> None:
    folder = raw / "Dataset004_Tiny"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "notes.txt").write_text("read by nobody")
    (folder / "documents").mkdir()
    (folder / "documents" / "more").symlink_to(tmp_path / "elsewhere")
    assert run(*DILATE) == 0
    assert (raw / "Dataset904_Tiny/documents/more/notes.txt").read_text() == "read by nobody"


def test_files_that_are_no_images_are_copied_as_they_are(raw: Path) -> None:
    folder = raw / "Dataset004_Tiny"
    strays = ("imagesTs/.gitkeep", "imagesTs/._new_0000.nii.gz", "labelsTr/.gitkeep", "README", "notes/empty.txt")
    (folder / "notes").mkdir()
    for name in strays:
        (folder / name).touch()
    assert run(*DILATE) == 0
    copied = files_in(raw / "Dataset904_Tiny")
    assert [copied.get(name) for name in strays] == [b"", b"", None, b"", b""]  # of labelsTr only the labels


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_link_that_cannot_be_made_says_what_to_do(raw: Path, capsys, monkeypatch, processes: str) -> None:
    def another_disk(source: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link", str(source), None, str(target))

    monkeypatch.setattr(os, "link", another_disk)  # workers are forked and have it too, or say so by failing
    error = refused(raw, capsys, *DILATE, "--link", "hard", "-np", processes)
    assert "cannot have a hard link where the copy goes (Invalid cross-device link); give --link symbolic" in error


def test_overwrite_replaces_only_a_noisy_copy(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = raw / "Dataset904_Tiny"
    shutil.copytree(raw / "Dataset004_Tiny", other)
    (other / "manifest.json").write_text('{"nnunetv2_dale": "1.0.0"}')  # a conversion is no noisy copy either
    before = files_in(other)
    assert run(*DILATE, "--overwrite") == 2
    assert "already exists and is no earlier result of this command" in capsys.readouterr().err
    assert files_in(other) == before
    shutil.rmtree(other)
    (raw / "Dataset004_Tiny/manifest.json").write_text('{"nnunetv2_dale": "1.0.0"}')  # which goes along
    for _ in range(2):
        assert run(*DILATE, "--overwrite") == 0


def test_links(raw: Path) -> None:
    assert run(*DILATE, "--link", "hard") == 0
    source, copy = raw / "Dataset004_Tiny", raw / "Dataset904_Tiny"
    assert (source / "imagesTr" / "case 1_0000.nii.gz").samefile(copy / "imagesTr" / "case 1_0000.nii.gz")
    before = files_in(source)
    assert run("--kind", "dilate", "--amount", "2", "--link", "symbolic", "--overwrite") == 0
    assert (copy / "imagesTs" / "new_0000.nii.gz").is_symlink()
    assert files_in(source) == before


def test_unreachable_dice_writes_nothing_unless_asked(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unreachable = ("--kind", "smooth", "--dice", "0.05")
    assert "the closest is 0." in refused(raw, capsys, *unreachable)
    assert run(*unreachable, "--keep_closest") == 1
    assert (raw / "Dataset904_Tiny" / "label_noise.csv").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--kind", "dilate"), "--dice for a mean Dice, or --amount"),
        (("--kind", "dilate", "--dice", "1.5"), "--dice lies between"),
        (("--kind", "swap", "--dice", "0.8"), "swap leaves the foreground"),
        (("--kind", "missing", "--amount", "2"), "from 0 to 1"),
        ((*DILATE, "--fold", "0"), "--fold needs"),
        ((*DILATE, "--fraction", "0.01"), "no case is left"),
        ((*DILATE, "--splits", "/nowhere.json"), "cannot be read"),
        ((*DILATE, "--new_id", "4"), "is the dataset itself"),
        ((*DILATE, "-d", "77"), "no dataset"),
    ],
)
def test_refusals(raw: Path, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in refused(raw, capsys, *arguments)


def test_all_problems_are_listed_and_nothing_is_written(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = raw / "Dataset004_Tiny" / "labelsTr"
    (labels / "case 1.nii.gz").rename(labels / "case 11.nii.gz")
    error = refused(raw, capsys, *DILATE)
    assert "case 1_0000.nii.gz: image without a label" in error
    assert "case 11.nii.gz: label without an image" in error
    (labels / "case 11.nii.gz").rename(labels / "case 1.nii.gz")
    (labels / "case 2.nii.gz").write_bytes(b"no image")
    write_volume(np.full((8, 20, 22), 7, np.uint8), labels / "case 3.nii.gz", **TURNED)
    error = refused(raw, capsys, *DILATE)
    assert "case 2.nii.gz: is damaged" in error
    assert "case 3.nii.gz: holds the label 7" in error


def test_mismatching_shape_is_found_and_leaves_nothing(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_volume(np.ones((8, 20, 21), np.uint8), raw / "Dataset004_Tiny" / "labelsTr" / "case 4.nii.gz", **TURNED)
    assert "case 4.nii.gz: has shape (8, 20, 21)" in refused(raw, capsys, *DILATE)


def test_two_dimensional_png(raw: Path) -> None:
    label = np.zeros((40, 40), np.uint8)
    label[12:28, 10:30] = 1
    names = {"labels": {"background": 0, "x": 1}, "channel_names": {"0": "grey"}, "file_ending": ".png"}
    write_raw_dataset(raw / "Dataset005_Flat", {"a": label}, {"a": [5 * label + 3]}, **names)
    assert main(["-d", "5", "--new_id", "905", "-np", "1", "--kind", "shift", "--amount", "4"]) == 0
    moved = read_volume(raw / "Dataset905_Flat" / "labelsTr" / "a.png")
    assert moved.sum() == label.sum()
    centre = np.argwhere(moved).mean(0) - np.argwhere(label).mean(0)
    assert np.linalg.norm(centre) == pytest.approx(4, abs=1.2)


def test_a_case_that_the_noise_left_unchanged_is_counted_so(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Case 0 has no foreground, so that no noise can change it."""
    assert run("--kind", "dilate", "--amount", "2") == 0
    assert "7 of 8 cases corrupted" in (said := capsys.readouterr().out)
    assert "1 drawn but left unchanged by the noise" in said
    settings = json.loads((raw / "Dataset904_Tiny/label_noise.json").read_text())
    assert settings["drawn_but_unchanged"] == ["case 0"]
    assert settings["corrupted"] == [f"case {number}" for number in range(1, 8)]


def _many(raw: Path, ignored: bool) -> None:
    """Dataset006_Many: 30 cases, the first five without foreground; with `ignored`, all around the organ is."""
    labels = {f"c{number:02d}": np.full((3, 14, 14), 3 if ignored else 0, np.uint8) for number in range(30)}
    for label in list(labels.values())[5:]:
        label[:, 4:10, 3:9], label[:, 4:10, 6:9] = 1, 2
    names = {"background": 0, "a": 1, "b": 2, "ignore": 3}
    write_raw_dataset(raw / "Dataset006_Many", labels, geometry=TURNED, labels=names)


@pytest.mark.parametrize("noise", ["--dice 0.85", "--amount 1 0.3"])
@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_fraction_is_met_where_the_noise_leaves_cases_unchanged(raw: Path, noise: str, seed: str, capsys) -> None:
    """Cases without foreground, and those whose swap swaps nothing, are replaced: 9 of 30, and 12 that hold them."""
    _many(raw, ignored=False)
    corrupted = []
    for fraction in ("0.3", "0.4"):
        words = ["-d", "6", "--new_id", "906", "-np", "1", "--kind", "dilate", "swap", "--weights", "2", "1"]
        assert main([*words, "--overwrite", *noise.split(), "--seed", seed, "--fraction", fraction]) == 0
        copy = raw / "Dataset906_Many"
        settings = json.loads((copy / "label_noise.json").read_text())
        assert settings["drawn_but_unchanged"] == []
        changed = [
            name
            for name, row in table_of(copy).items()
            if (read_volume(copy / f"labelsTr_changed/{name}.nii.gz") > 0).any() and row["kind"]
        ]
        assert changed == settings["corrupted"]
        corrupted.append(set(changed))
    assert [len(names) for names in corrupted] == [9, 12]
    said = capsys.readouterr().out
    if "dice" in noise:
        assert settings["mean_dice_of_corrupted_cases_with_foreground"] == pytest.approx(0.85, abs=0.02)
        scale = settings["noise"][0]["amount"]
        assert f"all amounts were multiplied by {scale:.4g}: dilate {scale:.4g} mm, swap {0.2 * scale:.4g} prob" in said
    else:
        assert corrupted[0] <= corrupted[1]


def test_labels_without_room_are_refused_and_the_others_keep_their_ignored_voxels(raw: Path, capsys) -> None:
    _many(raw, ignored=True)
    assert main(["-d", "6", "--new_id", "906", "-np", "1", "--kind", "dilate", "--amount", "3"]) == 2
    assert "the noise changes none of the 30 labels" in capsys.readouterr().err
    assert main(["-d", "6", "--new_id", "906", "-np", "1", "--kind", "dilate", "--dice", "0.8"]) == 2
    assert "the closest is 1.000" in capsys.readouterr().err
    assert not (raw / "Dataset906_Many").exists()
    assert main(["-d", "6", "--new_id", "906", "-np", "1", "--kind", "erode", "--amount", "2"]) == 0
    clean, noisy = (read_volume(raw / f"{name}/labelsTr/c07.nii.gz") for name in ("Dataset006_Many", "Dataset906_Many"))
    np.testing.assert_array_equal(clean == 3, noisy == 3)
    assert (noisy != clean).any()


@pytest.mark.parametrize("kind", ["boundary 20", "dilate 2", "erode 2", "shift 3", "smooth 6"])
def test_a_single_slice_gets_the_same_noise_whatever_its_axis(raw: Path, kind: str) -> None:
    noise = ("--kind", kind.split()[0], "--amount", kind.split()[1], "--seed", "2")
    axial = np.zeros((1, 24, 28), np.uint8)
    axial[0, 6:17, 7:19] = 1
    image = np.random.default_rng(1).normal(100, 20, axial.shape).astype(np.float32)
    rows, noisy = [], []
    for axis in range(3):
        moved = [np.moveaxis(each, 0, axis) for each in (axial, image)]
        geometry = {**TURNED, "spacing_zyx": np.roll([4.0, 1.0, 1.0], axis).tolist()}
        names = {"background": 0, "organ": 1}
        write_raw_dataset(raw / f"Dataset01{axis}_Slice", {"a": moved[0]}, {"a": moved[1:]}, geometry, labels=names)
        assert main(["-d", f"1{axis}", "--new_id", f"91{axis}", "-np", "1", *noise]) == 0
        copy = raw / f"Dataset91{axis}_Slice"
        noisy.append(np.moveaxis(read_volume(copy / "labelsTr/a.nii.gz"), axis, 0))
        rows.append(table_of(copy)["a"])
    assert (noisy[0] != axial).any()
    for axis in (1, 2):
        np.testing.assert_array_equal(noisy[axis], noisy[0])
        assert rows[axis] == rows[0]


def test_a_dataset_name_with_a_space_and_a_dot_is_kept(raw: Path) -> None:
    (raw / "Dataset004_Tiny").rename(raw / "Dataset004_My Data.v2")
    assert run(*DILATE) == 0
    assert (raw / "Dataset904_My Data.v2/label_noise.csv").is_file()


def test_labels_above_255_are_written_as_they_are_or_refused(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = raw / "Dataset004_Tiny"
    for path in (folder / "labelsTr").iterdir():
        label = read_volume(path).astype(np.uint16)
        label[label == 2] = 300
        write_volume(label, path, **TURNED)
    change_description(folder, labels={"background": 0, "a": 1, "b": 300, "ignore": 3})
    assert run(*DILATE) == 0
    assert set(np.unique(read_volume(raw / "Dataset904_Tiny/labelsTr/case 1.nii.gz"))) == {0, 1, 3, 300}
    change_description(folder, overwrite_image_reader_writer="SimpleITKIOWithReorient")  # it writes 8 bits
    assert run(*DILATE, "--overwrite") == 2
    assert "labels above 255" in capsys.readouterr().err
