"""A case to look at, from a raw dataset or from what nnU-Net preprocessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.commands.counted import counted
from nnunetv2_dale.nnunet_files.confidence_map import map_files, read_confidence_map
from nnunetv2_dale.nnunet_files.dataset_description import read_description
from nnunetv2_dale.nnunet_files.folders import dataset_folder, environment_folder
from nnunetv2_dale.nnunet_files.geometry import axis_first, require_same_voxels, slice_axis
from nnunetv2_dale.nnunet_files.json_files import read_json_object
from nnunetv2_dale.nnunet_files.preprocessed_case import read_preprocessed_case
from nnunetv2_dale.nnunet_files.preprocessed_confidence import confidence_folder, read_preprocessed_map
from nnunetv2_dale.nnunet_files.problems import FileError
from nnunetv2_dale.nnunet_files.raw_dataset import RawDataset, read_raw
from nnunetv2_dale.nnunet_files.volumes import read_image, read_label

_COLOUR_NAMES = ({"r", "g", "b"}, {"red", "green", "blue"}, {"rgb_to_0_1"})


@dataclass(frozen=True)
class PreviewCase:
    """One case as arrays."""

    name: str
    image: NDArray[np.float32]  # (C, Z, Y, X) float32; a 2D image has Z = 1
    label: NDArray[np.int16] | None  # (Z, Y, X) int16, or None
    spacing_mm: tuple[float, float, float]  # of the 3 axes; the last two decide how a slice is drawn
    slicewise: bool  # slices are images of their own, as in a 2D configuration
    is_ct: bool  # the intensities are Hounsfield units
    confidence: NDArray[np.float32] | None = None  # (Z, Y, X) in [0, 1], what is given of the label; None without a map


class RawSource:
    """The training cases of a dataset in `nnUNet_raw`."""

    def __init__(self, name_or_id: str, slicewise: bool) -> None:
        self.dataset = read_raw(name_or_id)
        self.cases = {case.name: case for case in self.dataset.cases}
        self.names = list(self.cases)
        self.title = self.dataset.folder.name
        self.description = "raw images" + (", slice by slice as in a 2d configuration" if slicewise else "")
        self._slicewise = slicewise
        self._reader = self.dataset.reader()

    def load(self, name: str) -> PreviewCase:
        """Read a case.

        Raises:
            UserError: an unreadable file, unknown label values, a map of confidence that is refused, or an image and a
                label of different shapes.
        """
        case = self.cases[name]
        image, properties = read_image(self._reader, case.images)
        named = self.dataset.dataset_json.get("channel_names") or self.dataset.dataset_json.get("modality")
        if named and len(named) != len(image):
            names = ", ".join(named.values())
            what = f"has {counted(len(image), 'channel')}, but dataset.json names {len(named)}: {names}"
            raise FileError(case.images[0], what)
        label, confidence = None, None
        if case.label is not None:
            label, of_label = read_label(self._reader, case.label, self.dataset.label_values)
            require_same_voxels(
                case.label, (label.shape, of_label), case.images[0], (image.shape[1:], properties), "mend the label"
            )
            given = map_files(self.dataset).get(name)
            if given is not None:
                confidence = read_confidence_map(self._reader, given, case.label, (label.shape, of_label))
        z, y, x = (float(value) for value in properties["spacing"])
        first = slice_axis(image.shape[1:])  # a single slice is looked at from the front, whichever axis it is of
        image = np.moveaxis(image, 1 + first, 1)
        label = None if label is None else np.moveaxis(label, first, 0)
        confidence = None if confidence is None else np.moveaxis(confidence, first, 0)
        spacing = axis_first((z, y, x), first)
        return PreviewCase(name, image, label, spacing, self._slicewise, self.dataset.is_ct, confidence)


class PreprocessedSource:
    """The cases that nnU-Net preprocessed for one configuration: resampled, cropped and normalised."""

    def __init__(self, name_or_id: str, configuration: str, plans: str) -> None:
        from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
        from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

        folder = dataset_folder(environment_folder("nnUNet_preprocessed"), name_or_id)
        plans_file = folder / f"{plans}.json"
        try:
            manager = PlansManager(str(plans_file))
            settings = manager.get_configuration(configuration)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            found = _configurations_in(plans_file)
            raise UserError(f"expected configuration {configuration} in {plans_file}, but {found}") from error
        data = folder / settings.data_identifier
        if not data.is_dir() or not any(data.iterdir()):
            raise UserError(
                f"expected preprocessed cases in {data}; run nnUNetv2_preprocess -d {name_or_id} -c {configuration}"
            )
        self.dataset = RawDataset(folder, read_description(folder / "dataset.json"), ())
        self.title = folder.name
        self.description = f"preprocessed, {plans}, {configuration}"
        self._folder = data
        try:
            self.names = sorted(infer_dataset_class(str(data)).get_identifiers(str(data)))
        except (AssertionError, KeyError) as error:
            raise UserError(f"{data} holds other files than nnU-Net writes there; preprocess into it again") from error
        self._spacing = [float(value) for value in settings.spacing]
        self._slicewise = len(settings.patch_size) == 2

    def load(self, name: str) -> PreviewCase:
        """Read a case. Labels below 0, nnU-Net's mark for what lies outside the image, become background.

        Raises:
            UserError: a file that is missing or damaged.
        """
        try:
            image, label = read_preprocessed_case(self._folder, name, self.dataset.label_values)
        except ValueError as error:
            raise UserError(f"{error}; preprocess again") from error
        image, label = image.astype(np.float32, copy=False), np.maximum(label, 0).astype(np.int16)
        y, x = self._spacing[-2:]
        z = self._spacing[0] if len(self._spacing) == 3 else max(y, x)
        file = confidence_folder(self._folder.parent, self._folder.name) / f"{name}.b2nd"
        confidence = read_preprocessed_map(file) if file.is_file() else None
        if confidence is not None and confidence.shape != label.shape:
            raise UserError(f"{file} has not the shape of the label; run nnUNetv2_dale_confidence preprocess again")
        return PreviewCase(name, image, label, (z, y, x), self._slicewise, is_ct=False, confidence=confidence)


def _configurations_in(plans_file: Path) -> str:
    """What is there instead of the configuration that is looked for, in words."""
    if not plans_file.is_file():
        return "there is no such file"
    try:
        return f"it has {', '.join(read_json_object(plans_file)['configurations'])}"
    except (ValueError, KeyError) as error:
        return f"the file cannot be read as plans ({error})"


Source = RawSource | PreprocessedSource


def chosen_names(source: Source, wanted: Sequence[str] | None, number: int) -> list[str]:
    """Return the wanted cases, or the first `number`.

    Raises:
        UserError: a wanted case that there is not.
    """
    if wanted is None:
        return list(source.names[:number])
    unknown = [name for name in wanted if name not in source.names]
    if unknown:
        raise UserError(f"{source.title} has no case {', '.join(unknown)}; its cases are like {source.names[0]}")
    return list(wanted)


def is_colour(dataset_json: dict[str, Any]) -> bool:
    """Say whether the three channels of a dataset are the colours of one picture."""
    names = dataset_json.get("channel_names") or dataset_json.get("modality") or {}
    found = {str(value).lower() for value in names.values()}
    return len(names) == 3 and found in _COLOUR_NAMES


def class_names(dataset_json: dict[str, Any]) -> dict[int, str]:
    """Return the name of each label value; a value of several regions takes the name of the smallest one."""
    names: dict[int, str] = {}
    regions = [
        (name, value if isinstance(value, list | tuple) else [value]) for name, value in dataset_json["labels"].items()
    ]
    for name, values in sorted(regions, key=lambda region: -len(region[1])):
        names.update({int(value): name for value in values if int(value) != 0})
    return dict(sorted(names.items()))


def output_name(name: str, kind: str = "") -> Path:
    """Return the file name of a case's picture; of a model there are several kinds."""
    return Path(f"{name}_{kind}.png" if kind else f"{name}.png")
