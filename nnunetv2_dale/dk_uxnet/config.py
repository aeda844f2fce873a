"""The settings of DKNet and DK-UXNet; docs/dk_uxnet.md says which are the published code's and which are our choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from nnunetv2_dale.dale.validated_settings import ValidatedSettings, choice, number

Heads = Literal["learned", "convolution"]


@dataclass(frozen=True)
class DkNetConfig(ValidatedSettings):
    """Queries, losses and views; the network is nnU-Net's.

    Raises:
        ValueError: also channels of a query that the heads do not divide.
    """

    plans_key: ClassVar[str] = "dknet"

    # The queries
    query_count: int = number(128, 2, 4096, "queries of the k-means decoder")
    query_channels: int = number(256, 1, 4096, "channels of a query")
    query_layers: int = number(2, 1, 100, "k-means layers on each of the two coarsest decoder levels")
    attention_heads: int = number(8, 1, 256, "heads of the self-attention between queries")
    feed_forward_channels: int = number(2048, 1, 65536, "hidden channels of a k-means layer's feed-forward part")
    background_share: float = number(0.125, 0.0, 1.0, "part of the queries that stand for background")

    # The losses
    group_weight: float = number(0.1, 0.0, 1000.0, "weight of L_qd, the cross-entropy of the query groups")
    agreement_temperature: float = number(0.5, 1e-3, 1000.0, "tau of the agreement of the queries")
    agreement_first: float = number(0.1, 0.0, 1000.0, "weight of both agreements in the training's first quarter")
    agreement_second: float = number(0.5, 0.0, 1000.0, "their weight in the second quarter")
    agreement_third: float = number(1.0, 0.0, 1000.0, "their weight in the third quarter")
    agreement_last: float = number(2.0, 0.0, 1000.0, "their weight in the last quarter")

    # AdamW, of DK-UXNet's network and of the queries beside nnU-Net's
    learning_rate: float = number(1e-3, 1e-8, 1.0, "of AdamW after the warm-up. Published: 1e-4")
    weight_decay: float = number(1e-2, 0.0, 1.0, "of AdamW, as published")
    warm_up_share: float = number(0.02, 0.0, 1.0, "part of the training in which AdamW's learning rate rises from 0")

    # The data
    labelled_share: float = number(0.5, 0.01, 0.99, "part of the training samples that come from labelled cases")
    strong_noise: float = number(0.2, 0.0, 10.0, "largest standard deviation of the strong view's noise")
    strong_contrast: float = number(0.5, 0.0, 1.0, "largest change of the strong view's contrast, either way")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.query_channels % self.attention_heads:
            raise ValueError(
                f"query_channels ({self.query_channels}) must be a multiple of attention_heads ({self.attention_heads})"
            )

    def agreement_weight(self, progress: float) -> float:
        """The weight of the agreements at a point of the training, from 0 (start) to 1 (end)."""
        ramp = (self.agreement_first, self.agreement_second, self.agreement_third, self.agreement_last)
        return ramp[min(int(4 * progress), 3)]


@dataclass(frozen=True)
class DkUxnetConfig(DkNetConfig):
    """Those of DKNet, and the network and its prediction."""

    plans_key: ClassVar[str] = "dk_uxnet"

    # The network
    width: int = number(48, 1, 4096, "channels of the encoder's first stage; each further stage has twice as many")
    stages: int = number(4, 2, 10, "most stages of the encoder; plans with fewer poolings make fewer")
    blocks: int = number(2, 1, 100, "blocks of each stage")

    # The prediction
    predicted_by: str = choice(
        "learned",
        Heads,
        '`"convolution"`: the convolutional head alone. `"learned"`: both heads, by their pseudo Dice, once the query '
        "head has learned",
    )
    learned_from: float = number(
        0.9, 0.0, 1.0, "the query head has learned when its pseudo Dice is at least this part of the other head's"
    )

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of all stages."""
        return tuple(self.width * 2**stage for stage in range(self.stages))

    def query_share(self, convolution_dice: float, query_dice: float) -> float:
        """Weight of the query head in the prediction, 0 to 1: 0 unless it has learned.

        Args:
            convolution_dice, query_dice: pseudo Dice of the heads, NaN where nothing was measured.
        """
        learned = query_dice > 0 and query_dice >= self.learned_from * convolution_dice  # False with NaN
        if self.predicted_by == "convolution" or not learned:
            return 0.0
        return query_dice / (convolution_dice + query_dice)
