"""A forward that gives the logits and the features F that made them (Eq. 12): what enters the segmentation head."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from torch import Tensor, nn

from nnunetv2_dale.dale.masked_loss import Outputs

_HEADS_LISTED = 5  # modules that an error proposes as the head


class FeatureTap:
    """Runs a network; `outputs, features = see(images)`.

    Args:
        network: images to logits; may be compiled or wrapped in DDP.
        module: the plain module inside it.
        head: the module inside that one whose input is F; None: no features are kept.
        autocast: makes the context of a forward.
    Raises:
        ValueError: the head is no module of the network, or gets something else than features of 4 or 5 axes; the
            message lists the modules that could be meant.
    """

    def __init__(
        self,
        network: nn.Module,
        module: nn.Module,
        head: nn.Module | None,
        autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        if head is not None and all(each is not head for each in module.modules()):
            raise ValueError(
                f"DALE's alignment needs a head that is a module of the network, but {type(module).__name__} does not "
                f"hold the {type(head).__name__} given; {modules_that_could_be_meant(module)}"
            )
        self._network, self._autocast, self._input = network, autocast, _LastInput(module)
        self._hook = None if head is None else head.register_forward_pre_hook(self._input.keep)

    def __call__(self, images: Tensor) -> tuple[Outputs, Tensor | None]:
        """Logits of (B, C, *S) images in training mode, and F, (B, F, *S), with their graph; None without a head."""
        with self._autocast():
            outputs: Outputs = self._network(images)
        return outputs, None if self._hook is None else self._input.take()

    def remove(self) -> None:
        """Keep no features from here on, for a network that serves something else afterwards."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None


class _LastInput:
    """What entered the head, until the end of the forward.

    Apart from the tap, so that a copy of the network, and with it of its hook, copies nothing of what runs it.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._features: Tensor | None = None

    def keep(self, head: nn.Module, inputs: tuple[object, ...]) -> None:
        if not head.training:  # a validation's forward keeps nothing alive
            return
        features = inputs[0] if inputs else None
        if not isinstance(features, Tensor) or features.ndim not in (4, 5):
            found = f"of shape {tuple(features.shape)}" if isinstance(features, Tensor) else type(features).__name__
            raise ValueError(
                f"DALE's alignment needs a head that gets features of 4 or 5 axes (batch, channels, space), but the "
                f"input of the {type(head).__name__} given is {found}; {modules_that_could_be_meant(self._module)}"
            )
        self._features = features

    def take(self) -> Tensor:
        features, self._features = self._features, None
        if features is None:
            raise RuntimeError(
                "no features: the segmentation head has not run in this forward; "
                + modules_that_could_be_meant(self._module)
            )
        return features


def segmentation_head(network: nn.Module) -> nn.Module:
    """Return `network.decoder.seg_layers[-1]`; a ValueError that says what was looked for where there is none."""
    heads = getattr(getattr(network, "decoder", None), "seg_layers", None)
    if not isinstance(heads, nn.ModuleList) or len(heads) == 0:
        raise ValueError(
            f"DALE's alignment needs the segmentation head of the network, looked for as decoder.seg_layers[-1] in "
            f'{type(network).__name__}, which has none; name the head, or set "alignment_weight" to 0 to train without '
            f"the alignment; {modules_that_could_be_meant(network)}"
        )
    return heads[-1]


def modules_that_could_be_meant(network: nn.Module) -> str:
    """Return the last convolutions of a network with their channels: a head is mostly the last one that was defined."""
    found = [
        f"{name or 'the network itself'} ({module.in_channels} to {module.out_channels} channels)"
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Conv3d)
    ]
    if not found:
        return "it has no 2D or 3D convolution that could be meant"
    return f"modules that could be meant: {', '.join(found[-_HEADS_LISTED:])}"
