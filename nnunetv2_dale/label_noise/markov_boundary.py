"""`boundary`: the Markov walk of the contour of the Spatial Correction paper."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nnunetv2_dale.label_noise.moved_contours import with_foreground
from nnunetv2_dale.masks.boxes import Box, box_of
from nnunetv2_dale.masks.overlap import Mask

_STEPS_PER_WINDOW = 8


def walk_boundary(
    label: NDArray[np.int16],
    spacing_mm: tuple[float, float, float],
    steps: float,
    rng: np.random.Generator,
    bias: float = 0.8,
    variance: float = 0.05,
    smoothing: float = 1.0,
) -> NDArray[np.int16]:
    """Let the contour of the foreground walk (Yao et al., ICLR 2023, Definition 1).

    In each of T steps a coin with P(1) = theta_1 chooses growth or shrinkage. Each background (foreground) voxel with a
    foreground (background) face neighbour then changes sides with probability theta_2. The walk to T + 1 steps
    continues the walk to T; of a T that is not whole, the last step has its fraction of theta_2. Across a coarser
    axis k the probability is theta_2 * min(h) / h_k, so that a flat contour moves equally fast in mm along all axes;
    with equal spacings this is the paper's process. At the end a Gaussian smooths the walk, as in the authors'
    generator; here only voxels that walked can be smoothed away: small structures survive, and no step is no change.

    Args:
        label: (Z, Y, X), 0 is background. Without foreground, or all of it, nothing can walk.
        spacing_mm: h, of the 3 axes.
        steps: T, at least 0.
        bias: theta_1 in [0, 1]; 1 only grows, 0 only shrinks, 0.5 is unbiased.
        variance: theta_2 in [0, 1].
        smoothing: the Gaussian's standard deviation in units of the smallest spacing; 0 leaves single voxels and holes.
    Returns:
        the noisy label, (Z, Y, X). A foreground that has shrunk to nothing stays empty.
    """
    clean = label > 0
    walked = clean.copy()
    speeds = tuple(variance * min(spacing_mm) / spacing for spacing in spacing_mm)
    for first in range(0, math.ceil(steps), _STEPS_PER_WINDOW):
        window = box_of(walked, _STEPS_PER_WINDOW)
        if window is None:
            break
        for step in range(first, min(math.ceil(steps), first + _STEPS_PER_WINDOW)):
            part = min(1.0, steps - step)
            _step(walked, window, bool(rng.random() < bias), tuple(part * speed for speed in speeds), rng)
    if smoothing > 0:
        _smooth_changes(clean, walked, [smoothing * min(spacing_mm) / spacing for spacing in spacing_mm])
    return with_foreground(label, walked, spacing_mm)


def _smooth_changes(clean: Mask, walked: Mask, sigma_voxels: list[float]) -> None:
    """Give every voxel that walked the majority of its Gaussian neighbourhood, in place."""
    window = box_of(clean | walked, [math.ceil(4 * sigma) for sigma in sigma_voxels])
    if window is None:
        return
    changed = clean[window] != walked[window]
    smooth = ndimage.gaussian_filter(walked[window].astype(np.float32), sigma_voxels, mode="nearest") > 0.5
    walked[window][changed] = smooth[changed]


def _step(foreground: Mask, window: Box, grow: bool, speeds: tuple[float, ...], rng: np.random.Generator) -> None:
    """One step in place. Draws one number per boundary voxel, in raster order, whatever the window."""
    source = foreground[window] if grow else ~foreground[window]
    probability = np.zeros(source.shape, np.float32)
    for axis in np.argsort(speeds, kind="stable"):  # the fastest axis last: it decides
        ahead = (slice(None),) * axis + (slice(1, None),)
        behind = (slice(None),) * axis + (slice(None, -1),)
        probability[ahead][source[behind]] = speeds[axis]
        probability[behind][source[ahead]] = speeds[axis]
    probability[source] = 0
    boundary = np.nonzero(probability)
    changed = rng.random(boundary[0].size) < probability[boundary]
    foreground[window][tuple(index[changed] for index in boundary)] = grow
