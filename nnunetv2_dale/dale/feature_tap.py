"""The features F of Eq. 12: what enters the segmentation head, kept at each training forward."""

from __future__ import annotations

from torch import Tensor, nn

_HEADS_LISTED = 5  # modules that an error proposes as the head


class FeatureTap:
    """Keeps the input of the segmentation head at each training forward: the features F of Eq. 12.

    Args:
        network: the plain module (found through `torch.compile` and DDP by the caller). The head is
            `network.decoder.seg_layers[-1]`, nnU-Net's full-resolution one.
        head: the module to listen to instead, for other networks.
    Raises:
        ValueError: the network has no such head, or the head gets something else than features of 4 or 5 axes; the
            message lists the modules that could be meant.
    """

    def __init__(self, network: nn.Module, head: nn.Module | None = None) -> None:
        self.features: Tensor | None = None
        self._network = network
        self._head = segmentation_head(network) if head is None else head
        if all(module is not self._head for module in network.modules()):
            raise ValueError(
                f"DALE's alignment needs a head that is a module of the network, but {type(network).__name__} does not "
                f"hold the {type(self._head).__name__} given; {modules_that_could_be_meant(network)}"
            )
        self._handle = self._head.register_forward_pre_hook(self._keep)

    def take(self) -> Tensor:
        """The features of the last forward, (B, C, *S); forgotten here, so that their memory can go."""
        if self.features is None:
            raise RuntimeError(
                "no features: the segmentation head has not run since the last take; "
                + modules_that_could_be_meant(self._network)
            )
        features, self.features = self.features, None
        return features

    def take_if_any(self) -> Tensor | None:
        """As `take`; None where the head has not run since the last."""
        features, self.features = self.features, None
        return features

    def remove(self) -> None:
        self._handle.remove()

    def _keep(self, module: nn.Module, inputs: tuple[object, ...]) -> None:
        if not module.training:
            return
        features = inputs[0] if inputs else None
        if not isinstance(features, Tensor) or features.ndim not in (4, 5):
            found = f"of shape {tuple(features.shape)}" if isinstance(features, Tensor) else type(features).__name__
            raise ValueError(
                f"DALE's alignment needs a head that gets features of 4 or 5 axes (batch, channels, space), but the "
                f"input of the {type(module).__name__} given is {found}; {modules_that_could_be_meant(self._network)}"
            )
        self.features = features


def segmentation_head(network: nn.Module) -> nn.Module:
    """`network.decoder.seg_layers[-1]`; a ValueError that says what was looked for where there is none."""
    heads = getattr(getattr(network, "decoder", None), "seg_layers", None)
    if not isinstance(heads, nn.ModuleList) or len(heads) == 0:
        raise ValueError(
            f"DALE's alignment needs the segmentation head of the network, looked for as decoder.seg_layers[-1] in "
            f'{type(network).__name__}, which has none; name the head, or set "alignment_weight" to 0 to train without '
            f"the alignment; {modules_that_could_be_meant(network)}"
        )
    return heads[-1]


def modules_that_could_be_meant(network: nn.Module) -> str:
    """The last convolutions of a network with their channels: a head is mostly the last one that was defined."""
    found = [
        f"{name or 'the network itself'} ({module.in_channels} to {module.out_channels} channels)"
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Conv3d)
    ]
    if not found:
        return "it has no 2D or 3D convolution that could be meant"
    return f"modules that could be meant: {', '.join(found[-_HEADS_LISTED:])}"
