"""How fast the audit is: 200 cases of hippocampus size as a user runs it, one large CT with 14 classes, and 200 CTs
before any training.

    python -m benchmarks.audit_speed [--only cases large before] [--output benchmarks/results/audit_speed.json]

Makes its own data in a temporary folder and prints JSON: seconds, processor seconds, peak memory, load, machine.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import SimpleITK
from scipy import ndimage

from benchmarks.report_speed import make_study
from benchmarks.speed_parts import ROOT, measure_parts, timed_command

TARGETS = {"before": {"seconds": 60.0}, "cases": {"seconds": 60.0}, "large": {"seconds": 30.0, "peak_GiB": 4.0}}
CASES, WRONG_EACH = 200, 10  # every tenth label is drawn too wide, so that there are findings, maps and pictures
LARGE, CLASSES = (300, 512, 512), 14


def make_results(root: Path, cases: int, shape: tuple[int, int, int], classes: int) -> Path:
    """A raw dataset in root/raw and one result folder of five folds."""
    folder = make_study(root, cases, shape, classes, with_masks=True)[0]
    names = {f"organ {number}": number for number in range(1, classes + 1)}
    channels: dict[str, Any] = {"channel_names": {"0": "CT"}, "labels": {"background": 0, **names}}
    raw = root / "raw" / "Dataset900_Speed"
    for place in (folder, raw):
        (place / "dataset.json").write_text(json.dumps(channels | {"numTraining": cases, "file_ending": ".nii.gz"}))
    (folder / "plans.json").write_text(json.dumps({"dataset_name": raw.name, "plans_name": "nnUNetPlans"}))
    for file in sorted((raw / "labelsTr").iterdir())[::WRONG_EACH] if cases > 1 else ():
        image = SimpleITK.ReadImage(str(file))
        wider = SimpleITK.GetImageFromArray(ndimage.grey_dilation(SimpleITK.GetArrayFromImage(image), (3, 3, 3)))
        wider.CopyInformation(image)
        SimpleITK.WriteImage(wider, str(file), useCompression=True)
    return folder


def cases(root: Path) -> dict[str, float]:
    """200 cases of 36 × 50 × 35 voxels and two classes, one result folder, the whole command in one process."""
    folder = make_results(root, CASES, (36, 50, 35), 2)
    return _timed(root, str(folder))


def before(root: Path) -> dict[str, float]:
    """200 CTs of 110 × 60 × 105 voxels and five classes before any training, the whole command in one process."""
    make_results(root, CASES, (110, 60, 105), 5)
    return _timed(root, "-d", "900")


def _timed(root: Path, *what: str) -> dict[str, float]:
    command = ["-m", "nnunetv2_dale.audit.cli", *what, "-o", str(root / "audit"), "-np", "1"]
    used = timed_command(command, root / "raw")
    found = [case for case in json.loads((root / "audit" / "audit.json").read_text())["cases"] if case["findings"]]
    return {
        "seconds": used["seconds"],
        "cpu_seconds": used["cpu_seconds"],
        "cases_with_findings": len(found),
        "page_MB": round((root / "audit" / "audit.html").stat().st_size / 1e6, 1),
    }


def large(root: Path) -> dict[str, float]:
    """One CT of 300 × 512 × 512 voxels with 14 classes on one core: measured, and its three maps written."""
    child = f"from benchmarks.audit_speed import *; make_results(Path({str(root)!r}), 1, LARGE, CLASSES)"
    subprocess.run([sys.executable, "-c", child], check=True, cwd=ROOT)
    child = f"from benchmarks.audit_speed import *; print(json.dumps(one_case(Path({str(root)!r}))))"
    done = subprocess.run([sys.executable, "-c", child], check=True, cwd=ROOT, stdout=subprocess.PIPE)
    return dict(json.loads(done.stdout))


def one_case(root: Path) -> dict[str, float]:
    """Measure the case in `root` in this process."""
    from nnunetv2_dale.audit.case_volumes import kept_case
    from nnunetv2_dale.audit.evidence import evidence_of
    from nnunetv2_dale.audit.maps import write_maps
    from nnunetv2_dale.audit.referees import audit_task

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    raw = root / "raw" / "Dataset900_Speed"
    task = audit_task([root / "results" / "A__nnUNetPlans__3d_fullres"], references=raw / "labelsTr")
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    wall, cpu = time.perf_counter(), time.process_time()
    kept = root / "kept.npz"
    evidence_of(task.cases[0], task, kept)
    measured = time.process_time() - cpu
    (root / "maps").mkdir()
    chances = {item.key: 1.0 for item in task.classes}
    volumes = kept_case(kept)
    write_maps(volumes, "case", task, chances, {item.key: {"wider"} for item in task.classes}, root / "maps")
    return {
        "seconds": round(time.perf_counter() - wall, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "cpu_seconds_of_measuring": round(measured, 1),
        "peak_GiB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "peak_GiB_before": round(idle, 2),
    }


if __name__ == "__main__":
    measure_parts(__doc__, {"cases": cases, "large": large, "before": before}, TARGETS)
