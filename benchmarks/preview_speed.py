"""Time and memory of the preview of one large CT: `python -m benchmarks.preview_speed -o preview_speed.json`.

A 512 x 512 x 150 volume with an organ-like label is made in a temporary folder, and the real command draws it in a
process of its own, whose peak memory the system reports.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK

from benchmarks.speed_parts import timed_command

COMMAND = "import sys; from nnunetv2_dale.preview.cli import main; sys.exit(main(sys.argv[1:]))"


def write_case(folder: Path, shape: tuple[int, int, int]) -> None:
    """Write a dataset of one case, a body with an organ in air, of (Z, Y, X) voxels of 2.5 x 0.8 x 0.8 mm."""
    rng = np.random.default_rng(0)
    z, y, x = (np.linspace(-1, 1, size, dtype=np.float32) for size in shape)
    body = (y[:, None] ** 2 + x**2 < 0.7) & np.ones((shape[0], 1, 1), bool)
    organ = (z[:, None, None] ** 2 + (y[:, None] + 0.2) ** 2 * 4 + (x - 0.2) ** 2 * 3) < 0.3
    image = np.where(organ, 90, np.where(body, 40, -1000)).astype(np.int16)
    image += rng.integers(-30, 31, shape, dtype=np.int16)
    for name, array in (("imagesTr/large_0000", image), ("labelsTr/large", organ.astype(np.uint8))):
        volume = SimpleITK.GetImageFromArray(array)
        volume.SetSpacing((0.8, 0.8, 2.5))
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        SimpleITK.WriteImage(volume, str(folder / f"{name}.nii.gz"), True)
    description = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "organ": 1}, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps({**description, "numTraining": 1}))


def measure(shape: tuple[int, int, int]) -> dict[str, object]:
    """Wall and CPU time in seconds and peak resident memory in GiB of one preview."""
    with tempfile.TemporaryDirectory() as name:
        write_case(Path(name) / "raw" / "Dataset001_Large", shape)
        used = timed_command(["-c", COMMAND, "-d", "1", "-o", str(Path(name) / "pictures")], Path(name) / "raw")
    return {
        "shape_zyx": shape,
        "wall_seconds": used["seconds"],
        "cpu_seconds": used["cpu_seconds"],
        "peak_memory_gib": used["peak_GiB"],
        "cpu_count": os.cpu_count(),
        "load_average_before": os.getloadavg()[0],
        "machine": platform.machine(),
        "python": platform.python_version(),
    }


def main() -> None:
    """Measure, print and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", type=Path, required=True, help="where the JSON goes")
    parser.add_argument("--shape", type=int, nargs=3, default=[150, 512, 512], metavar=("Z", "Y", "X"))
    arguments = parser.parse_args()
    result = measure(tuple(arguments.shape))
    arguments.o.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
