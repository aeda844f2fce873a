"""The whole command on small result folders: known numbers, every bad input, nothing written on an error."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import SimpleITK

from nnunetv2_dale.report.cli import _command, main, report_parser
from tests.datasets import ellipsoids, rows_of, write_summary, write_volume
from tests.report.fixtures import FAST, Study, make_study, report_of, report_on, row_of


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
    rows = rows_of(made[1] / "comparisons.csv")
    assert len(rows) == len(report["comparisons"])
    assert float(rows[0]["difference"]) == report["comparisons"][0]["difference"]
    assert float(rows[0]["ci95_low"]) == report["comparisons"][0]["ci95"][0]
    assert len(rows_of(made[1] / "cases.csv")) == 8 * 2 * 3
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
    again = report_on(tmp_path / "r", *study.folders, *places, "--no_pictures", processes=2)
    assert again["comparisons"] == report_of(report)["comparisons"]


def test_a_trainer_whose_method_never_ran_is_named(study: Study, tmp_path: Path, capsys) -> None:
    """In fold 0 nothing ran; fold 1 was trained twice, and its last training counts."""
    log = "training_log_2025_1_1_00_00_00.txt"
    plan = "2025-01-01 00:00:01: DALE: Algorithm 1 in batches 24 to 56 of 80, every second "
    nothing = "2025-01-01 00:10:00.5: DALE: Algorithm 1 in 0 of 80 batches: this is plain nnU-Net "
    some = "2025-01-01 00:20:00: DALE: Algorithm 1 in 17 of 80 batches; cases were down-weighted in 0 of 8 epochs "
    for fold, lines in ((0, [plan, nothing]), (1, [plan, nothing, plan, some])):
        with (study.candidate / f"fold_{fold}" / log).open("a") as file:
            file.write("\n".join(lines) + "\n")
    first, second = report_on(tmp_path / "report", *study.folders, "--summary_only")["runs"]
    assert first["ran"] == {}
    assert second["ran"] == {
        "0": "Algorithm 1 in 0 of 80 batches: this is plain nnU-Net",
        "1": "Algorithm 1 in 17 of 80 batches; cases were down-weighted in 0 of 8 epochs",
    }
    said = f"{study.candidate.name}: Algorithm 1 in 0 of 80 batches: this is plain nnU-Net (fold 0)"
    assert said in capsys.readouterr().err
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert said in page
    assert "Algorithm 1 in 17 of 80 batches; cases were down-weighted in 0 of 8 epochs (fold 1)" in page
    assert "This compares two models; to compare two trainers, repeat them." in page


def test_the_training_of_the_latest_day_counts_and_no_other_method_has_its_name(study: Study, tmp_path: Path) -> None:
    """nnU-Net writes the tenth as 10 and the ninth as 9."""
    said = {
        9: "Algorithm 1 in 9 of 80 batches",
        10: "Algorithm 1 in 0 of 80 batches; cases were down-weighted in 3 of 8 epochs",
    }
    for day, sentence in said.items():
        log = study.candidate / "fold_0" / f"training_log_2025_12_{day}_00_00_00.txt"
        log.write_text(f"2025-12-{day:02d} 00:10:00.5: DALE: {sentence} \n")
    report = report_on(tmp_path / "report", *study.folders, "--summary_only")
    assert report["runs"][1]["ran"]["0"] == said[10]
    assert f"{study.candidate.name}: {said[10]} (fold 0)" in report["remarks"]


def test_a_report_without_pictures_and_paths(made: tuple[Study, Path], tmp_path: Path) -> None:
    """Of folders with a space; from results, and drawn again."""
    study, with_all = made
    words = [*study.folders, "--references", str(study.raw / "labelsTr"), "--images", str(study.raw / "imagesTr")]
    flags = ["--no_pictures", "--no_paths"]
    assert main([*words, *FAST, "-o", str(tmp_path / "none"), *flags]) == 0
    assert main(["--from_json", str(with_all), "-o", str(tmp_path / "again"), *flags]) == 0
    assert main(["--from_json", str(tmp_path / "none"), "-o", str(tmp_path / "none again")]) == 0
    for output, holds in ((with_all, True), *((tmp_path / name, False) for name in ("none", "again", "none again"))):
        assert (output / "overlays").exists() is holds
        texts = [file.read_text(encoding="utf-8") for file in output.iterdir() if file.is_file()]
        assert len(texts) == 5
        assert any("data:image/png" in text for text in texts) is holds
        assert any("pictures of patients, paths of files" in text for text in texts) is holds
        assert any(str(each) in text for text in texts for each in (study.raw.parents[1], study.raw)) is holds
        written = [re.sub("<script>.*</script>", "", text, flags=re.S) for text in texts]
        assert any(re.search(r"""(?:^|[\s"'(=])/[\w.-]+/""", text) for text in written) is holds
        assert any("case_00" in text for text in texts)


def test_a_flipped_prediction_is_told_everywhere(study: Study, tmp_path: Path, capsys) -> None:
    file = study.candidate / "fold_1" / "validation" / "case_03.nii.gz"
    SimpleITK.WriteImage(SimpleITK.Flip(SimpleITK.ReadImage(str(file)), [False, True, False]), str(file))
    write_summary(file.parent, study.raw)
    output = tmp_path / "report"
    report = report_on(output, *study.folders, "--references", study.raw / "labelsTr", "--no_pictures")
    where = {"case": "case_03", "run": study.candidate.name, "file": "case_03.nii.gz"}
    assert report["misplaced"] == [{**where, "differs": ["origin", "direction"], "apart_mm": 47.0}]
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
