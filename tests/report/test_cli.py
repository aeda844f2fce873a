"""The whole command on small result folders: known numbers, every bad input, nothing written on an error."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from nnunetv2_dale.report.cli import _command, main, report_parser
from nnunetv2_dale.report.page import verdict
from nnunetv2_dale.report.page_tables import tables_of
from nnunetv2_dale.report.report_data import read_report
from nnunetv2_dale.report.sides import labels_of
from tests.datasets import ELLIPSOIDS, ellipsoids, write_ellipsoids, write_results, write_summary, write_volume
from tests.report.fixtures import FAST, Study, make_study, report_of, row_of


@pytest.mark.parametrize(
    "flags",
    [
        ["-f", "0", "1", "--patients", "table of patients.csv"],
        ["--tolerance_mm", "1", "--tau", "0.5", "--patch_size", "8", "--resamples", "99", "--seed", "3"],
        ["--references", "labels", "--images", "images", "--summary_only"],
        ["--no_pictures", "--no_paths"],
        [],
    ],
    ids=str,
)
def test_the_command_that_a_report_names_asks_for_the_same(flags: list[str]) -> None:
    asked = vars(report_parser().parse_args(["a folder", "b", *flags, "-o", "report", "-np", "1"]))
    named = shlex.split(_command(report_parser().parse_args(["a folder", "b", *flags, "-o", "report"])))
    assert vars(report_parser().parse_args([*named[1:], "-o", "report", "-np", "1"])) == asked


def test_everything_is_written(made: tuple[Study, Path]) -> None:
    assert {file.name for file in made[1].iterdir()} == {
        *("report.json", "report.html", "comparisons.csv", "cases.csv", "comparisons.tex", "overlays")
    }
    assert len(list((made[1] / "overlays").iterdir())) == 8  # 4 best and 4 worst of 8 cases


def test_numbers_against_the_masks(made: tuple[Study, Path]) -> None:
    report = report_of(made[1])
    shift = {n: (1 + n % 3, 4 if n == 3 else n % 2) for n in range(8)}
    dice = np.array([[shifted_dice(n, voxels) for voxels in shift[n]] for n in range(8)])
    row = row_of(report, "Dice")
    assert (row["baseline"], row["candidate"]) == tuple(
        f"{trainer}__nnUNetPlans__3d_fullres" for trainer in ("nnUNetTrainer", "nnUNetTrainerDALE")
    )
    assert row["mean_baseline"] == pytest.approx(dice[:, 0].mean())
    assert row["mean"] == pytest.approx(dice[:, 1].mean())
    assert row["difference"] == pytest.approx((dice[:, 1] - dice[:, 0]).mean())
    gains = dice[:, 1] - dice[:, 0]
    assert (row["n"], row["n_better"], row["n_worse"]) == (8, (gains > 0.01).sum(), (gains < -0.01).sum())
    assert row["ci95"][0] < row["difference"] < row["ci95"][1]
    # A shift by k voxels of 1 mm moves no surface further than k mm: all of it is within 2 mm for k <= 2.
    values = report["runs"][1]["values"]
    assert values["Surface Dice"]["mean"][0] == 1.0
    assert values["HD95"]["mean"][0] == 0.0
    assert values["HD95"]["mean"][1] == 1.0
    hd95 = row_of(report, "HD95")
    assert hd95["unit"] == "mm"
    assert hd95["higher_is_better"] is False


def shifted_dice(case: int, voxels: int) -> float:
    labels = ellipsoids(case)
    moved = np.roll(labels, voxels, axis=2)
    return float(np.mean([2 * ((labels == k) & (moved == k)).sum() / (2 * (labels == k).sum()) for k in (1, 2)]))


def test_fuzzy_region_splits_the_masks(made: tuple[Study, Path]) -> None:
    report = report_of(made[1])
    assert report["settings"]["fuzzy_source"] == "image and reference"
    # along an axis of 48 voxels 5 patches of 9 voxels fit, not of the 16 asked for; slices are three times as far apart
    assert report["settings"]["fuzzy_patches"] == "3 × 9 × 9"
    assert "Patches of the reference (3 × 9 × 9 voxels)" in (made[1] / "report.html").read_text(encoding="utf-8")
    inside, outside = (row_of(report, f"Dice ({where})") for where in ("fuzzy region", "outside fuzzy region"))
    assert inside["n"] > 0
    assert outside["n"] > 0
    whole = row_of(report, "Dice")["mean_baseline"]
    assert min(inside["mean_baseline"], outside["mean_baseline"]) < whole + 0.02
    assert max(inside["mean_baseline"], outside["mean_baseline"]) > whole - 0.02


def test_provenance_and_cost(made: tuple[Study, Path]) -> None:
    first, second = report_of(made[1])["runs"]
    assert first["dale"] is None
    assert second["dale"] == {"alignment_weight": 0.0, "seed": 7}
    assert (first["seed"], second["seed"]) == (None, "7")
    assert first["missing_folds"] == ["2", "3", "4"]
    assert first["facts"]["patch size"] == "16 × 48 × 48"
    assert [cost["epochs"] for cost in second["costs"]] == [8, 8]
    assert second["costs"][0]["seconds_per_epoch"] == (7 * 45 + 44) / 8
    assert second["costs"][0]["hours"] == pytest.approx((7 * 45 + 44) / 3600)


def test_csv_and_latex_say_the_same(made: tuple[Study, Path]) -> None:
    report = report_of(made[1])
    with (made[1] / "comparisons.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(report["comparisons"])
    assert float(rows[0]["difference"]) == report["comparisons"][0]["difference"]
    assert float(rows[0]["ci95_low"]) == report["comparisons"][0]["ci95"][0]
    with (made[1] / "cases.csv").open(newline="") as file:
        cases = list(csv.DictReader(file))
    assert len(cases) == 8 * 2 * 3
    latex = (made[1] / "comparisons.tex").read_text()
    assert r"nnUNetTrainerDALE\_\_nnUNetPlans\_\_3d\_fullres" in latex
    assert f"{100 * row_of(report, 'Dice')['mean']:.2f}" in latex


def test_drawn_again_from_json(made: tuple[Study, Path], tmp_path: Path) -> None:
    assert main(["--from_json", str(made[1] / "report.json"), "-o", str(tmp_path / "again")]) == 0
    for file in ("report.json", "report.html", "comparisons.csv", "comparisons.tex", "cases.csv"):
        assert (tmp_path / "again" / file).read_bytes() == (made[1] / file).read_bytes()


def test_a_further_page_is_linked_as_seen_from_the_report(made: tuple[Study, Path], tmp_path: Path) -> None:
    source, output = str(made[1] / "report.json"), tmp_path / "reports" / "again"
    flags = ["--page_link", str(tmp_path / "my page.html"), "What <was> done"]
    assert main(["--from_json", source, "-o", str(output), *flags]) == 0
    assert '<a href="../../my%20page.html">What &lt;was&gt; done</a>' in (output / "report.html").read_text()
    assert main(["--from_json", str(output), "-o", str(output.with_name("third"))]) == 0  # the JSON keeps it
    assert report_of(output.with_name("third"))["links"] == [
        {"text": "What <was> done", "href": "../../my%20page.html"}
    ]


def test_several_processes_give_the_same_numbers(made: tuple[Study, Path], tmp_path: Path) -> None:
    study, report = made
    places = ["--references", str(study.raw / "labelsTr"), "--images", str(study.raw / "imagesTr")]
    arguments = [*study.folders, *places, "-o", str(tmp_path / "r"), "-np", "2", "--resamples", "200"]
    assert main(arguments) == 0
    assert report_of(tmp_path / "r")["comparisons"] == report_of(report)["comparisons"]


def test_three_runs_of_the_same_name_and_patients(study: Study, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / study.candidate.name
    shutil.copytree(study.candidate, other)
    table = tmp_path / "cases.csv"
    table.write_text("case;patient\n" + "".join(f"case_{n:02d};p{n // 2}\n" for n in range(8)), "utf-8-sig")
    output = tmp_path / "report"
    arguments = [*study.folders, str(other), "--patients", str(table), "--summary_only", "-o", str(output), *FAST]
    assert main(arguments) == 0
    report = report_of(output)
    assert len({run["name"] for run in report["runs"]}) == 3
    assert {row["n_patients"] for row in report["comparisons"]} == {4}
    assert {row["metric"] for row in report["comparisons"]} == {"Dice", "IoU", "Precision", "Recall"}


def test_without_images_the_page_says_where_m_comes_from(study: Study, tmp_path: Path) -> None:
    output = tmp_path / "report"
    (study.raw / "imagesTr").rename(tmp_path / "elsewhere")
    assert main([*study.folders, "--references", str(study.raw / "labelsTr"), "-o", str(output), *FAST]) == 0
    assert report_of(output)["settings"]["fuzzy_source"] == "reference edges alone"
    assert "reference edges alone" in (output / "report.html").read_text(encoding="utf-8")
    assert not (output / "overlays").exists()


def test_missed_classes_are_counted_and_have_no_distance(tmp_path: Path) -> None:
    raw = write_ellipsoids(tmp_path / "raw", 3)
    names = [f"case_{n:02d}" for n in range(3)]
    folders = [
        write_results(tmp_path / "results" / ELLIPSOIDS / f"{trainer}__p__2d", raw, dict.fromkeys(names, 0))
        for trainer in ("A", "B")
    ]
    missed = folders[1] / "fold_0" / "validation" / "case_00.nii.gz"
    write_volume(np.where(ellipsoids(0) == 2, 0, ellipsoids(0)).astype(np.uint8), missed)
    write_summary(missed.parent, raw)
    output = tmp_path / "report"
    arguments = [*map(str, folders), "--references", str(raw / "labelsTr"), "-o", str(output), *FAST]
    assert main(arguments) == 0
    report = report_of(output)
    assert report["runs"][1]["empty"][1] == {
        "class": "2",
        "both_empty": 0,
        "prediction_empty": 1,
        "reference_empty": 0,
    }
    assert row_of(report, "Dice", "2")["mean"] == pytest.approx(2 / 3)
    assert (row_of(report, "HD95", "2")["n"], row_of(report, "HD95", "2")["n_not_counted"]) == (2, 1)
    assert report["runs"][1]["values"]["Dice"]["mean"][0] == pytest.approx(0.5)
    assert report["runs"][1]["values"]["HD95"]["mean"][0] == 0.0  # class 1 alone, in both runs


def test_precision_recall_and_lesions_are_beside_the_dice(made: tuple[Study, Path]) -> None:
    report = report_of(made[1])
    for number, shift in ((3, 4), (5, 1)):
        labels, values = ellipsoids(number), report["runs"][1]["values"]
        moved = np.roll(labels, shift, axis=2)
        for key in (1, 2):
            common, predicted, true = (
                ((labels == key) & (moved == key)).sum(),
                (moved == key).sum(),
                (labels == key).sum(),
            )
            assert values["Precision"][str(key)][number] == pytest.approx(common / predicted)
            assert values["Recall"][str(key)][number] == pytest.approx(common / true)
    assert row_of(report, "Lesion F1")["mean"] == 1.0  # every ellipsoid is in one piece, and is hit
    assert report["runs"][0]["lesions"][1] == {"class": "2", "in_reference": 8, "in_prediction": 8, "matched": 8}
    page = (made[1] / "report.html").read_text(encoding="utf-8")
    assert "What was found: precision, recall, connected parts" in page
    assert "Connected parts in 8 cases" in page
    assert "esion" not in re.sub(
        r"<img[^>]*>|such as its lesions|lesions_matched_above_iou", "", page
    )  # these classes are organs
    with (made[1] / "cases.csv").open(newline="") as file:
        columns = next(csv.reader(file))
    # by position as in earlier releases
    assert columns[6:12] == ["Dice", "IoU", "HD95", "ASD", "Surface Dice", "Dice (fuzzy region)"]
    assert columns[-3:] == ["Precision", "Recall", "Lesion F1"]


def test_cases_that_are_empty_in_both_are_not_counted_and_their_number_is_shown(tmp_path: Path) -> None:
    """4 of 10 cases have no class 2 and none is predicted; in one more it is found where there is none."""
    raw = write_ellipsoids(tmp_path / "raw", 10)
    for case in range(5):
        without = np.where(ellipsoids(case) == 2, 0, ellipsoids(case)).astype(np.uint8)
        write_volume(without, raw / "labelsTr" / f"case_{case:02d}.nii.gz")
    names = [f"case_{n:02d}" for n in range(10)]
    results = tmp_path / "results" / ELLIPSOIDS
    folders = [write_results(results / f"{trainer}__p__2d", raw, dict.fromkeys(names, 0)) for trainer in ("A", "B")]
    false = folders[1] / "fold_0" / "validation" / "case_04.nii.gz"
    write_volume(ellipsoids(4), false)
    write_summary(false.parent, raw)
    output = tmp_path / "report"
    assert main([*map(str, folders), "--references", str(raw / "labelsTr"), "-o", str(output), *FAST]) == 0
    report = report_of(output)
    for metric in ("Dice", "Precision", "Recall", "Lesion F1", "Surface Dice"):
        row = row_of(report, metric, "2")
        assert (row["n"], row["n_not_counted"]) == (5, 5)  # in case_04 the baseline has none: no pair
        counted = [value for value in report["runs"][1]["values"][metric]["2"] if value is not None]
        assert counted == [0, 1, 1, 1, 1, 1]
    assert report["runs"][1]["empty"][1] == {"class": "2", "both_empty": 4, "prediction_empty": 0, "reference_empty": 1}
    assert report["runs"][1]["lesions"][1] == {"class": "2", "in_reference": 5, "in_prediction": 6, "matched": 5}
    table = tables_of(read_report(output / "report.json"), {run["name"]: run["name"] for run in report["runs"]})
    compared = next(each for each in read_report(output / "report.json").comparisons if each.class_key == "2")
    names = {each: each for each in (compared.baseline, compared.candidate)}
    assert "5 cases (5 more have no Dice" in verdict(compared, names)
    parts, empty = table["lesions"], table["empty"]
    assert parts is not None
    assert empty is not None
    assert [[cell["sort"] for cell in row[2:]] for row in parts.rows[2:]] == [[5, 5, 5, 0, 5, 0], [6, 5, 5, 0, 6, 1]]
    assert [[cell["sort"] for cell in row[2:]] for row in empty.rows[2:]] == [[5, 0, 0], [4, 0, 1]]


def test_a_trainer_whose_method_never_ran_is_named(study: Study, tmp_path: Path, capsys) -> None:
    """In fold 0 nothing ran; fold 1 was trained twice, and its last training counts."""
    log = "training_log_2025_1_1_00_00_00.txt"
    plan = "2025-01-01 00:00:01: DALE: Algorithm 1 in batches 24 to 56 of 80, every second "
    nothing = "2025-01-01 00:10:00.5: DALE: Algorithm 1 in 0 of 80 batches: this is plain nnU-Net "
    some = "2025-01-01 00:20:00: DALE: Algorithm 1 in 17 of 80 batches; cases were down-weighted in 0 of 8 epochs "
    for fold, lines in ((0, [plan, nothing]), (1, [plan, nothing, plan, some])):
        with (study.candidate / f"fold_{fold}" / log).open("a") as file:
            file.write("\n".join(lines) + "\n")
    assert main([*study.folders, "-o", str(tmp_path / "report"), "--summary_only", *FAST]) == 0
    assert report_of(tmp_path / "report")["runs"][0]["ran"] == {}
    assert report_of(tmp_path / "report")["runs"][1]["ran"] == {
        "0": "Algorithm 1 in 0 of 80 batches: this is plain nnU-Net",
        "1": "Algorithm 1 in 17 of 80 batches; cases were down-weighted in 0 of 8 epochs",
    }
    said = f"{study.candidate.name}: Algorithm 1 in 0 of 80 batches: this is plain nnU-Net (fold 0)"
    assert said in capsys.readouterr().err
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert said in page
    assert "Algorithm 1 in 17 of 80 batches; cases were down-weighted in 0 of 8 epochs (fold 1)" in page
    assert "This compares two models; to compare two trainers, repeat them." in page


def test_a_report_without_pictures_and_paths(study: Study, tmp_path: Path) -> None:
    """Of folders with a space, of which one lacks a fold's summary; from results, and drawn again."""
    results = tmp_path / "my results"
    for folder in (study.baseline, study.candidate):
        shutil.copytree(folder, results / folder.name)
    words = [str(results / Path(folder).name) for folder in study.folders]
    words += ["--references", str(study.raw / "labelsTr"), "--images", str(study.raw / "imagesTr"), *FAST]
    flags = ["--no_pictures", "--no_paths"]
    assert main([*words, "-o", str(tmp_path / "all")]) == 0
    assert main([*words, "-o", str(tmp_path / "none"), *flags]) == 0
    assert main(["--from_json", str(tmp_path / "all"), "-o", str(tmp_path / "again"), *flags]) == 0
    assert main(["--from_json", str(tmp_path / "none"), "-o", str(tmp_path / "none again")]) == 0
    for name, holds in (("all", True), ("none", False), ("again", False), ("none again", False)):
        assert (tmp_path / name / "overlays").exists() is holds
        texts = [file.read_text(encoding="utf-8") for file in (tmp_path / name).iterdir() if file.is_file()]
        assert len(texts) == 5
        assert any("data:image/png" in text for text in texts) is holds
        assert any("pictures of patients, paths of files" in text for text in texts) is holds
        assert any(str(each) in text for text in texts for each in (tmp_path, study.raw)) is holds
        written = [re.sub("<script>.*</script>", "", text, flags=re.S) for text in texts]
        assert any(re.search(r"""(?:^|[\s"'(=])/[\w.-]+/""", text) for text in written) is holds
        assert any("case_00" in text for text in texts)


def test_a_flipped_prediction_is_told_everywhere(study: Study, tmp_path: Path, capsys) -> None:
    file = study.candidate / "fold_1" / "validation" / "case_03.nii.gz"
    SimpleITK.WriteImage(SimpleITK.Flip(SimpleITK.ReadImage(str(file)), [False, True, False]), str(file))
    write_summary(file.parent, study.raw)
    output = tmp_path / "report"
    assert main([*study.folders, "--references", str(study.raw / "labelsTr"), "-o", str(output), *FAST]) == 0
    report = report_of(output)
    assert report["misplaced"] == [
        {
            "case": "case_03",
            "run": study.candidate.name,
            "file": "case_03.nii.gz",
            "differs": ["origin", "direction"],
            "apart_mm": 47.0,
        }
    ]
    sentence = (
        "the predictions of 1 case (case_03) are stored with another direction and origin than the references, up to "
        "47.0 mm away. All numbers compare voxel by voxel, as nnU-Net's own summary.json does."
    )
    assert sentence in capsys.readouterr().err
    assert any(sentence in remark for remark in report["remarks"])
    page = (output / "report.html").read_text(encoding="utf-8").replace("&#39;", "'")
    assert sentence in page
    assert "Files stored elsewhere than their reference" in page
    assert main(["--from_json", str(output), "-o", str(tmp_path / "again")]) == 0
    assert report_of(tmp_path / "again") == report


def test_cases_that_are_left_out_are_named_and_the_exit_code_says_so(study: Study, tmp_path: Path, capsys) -> None:
    validation = study.candidate / "fold_1" / "validation"
    rows = json.loads((validation / "summary.json").read_text())
    rows["metric_per_case"] = [row for row in rows["metric_per_case"] if "case_03" not in row["prediction_file"]]
    (validation / "summary.json").write_text(json.dumps(rows))
    assert main([*study.folders, "--summary_only", "-o", str(tmp_path / "report"), *FAST]) == 1
    errors = capsys.readouterr().err
    assert "1 case is not compared, because not every folder has a result of it" in errors
    assert f"not in {study.candidate.name}: case_03" in errors
    report = report_of(tmp_path / "report")
    assert report["excluded"] == [{"case": "case_03", "missing_from": [study.candidate.name]}]
    assert any(
        "1 case (case_03) with a predicted mask in no summary.json" in sentence for sentence in report["missing"]
    )
    assert main(["--from_json", str(tmp_path / "report"), "-o", str(tmp_path / "again")]) == 1
    assert main([*study.folders, "-f", "0", "--summary_only", "-o", str(tmp_path / "fold_0"), *FAST]) == 0


def test_named_references_judge_in_place_of_those_of_the_summary(study: Study, tmp_path: Path, capsys) -> None:
    clean = study.raw / "labelsTr_clean"
    for case in range(8):
        write_volume(ellipsoids(case if case else 1), clean / f"case_{case:02d}.nii.gz")
    for folder in (study.baseline, study.candidate):  # nnU-Net's own evaluation with these references
        for validation in sorted(folder.glob("fold_*/validation")):
            write_summary(validation, study.raw, labels="labelsTr_clean")
    assert main([*study.folders, "--references", str(clean), "-o", str(tmp_path / "wanted"), *FAST]) == 0
    for folder in (study.baseline, study.candidate):
        for validation in sorted(folder.glob("fold_*/validation")):
            write_summary(validation, study.raw)
    assert main([*study.folders, "-o", str(tmp_path / "own"), *FAST]) == 0
    assert "labelsTr_clean judges" not in capsys.readouterr().err
    assert main([*study.folders, "--references", str(clean), "-o", str(tmp_path / "judged"), *FAST]) == 0
    wanted, own, judged = (report_of(tmp_path / name) for name in ("wanted", "own", "judged"))
    assert judged["comparisons"] == wanted["comparisons"] != own["comparisons"]
    assert judged["runs"][0]["costs"] == wanted["runs"][0]["costs"] != own["runs"][0]["costs"]
    assert any("1 of 8 references there are not those of summary.json" in sentence for sentence in judged["missing"])


def coloured(output: Path) -> set[str]:
    """How the rows of the comparison are coloured."""
    report = read_report(output / "report.json")
    table = tables_of(report, labels_of(report))["overall"]
    assert table is not None
    cells = (cell for row in table.rows for cell in row if isinstance(cell, dict))
    return {cell["class"] for cell in cells} & {"better", "worse"}


def test_trainings_of_two_trainers_are_compared_as_such(study: Study, tmp_path: Path) -> None:
    """Twice two trainings; the numbers are those of each training alone, and only this comparison is coloured."""
    sides: dict[str, list[Path]] = {}
    for trainer, gains in {"nnUNetTrainer": (5, 6), "nnUNetTrainerDALE": (0, 0)}.items():
        for repeat, gain in enumerate(gains, start=1):
            folder = study.baseline.parent / f"{trainer}__P_repeat{repeat}__3d_fullres"
            shifts = {f"case_{case:02d}": gain + case % 2 for case in range(8)}
            sides.setdefault(trainer, []).append(write_results(folder, study.raw, shifts))
    baseline, candidate = (list(map(str, side)) for side in sides.values())
    assert main([*candidate, "--against", *baseline, "-o", str(tmp_path / "both"), *FAST]) == 0
    both, row = report_of(tmp_path / "both"), row_of(report_of(tmp_path / "both"), "Dice")
    assert [run["name"] for run in both["runs"]] == ["nnUNetTrainer__P__3d_fullres", "nnUNetTrainerDALE__P__3d_fullres"]
    assert [len(run["trainings"]) for run in both["runs"]] == [2, 2]
    means = []
    for number in range(2):
        output = tmp_path / f"alone_{number}"
        assert main([baseline[number], candidate[number], "-o", str(output), *FAST]) == 0
        means.append((row_of(report_of(output), "Dice")["mean_baseline"], row_of(report_of(output), "Dice")["mean"]))
        page = (output / "report.html").read_text(encoding="utf-8")
        assert ">Two-sided p<" not in page
        assert coloured(output) == set()
        assert "two models; to compare two trainers, repeat them" in page
    assert (row["mean_baseline"], row["mean"]) == pytest.approx(np.mean(means, axis=0))
    assert row["sd_trainings"] == pytest.approx(np.std([mean for _, mean in means], ddof=1))
    assert (row["p_ttest"], row["p_wilcoxon"], row["p_holm"], row["detectable_difference"]) == (None,) * 4
    assert coloured(tmp_path / "both") == {"better"}
    page = (tmp_path / "both" / "report.html").read_text(encoding="utf-8")
    assert "over trainings and cases" in page
    assert ">Two-sided p<" in page
    assert "2 trainings of nnUNetTrainerDALE and 2 trainings of nnUNetTrainer." in page
    assert main(["--from_json", str(tmp_path / "both"), "-o", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "report.html").read_text(encoding="utf-8") == page
    assert main([candidate[0], "--against", *baseline, "-o", str(tmp_path / "one"), *FAST]) == 2


def test_references_of_other_patients_are_not_taken_for_those_of_the_summary(tmp_path: Path, capsys) -> None:
    study = make_study(tmp_path)  # a copied one would find its references at the old place
    for case in range(8):
        write_volume(ellipsoids(case + 1), study.raw / "labelsTr" / f"case_{case:02d}.nii.gz")
    assert main([*study.folders, "-o", str(tmp_path / "report"), *FAST]) == 2
    assert "labelsTr/case_00.nii.gz is not the reference that" in capsys.readouterr().err


def test_a_report_of_an_earlier_release_is_drawn_again(made: tuple[Study, Path], tmp_path: Path) -> None:
    report = report_of(made[1])
    del report["misplaced"]
    for run in report["runs"]:
        del run["lesions"]
        for name in ("Precision", "Recall", "Lesion F1"):
            del run["values"][name]
    for part in ("metrics", "comparisons"):
        new = ("Precision", "Recall", "Lesion F1")
        report[part] = [item for item in report[part] if item.get("name", item.get("metric")) not in new]
    shutil.copytree(made[1] / "overlays", tmp_path / "old" / "overlays")
    (tmp_path / "old" / "report.json").write_text(json.dumps(report))
    assert main(["--from_json", str(tmp_path / "old"), "-o", str(tmp_path / "again")]) == 0
    assert "What was found" not in (tmp_path / "again" / "report.html").read_text(encoding="utf-8")


def test_real_results(shared_data: Path, tmp_path: Path) -> None:
    folders = sorted((shared_data / "msd_cv_results" / "Dataset004_Hippocampus").iterdir())
    assert main([*map(str, folders), "-o", str(tmp_path / "report")]) == 0
    row = row_of(report_of(tmp_path / "report"), "Dice")
    assert row["n"] == 260
    assert row["mean_baseline"] == pytest.approx(0.8904, abs=5e-5)
    assert row["sd_difference"] == pytest.approx(0.0103, abs=1e-4)
    assert row["detectable_difference"] == pytest.approx(0.0018, abs=1e-4)
