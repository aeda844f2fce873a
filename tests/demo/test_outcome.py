"""What the demo reads of what its trainings left."""

from __future__ import annotations

from pathlib import Path

from nnunetv2_dale.demo import outcome


def test_the_groups_are_those_of_the_last_epoch_in_nnunets_own_log(tmp_path: Path) -> None:
    lines = [
        "2026-01-01 10:00:00.0: Epoch 0 ",
        "2026-01-01 10:00:01.0: DALE groups: label 1: 3 of 8 cases are drawn 1.0 voxels wider ",
        "2026-01-01 10:00:02.0: Epoch time: 17.7 s ",
        "2026-01-01 10:00:03.0: Epoch 1 ",
        "2026-01-01 10:00:03.0: Current learning rate: 0.00015 ",
        "2026-01-01 10:00:04.0: DALE groups: label 1: 4 of 8 cases are drawn 1.5 voxels wider ",
        "2026-01-01 10:00:05.0: Epoch time: 17.7 s ",
        "2026-01-01 10:00:06.0: Training done. ",
    ]
    (tmp_path / "training_log_2026_1_1_10_00_00.txt").write_text("\n".join(lines))
    assert outcome._groups(tmp_path) == ["label 1: 4 of 8 cases are drawn 1.5 voxels wider"]
