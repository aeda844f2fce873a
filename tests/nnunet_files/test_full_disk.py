"""A disk that fills up while a dataset is written: one sentence, and nothing under a final name.

The limit of a file's size stands for the full disk; ITK writes a cut NIfTI file there and reports no error.
"""

from __future__ import annotations

import json
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from nnunetv2_dale.preprocessing import main as convert

from nnunetv2_dale.convert.volume_files import write_volume
from nnunetv2_dale.label_noise.cli import main as corrupt_labels
from nnunetv2_dale.nnunet_files.split_patients import write_split_patients


@contextmanager
def _full_after(size: int) -> Iterator[None]:
    """No file can grow beyond `size` bytes."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


NOISE = np.random.default_rng(0).integers(0, 250, (12, 40, 40)).astype(np.uint8)


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_a_volume_that_is_not_written_whole_is_an_error(tmp_path: Path, ending: str) -> None:
    volume = SimpleITK.GetImageFromArray(NOISE)
    write_volume(volume, tmp_path / f"whole{ending}")
    with _full_after(4096), pytest.raises(OSError, match="could not be written"):
        write_volume(volume, tmp_path / f"cut{ending}")


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`nnUNet_raw` with a dataset whose labels are larger than its images."""
    for name in ("raw", "preprocessed", "results"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
    folder = tmp_path / "raw/Dataset004_Full"
    for name, voxels in (("imagesTr/a_0000", NOISE * 0), ("labelsTr/a", NOISE % 2)):
        (folder / name).parent.mkdir(parents=True)
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(voxels), str(folder / f"{name}.nii.gz"), True)
    description = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "a": 1}, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(description))
    return tmp_path / "raw"


def test_a_noisy_copy_leaves_nothing(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = (raw / "Dataset004_Full/labelsTr/a.nii.gz").stat().st_size
    noise = ["-d", "4", "-o", "904", "--kind", "shift", "--amount", "0", "-np", "1", "--link", "symbolic"]
    for limit in (100, size - 100):
        with _full_after(limit):
            assert corrupt_labels(noise) == 2
        assert "stopped, and nothing was written: " in capsys.readouterr().err
        assert [path.name for path in raw.iterdir()] == ["Dataset004_Full"]


def test_a_conversion_leaves_nothing(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "source"
    for name in ("imagesTr/a", "labelsTr/a"):
        (source / name).parent.mkdir(parents=True)
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(NOISE % 2), str(source / f"{name}.mha"))
    with _full_after(1024):
        flags = ["--classes", "a", "--channels", "MR", "-np", "1"]
        assert convert(["nifti_pairs", "-i", str(source), "-d", "5", *flags]) == 2
    assert "stopped, and nothing was written" in capsys.readouterr().err
    assert [path.name for path in raw.iterdir()] == ["Dataset004_Full"]


def test_a_table_of_patients_leaves_nothing(tmp_path: Path) -> None:
    with _full_after(10), pytest.raises(OSError, match="File too large"):
        write_split_patients(tmp_path, {f"case {number}": "patient" for number in range(100)})
    assert list(tmp_path.iterdir()) == []
