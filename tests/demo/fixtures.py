"""A made-up outcome of the demo, for tests of its page."""

from __future__ import annotations

import math

from nnunetv2_dale.demo.judging import Judgement
from nnunetv2_dale.demo.page import Outcome
from nnunetv2_dale.demo.pipeline import Step
from nnunetv2_dale.demo.scale import FULL

PREDICTIONS = Judgement(
    {
        "plain nnU-Net": {
            "case_a": {"liver": 0.90, "spleen": 0.80, "kidney": 0.70, "lesion": 0.60},
            "case_b": {"liver": 0.80, "spleen": 0.80, "kidney": 0.70, "lesion": math.nan},
        },
        "DALE": {
            "case_a": {"liver": 0.91, "spleen": 0.80, "kidney": 0.60, "lesion": 0.75},
            "case_b": {"liver": 0.81, "spleen": 0.80, "kidney": 0.60, "lesion": math.nan},
        },
    }
)
STEPS = [
    Step("make the phantom (14 cases)", "", 7.4),
    Step("train plain nnU-Net", "nnUNetv2_train 998 2d 0 -tr nnUNetTrainer_demo", 41.0),
    Step("train DALE", 'nnUNetv2_train 998 2d 0 -tr nnUNetTrainerDALE_demo -x "a <b>"', 165.0),
]
OUTCOME = Outcome(
    scale=FULL,
    seed=3,
    device="cpu",
    steps=STEPS,
    predictions=PREDICTIONS,
    training_labels=Judgement({"noisy": {"t": {"liver": 0.95, "spleen": 0.94, "kidney": 0.93, "lesion": 0.81}}}),
    facts={"data": "10 training cases"},
)
