"""What DALE made of one batch at the end of the demo's training: kept beside the model, for the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import SimpleITK
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd

from nnunetv2_dale.demo.anatomy import telling_slice
from nnunetv2_dale.nnunet_files.atomic_output import new_file

if TYPE_CHECKING:  # reading an example needs no trainer
    from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE

FILE = "dale_example.npz"
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class DaleExample:
    """One slice of each of some training cases, as (slices, y, x); and what the training has found of all cases."""

    cases: npt.NDArray[np.str_]  # (slices,)
    image: FloatArray  # as the network gets it
    drawn: npt.NDArray[np.int16]  # the label that was trained on
    true: npt.NDArray[np.int16]
    non_fuzzy: FloatArray  # the image of each view
    fuzzy: FloatArray
    meta: FloatArray  # ω by meta steps
    case: FloatArray  # the trust of the case
    alignment: FloatArray  # (batches,) L_W of every batch of the training; NaN where it was a whole one
    training: npt.NDArray[np.str_]  # (cases,) all training cases
    distrust: FloatArray  # (cases, K) how far each class of a case is down-weighted: > 0 as too wide, < 0 as too narrow

    def write(self, folder: Path) -> None:
        """Write it into the folder of the model."""
        with new_file(folder / FILE, overwrite=True) as unfinished, unfinished.open("wb") as file:
            np.savez_compressed(file, **asdict(self))

    @classmethod
    def read(cls, folder: Path) -> DaleExample:
        """Read it from there."""
        with np.load(folder / FILE) as stored:
            return cls(**dict(stored))


def example_of(
    trainer: nnUNetTrainerDALE, clean_labels: Path, drawn_wide: Sequence[str], alignment: Sequence[float]
) -> DaleExample:
    """Look at a batch of two training cases, one that was drawn wide and one that was not, where there are both.

    Args:
        trainer: at the end of its training; stays as it is.
        clean_labels: folder of the true labels.
        alignment: L_W of every batch.
    """
    import torch
    from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

    from nnunetv2_dale.dale.look import look_at

    assert trainer.dale_step is not None
    assert trainer.trust is not None
    training = trainer.training_cases
    by_reader = ([case for case in training if (case in drawn_wide) == wide] for wide in (True, False))
    cases = [chosen[0] for chosen in by_reader if chosen]
    size = tuple(trainer.configuration_manager.patch_size)
    images, drawn, true = [], [], []
    stored = nnUNetDatasetBlosc2(str(trainer.preprocessed_dataset_folder), list(training))
    for case in cases:
        image, label, _, _ = stored.load_case(case)
        truth = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(clean_labels / f"{case}.nii.gz")))
        index = telling_slice(truth)
        images.append(_fitted(np.asarray(image[:, index], np.float32)[0], size))
        drawn.append(_fitted(np.asarray(label[:])[0, index], size))
        true.append(_fitted(truth[index], size))
    targets = [torch.from_numpy(np.stack(drawn).astype(np.int16))[:, None].to(trainer.device)]
    for scale in (trainer._get_deep_supervision_scales() or [])[1:]:
        step = [round(1 / factor) for factor in scale]
        targets.append(targets[0][..., :: step[0], :: step[1]])
    batch = torch.from_numpy(np.stack(images))[:, None].to(trainer.device)
    seen = look_at(trainer.dale_step.algorithm, batch, targets, cases)
    return DaleExample(
        cases=np.array(cases),
        image=np.stack(images),
        drawn=np.stack(drawn).astype(np.int16),
        true=np.stack(true).astype(np.int16),
        non_fuzzy=_array(seen.batch.non_fuzzy.images),
        fuzzy=_array(seen.batch.fuzzy.images),
        meta=_array(seen.meta),
        case=_array(seen.case),
        alignment=np.array(alignment, np.float32),
        training=np.array(training),
        distrust=np.zeros((len(training), trainer.label_manager.num_segmentation_heads), np.float32)
        if (distrust := trainer.trust.displacement.doubt_of(training)) is None
        else (distrust[:, 0] - distrust[:, 1]).float().cpu().numpy(),
    )


def _fitted(slice_: npt.NDArray[Any], size: Sequence[int]) -> npt.NDArray[Any]:
    """The slice cut or padded with zeros to a size, about its middle."""
    starts = [(length - wanted) // 2 for length, wanted in zip(slice_.shape, size, strict=True)]
    cut: npt.NDArray[Any] = crop_and_pad_nd(
        slice_, [[low, low + wanted] for low, wanted in zip(starts, size, strict=True)]
    )
    return cut


def _array(values: Any) -> FloatArray:
    array: FloatArray = values[:, 0].detach().float().cpu().numpy()
    return array
