"""Maps of doubt travel through nnU-Net's loading and augmentation as the last image channel.

The doubt is 1 − c, so that nnU-Net's padding with 0 means none. nnU-Net's loader crops it with the image; its spatial
transforms move it as batchgeneratorsv2's `regression_target`, and those of intensities leave it alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from numpy.typing import NDArray


class WithDoubt:
    """An image with the doubt of its labels as a further channel; a crop reads no more than a crop.

    Args:
        image: (C, Z, Y, X), an array or a file of one.
        confidence: c, (1, Z, Y, X) in [0, 1]; None is 1.
    """

    def __init__(self, image: Any, confidence: Any | None) -> None:
        self._image, self._confidence = image, confidence
        self.shape = (image.shape[0] + 1, *image.shape[1:])

    def __getitem__(self, index: Any) -> NDArray[np.float32]:
        """A part with all channels."""
        image = np.asarray(self._image[index])
        doubt = np.zeros_like(image[:1]) if self._confidence is None else 1 - np.asarray(self._confidence[index])
        return np.concatenate([image, doubt.astype(image.dtype)])


class DoubtedDataset:
    """One of nnU-Net's datasets, as its data loader sees it, with what is given of the labels.

    It pickles, as it travels to the loader's processes where these are not forked.

    Attributes:
        identifiers: the cases to draw from.
        as_stored: nnU-Net's own, for whoever wants a case as it is, not as a training sees it.

    Args:
        dataset: nnU-Net's.
        map_of: a case's confidence map, None where it has none; None: no case has any, and images stay as they are.
        not_annotated: case → classes that are not to be looked for, as keys of nnU-Net's `class_locations`.
        readers_of: a case's labels by its readers, of which each visit draws one; none, and None: what nnU-Net has.
    """

    def __init__(
        self,
        dataset: Any,
        map_of: Callable[[str], Path | None] | None,
        not_annotated: Mapping[str, Collection[Any]],
        readers_of: Callable[[str], Sequence[Path]] | None = None,
    ) -> None:
        self.as_stored, self._map_of, self._not_annotated, self._readers_of = dataset, map_of, not_annotated, readers_of
        self.identifiers: list[str] = list(dataset.identifiers)

    def load_case(self, case: str) -> tuple[Any, Any, Any, dict[str, Any]]:
        """Image, label, label of the stage before, and properties."""
        image, label, stage_before, properties = self.as_stored.load_case(case)
        readers = self._readers_of(case) if self._readers_of is not None else ()
        if readers:
            label = opened(readers[np.random.randint(len(readers))])  # nnU-Net's loaders draw from the global state
        if missing := self._not_annotated.get(case):
            places = {key: [] if key in missing else value for key, value in properties["class_locations"].items()}
            properties = {**properties, "class_locations": places}
        if self._map_of is not None:
            file = self._map_of(case)
            image = WithDoubt(image, None if file is None else opened(file))
        return image, label, stage_before, properties


def opened(file: Path) -> Any:
    """A file of blosc2, of which parts are read as they are asked for."""
    return blosc2.open(urlpath=str(file), mode="r", dparams={"nthreads": 1})


class DoubtMovesAlong(BasicTransform):
    """Transforms of an image, and its last channel with them as `regression_target`.

    Args:
        transforms: nnU-Net's.
    """

    def __init__(self, transforms: BasicTransform) -> None:
        super().__init__()
        self.transforms = transforms

    def apply(self, data_dict: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Of a dict with "image" (C + 1, *S) and "segmentation", both changed as nnU-Net does; the doubt is last."""
        image = data_dict["image"]
        moved: dict[str, Any] = self.transforms(**{**data_dict, "image": image[:-1], "regression_target": image[-1:]})
        doubt = moved.pop("regression_target")
        return {**moved, "image": torch.cat([moved["image"], doubt])}
