"""`apply` against its audit: the right dataset, the labels that were decided on, folds that nnU-Net can train."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from nnunetv2_dale.audit.cli import main
from nnunetv2_dale.audit.decisions import write_lines
from nnunetv2_dale.commands.command_line import UserError
from tests.audit.conftest import Study
from tests.datasets import ELLIPSOIDS, ellipsoids, rows_of, write_volume


def test_another_dataset_is_refused(study: Study) -> None:
    shutil.copytree(study.raw, study.raw.with_name("Dataset005_Spleen"))
    with pytest.raises(UserError, match=rf"audit.json is of {ELLIPSOIDS}, not of Dataset005_Spleen; give the audited"):
        study.apply(study.decide({"case_04": "fix"}), dataset="5")
    assert not study.new.exists()


def test_a_dataset_of_other_cases_is_refused(study: Study) -> None:
    for file in ("imagesTr/case_09_0000.nii.gz", "labelsTr/case_09.nii.gz"):
        (study.raw / file).unlink()
    with pytest.raises(UserError, match=r"lacks cases of .*audit.json, 1 in number \(case_09\)"):
        study.apply(study.decide({"case_04": "fix"}))


@pytest.mark.parametrize("decision", ["accept", "fix", "exclude"])
def test_a_label_that_changed_since_is_refused(decision: str, study: Study) -> None:
    """Not one that nobody decided on, nor one that was only stored anew."""
    write_volume(ellipsoids(4), study.raw / "labelsTr" / "case_04.nii.gz")
    stored_anew(study.raw / "labelsTr" / "case_06.nii.gz")
    table = study.decide({"case_04": decision, "case_06": "fix"})
    with pytest.raises(UserError, match=r"are not those that were audited, 1 in number \(case_04\)"):
        study.apply(table)
    assert study.apply(study.decide({"case_06": "fix"})).to_fix == 1


def stored_anew(label: Path) -> None:
    import nibabel

    image = nibabel.Nifti1Image.from_filename(label)
    voxels = np.asarray(image.dataobj)
    before = label.read_bytes()
    nibabel.save(nibabel.Nifti1Image(voxels.astype(np.float32), image.affine), label)
    assert label.read_bytes() != before


def test_decisions_of_an_earlier_audit_are_refused_where_labels_changed(study: Study) -> None:
    table = study.decide({"case_04": "fix", "case_06": "fix"})
    rows = table.read_text().splitlines()
    table.write_text("\n".join([*(row[:-8] + "0" * 8 if "case_04" in row else row for row in rows), ""]))
    with pytest.raises(UserError, match=r"decisions are on other labels than those of .* \(case_04\)"):
        study.apply(table)


def test_an_audit_and_a_table_without_checksums_are_applied(study: Study) -> None:
    """Those of earlier versions."""
    table = study.decide({"case_04": "fix"}, columns=("case", "label", "kind", "decision"))
    content = json.loads((study.audit / "audit.json").read_text())
    for case in content["cases"]:
        del case["checksum"]
    (study.audit / "audit.json").write_text(json.dumps(content))
    assert study.apply(table).to_fix == 1


def test_an_accepted_label_that_was_drawn_anew_is_asked_again(study: Study) -> None:
    table = study.decide({"case_01": "accept", "case_04": "accept"})
    stored_anew(study.raw / "labelsTr" / "case_01.nii.gz")
    other = ellipsoids(4)
    other[other == 1] = 2
    write_volume(other, study.raw / "labelsTr" / "case_04.nii.gz")
    found = study.audit_again("--decisions", str(table))
    assert not found["case_01"]["findings"]
    assert found["case_04"]["findings"]
    assert found["case_04"]["score"] > 0.5
    (remark,) = [each for each in found[""]["missing"] if "drawn anew" in each]
    assert "case_04: accept (" in remark
    rows = {row["case"]: row for row in rows_of(study.root / "second" / "decisions.csv")}
    assert (rows["case_01"]["decision"], rows["case_04"]["decision"]) == ("accept", "")
    assert rows["case_04"]["checksum"] == found["case_04"]["checksum"]


def test_decisions_on_cases_that_are_not_audited_are_kept_and_told(study: Study) -> None:
    """And the others are recognised, as pandas writes the table: label 1.0."""
    table = study.decide({"case_01": "accept", "case_04": "accept"})
    table.write_text(table.read_text().replace(",1,", ",1.0,").replace(",2,", ",2.0,"))
    assert ".0," in table.read_text()
    found = study.audit_again("--decisions", str(table), "-f", "0")  # with the even cases
    assert any("not audited here stay in decisions.csv: case_01" in each for each in found[""]["missing"])
    assert "case_01" in (study.root / "second" / "decisions.csv").read_text()
    assert not found["case_04"]["findings"]


def test_mended_labels_are_checked_at_once(study: Study) -> None:
    """In the new dataset, which lacks an excluded case; what was decided on mended labels is asked again."""
    table = study.decide({"case_01": "accept", "case_04": "fix", "case_06": "exclude"})
    study.apply(table)
    write_volume(ellipsoids(4), study.new / "labelsTr" / "case_04.nii.gz")
    found = study.audit_again("--references", str(study.new / "labelsTr"), "--decisions", str(table))
    assert len(found) == 1 + 15
    assert "case_06" not in found
    assert not found["case_01"]["findings"]
    assert not found["case_04"]["findings"]
    told = " ".join(found[""]["missing"])
    assert f"1 case has no label in {study.new / 'labelsTr'}, not audited: case_06" in told
    assert "case_04: fix (" in told
    assert (study.root / "second" / "audit.html").stat().st_size > 0


def test_references_of_other_cases_are_refused(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    (study.root / "empty").mkdir()
    words = ["-o", str(study.root / "second"), "--references", str(study.root / "empty")]
    assert main([str(study.results), *words]) == 2
    assert "case_00.nii.gz is missing; expected the audited labels there" in capsys.readouterr().err


def test_folds_without_a_case_on_one_side_are_left_out(study: Study) -> None:
    names = [f"case_{number:02d}" for number in range(16)]
    validation = [["case_04"], names[:4], names[5:]]
    splits = [{"train": [name for name in names if name not in val], "val": val} for val in validation]
    splits.append({"train": ["case_04"], "val": names[:4]})
    (study.raw / "splits_final.json").write_text(json.dumps(splits))
    done = study.apply(study.decide({"case_04": "exclude"}))
    new = json.loads((study.new / "splits_final.json").read_text())
    assert [fold["val"] for fold in new] == validation[1:]
    assert all(fold["train"] and "case_04" not in fold["train"] for fold in new)
    assert done.remarks == (
        "fold 0 has no validation case any more and is left out",
        "fold 3 has no training case any more and is left out",
        "the other folds are numbered 0 to 1 now",
    )


def test_of_many_folds_the_right_one_is_left_out(study: Study) -> None:
    """Each case alone in its fold, and no splits_final.json but what the audit knows of it."""
    content = json.loads((study.audit / "audit.json").read_text())
    for case in content["cases"]:
        case["fold"] = str(int(case["case"][-2:]))
    (study.audit / "audit.json").write_text(json.dumps(content))
    done = study.apply(study.decide({"case_04": "exclude"}))
    new = json.loads((study.new / "splits_final.json").read_text())
    assert [fold["val"] for fold in new] == [[f"case_{number:02d}"] for number in range(16) if number != 4]
    assert done.remarks[0] == "fold 4 has no validation case any more and is left out"


def test_without_any_fold_nnunet_makes_its_own(study: Study) -> None:
    names = [f"case_{number:02d}" for number in range(16)]
    split = [{"train": [name for name in names if name != "case_04"], "val": ["case_04"]}]
    (study.raw / "splits_final.json").write_text(json.dumps(split))
    done = study.apply(study.decide({"case_04": "exclude"}))
    assert not (study.new / "splits_final.json").exists()
    assert done.remarks[-1] == "no fold is left; nnU-Net makes its own"


def test_an_exclusion_against_a_fix_is_told(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    table = study.decide({"case_06": "exclude"})
    with table.open("a") as stream:
        stream.write("case_06,,1,wider,fix,,,\n")
    assert main(["apply", str(table), "-d", "777", "--new_id", "104"]) == 0
    assert "case_06 is excluded: exclude (" in capsys.readouterr().out
    assert not (study.new / "labelsTr" / "case_06.nii.gz").exists()


def test_tables_of_two_people(study: Study) -> None:
    anna = study.decide({"case_01": "accept", "case_04": "fix"}, "anna")
    ben = study.decide({"case_06": "exclude", "case_04": "fix"}, "ben")
    assert main(["apply", str(anna), str(ben), "-d", "777", "--new_id", "104"]) == 0
    table = rows_of(study.new / "audit_decisions.csv")
    who = {row["case"]: (row["decision"], row["who"]) for row in table if row["decision"]}
    assert who == {"case_01": ("accept", "anna"), "case_04": ("fix", "anna; ben"), "case_06": ("exclude", "ben")}
    assert {row["who"] for row in rows_of(study.new / "to_fix.csv")} == {"anna; ben"}
    found = study.audit_again("--decisions", str(anna), str(ben))
    assert not found["case_01"]["findings"]
    table = rows_of(study.root / "second" / "decisions.csv")
    assert {row["case"]: (row["decision"], row["who"]) for row in table if row["decision"]} == who


def test_what_was_noted_stands_beside_what_is_to_fix(study: Study) -> None:
    table = study.decide({"case_04": "fix"})
    rows = [row | {"comment": "two\nlines" if row["decision"] else ""} for row in rows_of(table)]
    write_lines(list(rows[0]), rows, table)
    assert study.apply(table).to_fix == 1
    assert {row["comment"] for row in rows_of(study.new / "to_fix.csv")} == {"two\nlines"}


def test_what_else_is_known_of_the_cases_that_stay_is_copied(study: Study) -> None:
    for place in ("confidenceTr", "ratersTr/reader_a"):
        (study.raw / place).mkdir(parents=True)
        for case in ("case_02", "case_04", "case_06"):
            shutil.copy(study.raw / "labelsTr" / f"{case}.nii.gz", study.raw / place)
    (study.raw / "confidence.csv").write_text('case;weight;note\ncase_02;0.5;"two\nlines"\ncase_06;0;\n')
    table = study.decide({"case_04": "fix", "case_06": "exclude"})
    study.apply(table)
    maps = sorted(path.name for path in (study.new / "confidenceTr").iterdir())
    assert maps == ["case_02.nii.gz", "case_04.nii.gz"]
    # a visit would draw the readers' labels instead of the mended one
    assert [path.name for path in (study.new / "ratersTr" / "reader_a").iterdir()] == ["case_02.nii.gz"]
    assert (study.new / "confidence.csv").read_text() == 'case;weight;note\ncase_02;0.5;"two\nlines"\n'
    again = ["apply", str(table), "-d", "777", "--new_id", "104", "--overwrite"]
    assert main(again) == 0
    (study.new / "confidence.csv").write_text("case;weight\ncase_02;0.9\n")
    assert main(again) == 2
