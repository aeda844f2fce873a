"""The arms: ordinary training, DALE and its parts, and each reading that the paper leaves open. One entry each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from benchmarks.paper.paper_readings import Reading

PAPER_PATCH, PAPER_SIZE = 16, 224  # pixels of the paper's patches, on images of about so many


@dataclass(frozen=True)
class PaperArm:
    """How one training differs from the ordinary one."""

    kind: Literal["ordinary", "dale", "reading", "trainer"]
    updates: int = 1  # ordinary: optimizer updates per batch
    settings: dict[str, Any] = field(default_factory=dict)  # of DaleConfig, from the paper's; the patch is scaled
    reading: Reading | None = None


def scaled_patch(size: int, patch: int = PAPER_PATCH) -> int:
    """The paper's patch on an image of `size` pixels, a whole number of at least 1."""
    return max(1, round(patch * size / PAPER_SIZE))


def _dale(**settings: Any) -> PaperArm:
    return PaperArm("dale", settings=settings)


def _reading(settings: dict[str, Any] | None = None, **reading: Any) -> PaperArm:
    return PaperArm("reading", settings=settings or {}, reading=Reading(**reading))


_NEITHER = {"confidence_steps": 0, "alignment_weight": 0.0}
_DARKEST = {"masked_value": "darkest"}
_MASKED_LOSS = {"view": "masked_loss"}
RELEASED = Reading(fuzzy_weight=True, confidence="adam", clean="fell", alignment_gradient=False)

ARMS = {
    "ordinary": PaperArm("ordinary"),
    "ordinary, two updates per batch": PaperArm("ordinary", updates=2),
    "DALE as printed": _dale(),
    # each part off (the paper's Table 4)
    "printed, no omega": _dale(confidence_steps=0),
    "printed, no L_W": _dale(alignment_weight=0.0),
    "printed, alternation only": _dale(**_NEITHER),
    "printed, entropy only": _dale(fuzziness_source="entropy"),
    "printed, edges only": _dale(fuzziness_source="edges"),
    # what a masked voxel looks like
    "printed, darkest": _dale(**_DARKEST),
    "printed, alternation only, darkest": _dale(**_DARKEST, **_NEITHER),
    # the mask on the loss
    "masked loss": _dale(**_MASKED_LOSS),
    "masked loss, alternation only": _dale(**_MASKED_LOSS, **_NEITHER),
    "masked loss, no omega": _dale(**_MASKED_LOSS, confidence_steps=0),
    "masked loss, no L_W": _dale(**_MASKED_LOSS, alignment_weight=0.0),
    # what the authors published, and what nnU-Net users get
    "released file": PaperArm("reading", reading=RELEASED),
    "settings of nnUNetTrainerDALE": PaperArm("trainer"),
    "settings of nnUNetTrainerDALE, masked loss": PaperArm("trainer", settings=_MASKED_LOSS),
    # where readings differ, each beside "DALE as printed"
    "label whole": _reading(label="whole"),
    "label masked by the other mask": _reading(label="other"),
    "fuzzy loss weighted by M^f": _reading(fuzzy_weight=True),
    "omega by one Adam step": _reading(confidence="adam"),
    "clean where omega fell": _reading(clean="fell"),
    "masked loss, noisy voxels aligned too": _reading(_MASKED_LOSS, clean="all"),
    "masked loss, clean where omega fell": _reading(_MASKED_LOSS, clean="fell"),
    "L_W without gradient": _reading(alignment_gradient=False),
    "features normalised": _reading(normalised=True),
    "tau 0.5": _dale(fuzzy_threshold=0.5),
    "tau 0.7": _dale(fuzzy_threshold=0.7),
    "patches twice as large": _dale(patch_size=2 * PAPER_PATCH),
    "alpha 0.5": _dale(alignment_weight=0.5),
    "alpha 0.005": _dale(alignment_weight=0.005),
}
