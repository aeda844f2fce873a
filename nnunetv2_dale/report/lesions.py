"""Whether each lesion was found: connected components of the reference and of the prediction, matched one to one."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from nnunetv2_dale.masks.boxes import numbered_parts
from nnunetv2_dale.masks.overlap import Mask
from nnunetv2_dale.report.report_data import LesionTotal

MATCHED_ABOVE_IOU = 0.1


def lesion_counts(prediction: Mask, reference: Mask, class_key: str) -> LesionTotal:
    """Count and match the connected components of a class's two masks, in one case.

    Voxels that touch at a face, an edge or a corner belong together. Two components may be paired when their IoU is
    above 0.1. Of all ways to pair them one to one, one with most pairs counts, so the order of the components says
    nothing: a prediction that covers two lesions finds one of them, and a lesion found in two pieces is found once.

    Args:
        prediction, reference: 2 or 3 axes of the same shape.
    """
    (true, n_true), (predicted, n_predicted) = numbered_parts(reference), numbered_parts(prediction)
    if not n_true or not n_predicted:
        return LesionTotal(class_key, n_true, n_predicted, 0)
    common = prediction & reference
    pairs, overlap = np.unique(
        (true[common].astype(np.int64) - 1) * n_predicted + predicted[common] - 1, return_counts=True
    )
    rows, columns = np.divmod(pairs, n_predicted)
    size_true, size_predicted = (np.bincount(numbered.ravel())[1:] for numbered in (true, predicted))
    paired = overlap / (size_true[rows] + size_predicted[columns] - overlap) > MATCHED_ABOVE_IOU
    allowed = csr_array((paired[paired], (rows[paired], columns[paired])), shape=(n_true, n_predicted))
    partners = maximum_bipartite_matching(allowed, perm_type="column")
    return LesionTotal(class_key, n_true, n_predicted, int((partners >= 0).sum()))
