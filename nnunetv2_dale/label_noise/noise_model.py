"""Which noise a case gets: the kinds, their units, mixtures of them, and one function that applies it to a label."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnunetv2_dale.label_noise.markov_boundary import walk_boundary
from nnunetv2_dale.label_noise.moved_contours import coarsen_contours, dilate, erode, shift
from nnunetv2_dale.label_noise.random_streams import case_generator
from nnunetv2_dale.masks.boxes import connected_parts
from nnunetv2_dale.masks.overlap import Mask
from nnunetv2_dale.nnunet_files.geometry import axis_first, slice_axis


@dataclass(frozen=True)
class NoiseKind:
    """What an amount of one kind means."""

    unit: str
    default_amount: float
    highest: float
    meaning: str

    def scaled(self, amount: float, scale: float) -> float:
        """Return the amount times `scale`, at most the highest."""
        return min(self.highest, amount * scale)


UNLABELLED = "unlabelled"
KINDS = {
    "boundary": NoiseKind("steps", 40.0, 20_000.0, "Markov walk of the contour (see --bias and --variance)"),
    "dilate": NoiseKind("mm", 1.0, 500.0, "contour moved outwards"),
    "erode": NoiseKind("mm", 1.0, 500.0, "contour moved inwards"),
    "shift": NoiseKind("mm", 2.0, 500.0, "label moved in a random direction"),
    "smooth": NoiseKind("mm", 8.0, 500.0, "contours redrawn as polygons, a corner each so many mm"),
    "missing": NoiseKind("probability", 0.2, 1.0, "components of classes left out"),
    "swap": NoiseKind("probability", 0.2, 1.0, "components of classes given another class"),
    UNLABELLED: NoiseKind("", 1.0, 1.0, "the whole label replaced by the ignore label"),
}


@dataclass(frozen=True)
class NoiseModel:
    """Noise of one kind, or a mixture in which each case draws one kind."""

    kinds: tuple[str, ...]  # names from `KINDS`
    amounts: tuple[float, ...]  # one per kind, in its unit
    weights: tuple[float, ...]  # how often each kind is drawn, relative to the others
    seed: int  # fixes every voxel together with the case's name
    classes: tuple[int, ...]  # the foreground values of the dataset, for `swap`
    ignore_label: int | None = None  # voxels with this value stay as they are; noise neither takes nor gives them
    # of `boundary`, see `walk_boundary`
    bias: float = 0.8
    variance: float = 0.05
    smoothing: float = 1.0

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown or not self.kinds:
            raise ValueError(f"expected kinds of noise from {', '.join(KINDS)}, got {list(self.kinds)}")
        if not len(self.kinds) == len(self.amounts) == len(self.weights):
            raise ValueError(
                f"expected one amount and one weight per kind, got {len(self.kinds)} kinds, "
                f"{len(self.amounts)} amounts and {len(self.weights)} weights"
            )
        for kind, amount in zip(self.kinds, self.amounts, strict=True):
            if not 0 <= amount <= KINDS[kind].highest:
                limits = f"from 0 to {KINDS[kind].highest:g} {KINDS[kind].unit}"
                raise ValueError(f"the amount of {kind} must be {limits}, got {amount:g}")
        if not all(math.isfinite(weight) and weight > 0 for weight in self.weights):
            raise ValueError(f"weights must be above 0, got {list(self.weights)}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}")
        for name in ("bias", "variance"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability from 0 to 1, got {getattr(self, name):g}")
        if not 0 <= self.smoothing <= 100:
            raise ValueError(f"smoothing lies between 0 and 100 voxels, got {self.smoothing:g}")
        if UNLABELLED in self.kinds and (len(self.kinds) > 1 or self.ignore_label is None):
            raise ValueError("unlabelled needs an ignore label, and is no part of a mixture")
        if "swap" in self.kinds and len(self.classes) < 2:
            raise ValueError(f"swap needs at least two foreground classes, the dataset has {list(self.classes)}")

    def draw(self, case: str, scale: float = 1.0) -> tuple[str, float]:
        """Return the kind that a case gets, and its amount times `scale`, at most the kind's highest."""
        rng = case_generator(self.seed, case, "kind")
        number = int(rng.choice(len(self.kinds), p=np.asarray(self.weights) / sum(self.weights)))
        kind = self.kinds[number]
        return kind, KINDS[kind].scaled(self.amounts[number], scale)

    def corrupt(
        self, label: NDArray[np.int16], spacing_mm: tuple[float, float, float], case: str, scale: float = 1.0
    ) -> NDArray[np.int16]:
        """Return the noisy label of a case.

        Args:
            label: (Z, Y, X); an axis of one voxel makes it a 2D image. 0 is background.
            case: its name, which with the seed decides what is drawn.
            scale: factor of the amounts; 0 changes nothing.
        Returns:
            (Z, Y, X), values of `label` and, with `swap`, of `classes`. A label without foreground comes back as it is.
        """
        kind, amount = self.draw(case, scale)
        if kind == UNLABELLED and self.ignore_label is not None:
            return np.full_like(label, self.ignore_label)
        ignored = np.zeros(label.shape, bool) if self.ignore_label is None else label == self.ignore_label
        classes = np.where(ignored, np.int16(0), label)
        if amount == 0 or not classes.any():
            return label.copy()
        rng = case_generator(self.seed, case, kind)
        first = slice_axis(label.shape)  # a single sagittal slice gets the noise of an axial one
        noisy = self._apply(kind, np.moveaxis(classes, first, 0), axis_first(spacing_mm, first), amount, rng)
        return np.where(ignored, label, np.moveaxis(noisy, 0, first))

    def _apply(
        self,
        kind: str,
        label: NDArray[np.int16],
        spacing_mm: tuple[float, float, float],
        amount: float,
        rng: np.random.Generator,
    ) -> NDArray[np.int16]:
        match kind:
            case "boundary":
                return walk_boundary(label, spacing_mm, amount, rng, self.bias, self.variance, self.smoothing)
            case "missing":
                return drop_components(label, amount, rng)
            case "swap":
                return swap_components(label, amount, rng, self.classes)
        moved = {"dilate": dilate, "erode": erode, "shift": shift, "smooth": coarsen_contours}[kind]
        return moved(label, spacing_mm, amount, rng)


def drop_components(label: NDArray[np.int16], probability: float, rng: np.random.Generator) -> NDArray[np.int16]:
    """Make each connected component of each class background with `probability`, independently.

    The same generator drops all that a smaller probability drops, and more.
    """
    result = label.copy()
    for _, component in _components(label):
        if rng.random() < probability:
            result[component] = 0
    return result


def swap_components(
    label: NDArray[np.int16], probability: float, rng: np.random.Generator, classes: Sequence[int]
) -> NDArray[np.int16]:
    """Give each connected component of each class another class with `probability`, independently.

    The other classes are equally likely. The foreground as a whole does not change. The same
    generator swaps all that a smaller probability swaps, and more. Fewer than two classes are a `ValueError`.
    """
    result = label.copy()
    for value, component in _components(label):
        draw, other = rng.random(), rng.choice([other for other in classes if other != value])
        if draw < probability:
            result[component] = other
    return result


def _components(label: NDArray[np.int16]) -> Iterator[tuple[int, Mask]]:
    """The class and the mask of every connected part, class by class."""
    for value in np.unique(label[label > 0]).tolist():
        for box, part in connected_parts(label == value):
            mask = np.zeros(label.shape, bool)
            mask[box] = part
            yield value, mask
