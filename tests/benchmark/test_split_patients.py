"""The benchmark does not start on folds that share a patient."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nnunetv2_dale.benchmark.inputs import Folders
from nnunetv2_dale.benchmark.splits import check_split_patients
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.json_files import write_json
from nnunetv2_dale.nnunet_files.splits import PATIENTS


def test_folds_that_share_a_patient_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    folders = Folders("Dataset004_A", tmp_path / "preprocessed", tmp_path / "results")
    data = tmp_path / "preprocessed/Dataset004_A"
    data.mkdir(parents=True)
    (data / "splits_final.json").write_text(json.dumps([{"train": ["a", "b"], "val": ["c"]}]))
    check_split_patients(folders)  # patients are not known
    raw = tmp_path / "raw/Dataset004_A"
    raw.mkdir(parents=True)
    write_json(raw / PATIENTS, {"a": "1", "b": "1", "c": "2"})
    check_split_patients(folders)
    write_json(data / PATIENTS, {"a": "1", "b": "2", "c": "2"})
    with pytest.raises(UserError, match="trains on b and validates on c, both of patient 2; make folds by patient"):
        check_split_patients(folders)
    (data / "splits_patients.json").write_text("[")
    with pytest.raises(UserError, match=r"splits_patients\.json is not valid JSON"):
        check_split_patients(folders)
