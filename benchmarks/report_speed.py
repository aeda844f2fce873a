"""How fast the report is: from summaries alone, with masks of hippocampus size, and a large CT with 14 classes.

    python -m benchmarks.report_speed --output report_speed.json [--only summaries masks large]

Makes its own data in a temporary folder and prints JSON: seconds, peak memory, and the machine.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from benchmarks.speed_parts import measure_parts, timed_command

TARGETS = {"summaries": {"seconds": 10.0}, "masks": {"seconds": 90.0}, "large": {"seconds": 20.0}}
CASES = 260


def labels_of(rng: np.random.Generator, shape: tuple[int, int, int], classes: int) -> NDArray[np.uint8]:
    """Ellipsoids on a grid, one for each class, a third of the image wide in sum."""
    labels = np.zeros(shape, np.uint8)
    columns = int(np.ceil(classes**0.5))
    cell = np.array([shape[0], shape[1] / columns, shape[2] / columns])
    for number in range(classes):
        centre = np.array([shape[0] / 2, *((np.array(divmod(number, columns)) + 0.5) * cell[1:])]) + rng.normal(
            0, 0.7, 3
        )
        radii = cell * 0.42 * rng.uniform(0.85, 1, 3)
        grid = np.ogrid[tuple(slice(0, size) for size in shape)]
        distance = sum(((axis - c) / r) ** 2 for axis, c, r in zip(grid, centre, radii, strict=True))
        labels[distance <= 1] = number + 1
    return labels


def class_metrics(
    prediction: NDArray[np.uint8], reference: NDArray[np.uint8], classes: int
) -> dict[str, dict[str, float]]:
    """What nnU-Net's summary holds for a case."""
    table = np.bincount(
        (reference.astype(np.int64) * (classes + 1) + prediction).ravel(), minlength=(classes + 1) ** 2
    ).reshape(classes + 1, classes + 1)
    result = {}
    for number in range(1, classes + 1):
        tp = int(table[number, number])
        fn, fp = int(table[number].sum()) - tp, int(table[:, number].sum()) - tp
        counts = {"TP": tp, "FP": fp, "FN": fn, "TN": int(table.sum()) - tp - fp - fn}
        result[str(number)] = {"Dice": 2 * tp / (2 * tp + fp + fn), "IoU": tp / (tp + fp + fn), **counts}
    return result


def write(array: NDArray[np.generic], file: Path) -> None:
    """Write a volume of 1 mm, as quickly to read as nnU-Net's own."""
    file.parent.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array), str(file), useCompression=True)


def make_study(root: Path, cases: int, shape: tuple[int, int, int], classes: int, with_masks: bool) -> list[Path]:
    """A raw dataset and two result folders of five folds."""
    rng = np.random.default_rng(0)
    raw, folders = (
        root / "raw" / "Dataset900_Speed",
        [root / "results" / f"{name}__nnUNetPlans__3d_fullres" for name in "AB"],
    )
    rows: dict[tuple[Path, int], list[object]] = {}
    for case in range(cases):
        name, fold = f"case_{case:03d}.nii.gz", case % 5
        reference = labels_of(rng, shape, classes)
        if with_masks:
            write(reference, raw / "labelsTr" / name)
            image = (reference * 20 + rng.integers(0, 60, shape)).astype(np.int16)
            write(image, raw / "imagesTr" / name.replace(".nii", "_0000.nii"))
        for number, folder in enumerate(folders):
            prediction = np.roll(reference, (0, 1, number * (case % 2)), (0, 1, 2))
            if with_masks:
                write(prediction, folder / f"fold_{fold}" / "validation" / name)
            metrics = class_metrics(prediction, reference, classes)
            row = {"prediction_file": name, "reference_file": str(raw / "labelsTr" / name), "metrics": metrics}
            rows.setdefault((folder, fold), []).append(row)
    for (folder, fold), content in rows.items():
        file = folder / f"fold_{fold}" / "validation" / "summary.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"metric_per_case": content}))
    return folders


def run_report(root: Path, folders: list[Path], *arguments: str) -> dict[str, float]:
    """The command as a user runs it: wall seconds, and the peak memory of its main process."""
    command = ["-m", "nnunetv2_dale.report.cli", *map(str, folders), "-o", str(root / "report"), *arguments]
    used = timed_command(command, root / "raw")
    return {"seconds": used["seconds"], "peak_GiB_of_main_process": used["peak_GiB"]}


def summaries(root: Path) -> dict[str, float]:
    """260 cases in 2 folders, from summary.json alone."""
    return run_report(root, make_study(root, CASES, (36, 50, 35), 2, with_masks=False))


def masks(root: Path) -> dict[str, float]:
    """260 cases of 36 × 50 × 35 voxels in 2 folders, with surface metrics, fuzzy region and pictures, on 2 cores."""
    folders = make_study(root, CASES, (36, 50, 35), 2, with_masks=True)
    references = root / "raw" / "Dataset900_Speed"
    places = ("--references", str(references / "labelsTr"), "--images", str(references / "imagesTr"))
    return run_report(root, folders, *places, "-np", "2")


def large(root: Path) -> dict[str, float]:
    """One case of 200 × 512 × 512 voxels and 14 classes in 2 folders, measured on one core."""
    import torch

    from nnunetv2_dale.nnunet_files.results.case_files import find_case_files
    from nnunetv2_dale.nnunet_files.results.result_folder import read_result_folder
    from nnunetv2_dale.report.measure_cases import MeasureSettings, measure_case
    from nnunetv2_dale.report.volumes import mask_reader

    torch.set_num_threads(1)
    classes = 14
    child = "from benchmarks.report_speed import *; "
    child += f"make_study(Path({str(root)!r}), 1, (200, 512, 512), {classes}, with_masks=True)"
    subprocess.run([sys.executable, "-c", child], check=True, cwd=Path(__file__).parent.parent)
    folders = [read_result_folder(root / "results" / f"{name}__nnUNetPlans__3d_fullres") for name in "AB"]
    raw = root / "raw" / "Dataset900_Speed"
    files, _ = find_case_files(folders, list(folders[0].cases), raw / "labelsTr", raw / "imagesTr")
    keys = tuple(str(number + 1) for number in range(classes))
    settings = MeasureSettings(keys, None, 2.0, 0.9, 16, mask_reader(folders[0], files[0].reference))
    wall, cpu = time.perf_counter(), time.process_time()
    measure_case(files[0], [folder.cases["case_000"] for folder in folders], settings)
    return {
        "seconds": round(time.perf_counter() - wall, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "peak_GiB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


if __name__ == "__main__":
    measure_parts(__doc__, {"summaries": summaries, "masks": masks, "large": large}, TARGETS)
