"""Cases that an older nnU-Net packed are unpacked once, before trainings start side by side (nnU-Net #2626)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from batchgenerators.utilities.file_and_folder_operations import write_pickle

from nnunetv2_dale.benchmark.inputs import Folders
from nnunetv2_dale.benchmark.splits import unpack_cases
from tests.benchmark.fixtures import DATASET, RUN
from tests.datasets import tiny_plans


def test_packed_cases_are_unpacked_and_unfinished_files_written_anew(tmp_path: Path) -> None:
    folders = Folders(DATASET, tmp_path / "preprocessed", tmp_path / "results")
    data = folders.preprocessed / DATASET / "nnUNetPlans_2d"
    data.mkdir(parents=True)
    (data.parent / "nnUNetPlans.json").write_text(json.dumps(tiny_plans(DATASET)))
    image, labels = np.ones((1, 2, 8, 8), np.float32), np.zeros((1, 2, 8, 8), np.int8)
    for case in ("a", "b"):
        np.savez_compressed(data / f"{case}.npz", data=image, seg=labels)
        write_pickle({}, str(data / f"{case}.pkl"))
    np.save(data / "a.npy", image)
    np.save(data / "a_seg.npy", labels)
    (data / "a.npy").write_bytes((data / "a.npy").read_bytes()[:150])  # of a training that was killed
    unpack_cases(folders, [RUN, replace(RUN, fold="1")], processes=1)
    for case in ("a", "b"):
        assert np.array_equal(np.load(data / f"{case}.npy"), image)
        assert np.array_equal(np.load(data / f"{case}_seg.npy"), labels)
