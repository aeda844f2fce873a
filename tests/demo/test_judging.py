import json
import math

import numpy as np
import pytest
import SimpleITK

from nnunetv2_dale.demo.judging import Judgement, dice_of_folder
from tests.demo.fixtures import PREDICTIONS


def write(path, array):
    path.parent.mkdir(exist_ok=True)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array.astype(np.uint8)), str(path))


def test_dice_by_hand(tmp_path):
    truth, judged = np.zeros((2, 8, 8)), np.zeros((2, 8, 8))
    truth[0, :4, 0], judged[0, 2:5, 0] = 1, 1  # 4 and 3 voxels, 2 in common: 4 / 7
    truth[1, 0, 0] = 2  # not found: 0
    judged[1, 1, 1] = 4  # not there: 0; class 3 on neither side: NaN
    write(tmp_path / "truth" / "a.nii.gz", truth)
    write(tmp_path / "judged" / "a.nii.gz", judged)
    found = dice_of_folder(tmp_path / "judged", tmp_path / "truth")["a"]
    assert found["liver"] == pytest.approx(4 / 7)
    assert found["spleen"] == found["lesion"] == 0
    assert math.isnan(found["kidney"])


def test_a_prediction_without_truth_is_an_error(tmp_path):
    write(tmp_path / "judged" / "a.nii.gz", np.zeros((2, 8, 8)))
    with pytest.raises(FileNotFoundError, match="expected the truth"):
        dice_of_folder(tmp_path / "judged", tmp_path / "truth")


def test_means_leave_out_what_is_not_there():
    assert PREDICTIONS.mean("plain nnU-Net", "liver") == pytest.approx(0.85)
    assert PREDICTIONS.mean("plain nnU-Net", "lesion") == pytest.approx(0.60)
    # per case over its classes, then over the cases: (0.75 + 0.7667) / 2
    assert PREDICTIONS.mean("plain nnU-Net") == pytest.approx((3.0 / 4 + 2.3 / 3) / 2)
    assert math.isnan(Judgement({"m": {"a": {"liver": math.nan}}}).mean("m", "liver"))


def test_json_has_null_where_there_is_no_value():
    content = json.loads(json.dumps(PREDICTIONS.as_json(), allow_nan=False))
    assert content["DALE"]["case_b"]["lesion"] is None
    assert content["DALE"]["case_a"]["lesion"] == 0.75
