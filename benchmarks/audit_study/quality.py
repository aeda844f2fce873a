"""How well a ranking finds what is known to be wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score


def ranking_quality(
    wrong: Sequence[bool] | NDArray[np.bool_], scores: Sequence[float] | NDArray[np.float64]
) -> dict[str, float]:
    """AUROC, average precision, precision among as many as are wrong, share to look at to find 80 % of them."""
    truth, values = np.asarray(wrong, dtype=bool), np.asarray(scores, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    found, count = np.cumsum(truth[order]), int(truth.sum())
    return {
        "auroc": round(float(roc_auc_score(truth, values)), 4),
        "average_precision": round(float(average_precision_score(truth, values)), 4),
        "precision_at_true_number": round(float(found[count - 1] / count), 4),
        "effort_80": round((int(np.searchsorted(found, 0.8 * count)) + 1) / len(truth), 4),
    }
