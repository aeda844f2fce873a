"""Every hyperparameter of DALE: its meaning, the paper's value, its range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from nnunetv2_dale.dale.fuzziness import FuzzinessSource, IntensityBins
from nnunetv2_dale.dale.validated_settings import ValidatedSettings, choice, number
from nnunetv2_dale.dale.views import MaskedValue, ViewKind

ConfidenceGradient = Literal["look_ahead", "reuse", "head"]
FuzzyGraph = Literal["keep", "recompute", "shifted"]
AlignmentScale = Literal["absolute", "relative"]


@dataclass(frozen=True)
class DaleConfig(ValidatedSettings):
    """The settings of DALE; the defaults are the paper's where it states them. `ADAPTED` are the trainer's.

    Raises:
        ValueError: a field of the wrong type or out of its range, or fields that do not go together.
    """

    plans_key: ClassVar[str] = "dale"

    # Fuzziness (Eqs. 3-7)
    patch_size: int = number(16, 1, 4096, "voxels along each in-plane axis of a fuzziness patch")
    fewest_patches: int = number(
        1, 1, 1000, "patches along the shortest in-plane axis at least: in small images they are smaller; 1 as printed"
    )
    entropy_bins: int = number(32, 2, 65536, "intensity bins of a patch's histogram (Eq. 3)")
    intensity_bins: IntensityBins = choice(
        "equal",
        IntensityBins,
        "bins of equal width between an image's extremes (as printed), or at quantiles of the intensities near labels",
    )
    fuzzy_threshold: float = number(0.9, 0.0, 1.0, "tau of Eq. 6: a patch is fuzzy where m reaches it")
    fuzziness_source: FuzzinessSource = choice(
        "both", FuzzinessSource, "what m is made of: the larger of entropy and edge ratio, or one of them"
    )
    view: ViewKind = choice("masked_input", ViewKind, "what the masks multiply (Eq. 7): image and label, or the loss")
    masked_value: MaskedValue = choice(
        "mean", MaskedValue, "what a mask of 0 leaves of the image: 0, a z-scored image's mean, or its darkest value"
    )

    # When Algorithm 1 runs; the other batches are plain updates on whole images
    phase_in: float = number(0.0, 0.0, 1.0, "part of the training before Algorithm 1 begins; 0 as printed")
    phase_out: float = number(
        0.0, 0.0, 1.0, "part of the training, at its end, after Algorithm 1 has ended; 0 as printed"
    )
    every: int = number(1, 1, 1000, "in between every n-th batch is an iteration of Algorithm 1; 1 as printed")
    learned: float = number(
        0.0, 0.0, 1.0, "mean probability that every class must have in its own voxels before it begins; 0 as printed"
    )

    # Label confidence (Eqs. 8-11)
    confidence_steps: int = number(1, 0, 100, "K of Algorithm 1: meta steps on omega per batch; 0 keeps it at 1")
    confidence_lr: float = number(0.1, 0.0, 10.0, "the most a meta step moves omega in a voxel")
    confidence_gradient: ConfidenceGradient = choice(
        "look_ahead",
        ConfidenceGradient,
        "where the non-fuzzy gradient comes from: after the pseudo-step (Eqs. 8-10); reused from line 5; or reused for "
        "the segmentation head alone",
    )
    confidence_memory: float = number(
        0.0, 0.0, 0.999, "what an iteration leaves of the non-fuzzy gradients before it; 0 as printed"
    )
    fuzzy_graph: FuzzyGraph = choice(
        "keep",
        FuzzyGraph,
        "the fuzzy view's activations that the update needs: kept during the look-ahead (fast), computed anew (lean), "
        "or those of the forward at shifted weights (both; the update's gradient is taken 1e-4 beside the weights)",
    )

    # Alignment (Eqs. 12-15)
    alignment_weight: float = number(0.05, 0.0, 1000.0, "alpha of Eq. 15; 0 switches the alignment off")
    alignment_scale: AlignmentScale = choice(
        "absolute", AlignmentScale, "L_W as printed, or divided by the variance of the non-fuzzy features"
    )
    alignment_memory: float = number(
        0.0, 0.0, 0.999, "what a batch leaves of the non-fuzzy Gaussians before it; 0 as printed"
    )
    alignment_bound: float = number(
        1000.0, 0.0, 1000.0, "most that L_W's gradient at the features may have of the segmentation's, as a ratio"
    )
    covariance_noise: float = number(0.01, 0.0, 10.0, "largest epsilon of Eq. 13, relative to the mean variance")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fuzzy_graph != "keep" and self.confidence_gradient != "look_ahead":
            raise ValueError(
                f'fuzzy_graph "{self.fuzzy_graph}" is for confidence_gradient "look_ahead"; '
                f'with "{self.confidence_gradient}", which holds one graph anyway, set fuzzy_graph to "keep"'
            )
        if self.phase_in + self.phase_out >= 1:
            raise ValueError(
                f"phase_in ({self.phase_in:g}) and phase_out ({self.phase_out:g}) must leave some of the training for "
                "Algorithm 1: their sum must be below 1"
            )

    @property
    def learns_confidence(self) -> bool:
        """ω takes meta steps (Eqs. 8–11)."""
        return self.confidence_steps > 0

    @property
    def uses_features(self) -> bool:
        """What enters the segmentation head is looked at: by the alignment, or by the meta step on the head alone."""
        return self.alignment_weight > 0 or (self.learns_confidence and self.confidence_gradient == "head")

    @property
    def uses_shadow(self) -> bool:
        """The meta step needs a copy of the network."""
        return self.learns_confidence and self.confidence_gradient != "head"

    @property
    def plain_iterations(self) -> float:
        """The cost of an iteration of Algorithm 1, in iterations of plain training: its passes counted, backward = 2.

        Look-ahead: two updates (6), pseudo-step (2), the non-fuzzy pass at θ_p (3), the forward of the difference (1);
        each meta step but the first needs another pseudo-step with its look-ahead.
        """
        if not self.learns_confidence:
            return 6 / 3
        if self.confidence_gradient == "head":
            return 6 / 3
        if self.confidence_gradient == "reuse":
            return 7 / 3
        again = {"keep": 0, "recompute": 1, "shifted": 0}[self.fuzzy_graph]
        return (6 + 6 * self.confidence_steps + again) / 3


PRINTED = DaleConfig()

# What nnUNetTrainerDALE uses: all parts of DALE, in the form that holds inside nnU-Net (docs/paper_to_code.md).
ADAPTED = DaleConfig(
    fewest_patches=5,
    intensity_bins="near_labels",
    phase_in=0.3,
    phase_out=0.3,
    every=3,
    learned=0.4,
    confidence_memory=0.9,
    fuzzy_graph="shifted",
    alignment_scale="relative",
    alignment_memory=0.9,
    alignment_bound=0.05,
)
