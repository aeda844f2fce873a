"""A file that is not whole is refused, in every format; a whole one never is."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
import tifffile
from PIL import Image

from nnunetv2_dale.nnunet_files.volume_reading import require_whole

VOXELS = np.random.default_rng(0).normal(100, 20, (6, 20, 24)).astype(np.float32)


def _itk(compressed: bool):
    def write(path: Path, voxels: np.ndarray) -> None:
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(voxels), str(path), useCompression=compressed)

    return write


def _nifti2(path: Path, voxels: np.ndarray) -> None:
    nibabel.save(nibabel.Nifti2Image(voxels, np.eye(4)), path)


def _big_endian(path: Path, voxels: np.ndarray) -> None:
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(np.float32)
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4), header), path)


def _ascii_nrrd(path: Path, voxels: np.ndarray) -> None:
    numbers = "\n".join(f"{value:.6g}" for value in voxels.ravel())
    path.write_text(f"NRRD0004\ntype: float\ndimension: 3\nsizes: 24 20 6\nencoding: ascii\n\n{numbers}\n")


def _gipl(path: Path, voxels: np.ndarray) -> None:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(voxels.astype(np.int16)), str(path))


def _npz(path: Path, voxels: np.ndarray) -> None:
    np.savez_compressed(path, image=voxels)


def _plain_npz(path: Path, voxels: np.ndarray) -> None:
    np.savez(path, image=voxels)


def _png(path: Path, voxels: np.ndarray) -> None:
    Image.fromarray(voxels[0].astype(np.uint8)).save(path)


def _big_tiff(path: Path, voxels: np.ndarray) -> None:
    tifffile.imwrite(path, voxels, photometric="minisblack", bigtiff=True, compression="zlib")


def _tiff(path: Path, voxels: np.ndarray) -> None:
    tifffile.imwrite(path, voxels, photometric="minisblack")


WRITERS = {
    "plain.nii": _itk(False),
    "second.nii": _nifti2,
    "big_endian.nii": _big_endian,
    "packed.nii.gz": _itk(True),
    "second.nii.gz": _nifti2,
    "plain.nrrd": _itk(False),
    "packed.nrrd": _itk(True),
    "numbers.nrrd": _ascii_nrrd,
    "plain.mha": _itk(False),
    "packed.mha": _itk(True),
    "a.gipl": _gipl,
    "packed.npz": _npz,
    "plain.npz": _plain_npz,
    "a.png": _png,
    "a.tif": _tiff,
    "big.tif": _big_tiff,
}
WITH_A_CHECKSUM = ("packed.nii.gz", "packed.nrrd", "packed.mha", "packed.npz", "plain.npz", "a.png")


@pytest.mark.parametrize("name", WRITERS)
def test_a_whole_file_is_accepted_and_each_part_of_it_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    WRITERS[name](path, VOXELS)
    content = path.read_bytes()
    require_whole(path)
    for share in (0.99, 0.8, 0.5, 0.1, 0.0):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(ValueError, match=" is damaged"):
            require_whole(path)


@pytest.mark.parametrize("name", WITH_A_CHECKSUM)
def test_one_flipped_bit_anywhere_in_the_data_is_found(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    WRITERS[name](path, VOXELS)
    content = bytearray(path.read_bytes())
    for place in np.random.default_rng(1).integers(len(content) // 3, 2 * len(content) // 3, 25).tolist():
        changed = content.copy()
        changed[place] ^= 4
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=" is damaged"):
            require_whole(path)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.int64, np.float64])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_every_voxel_type_is_counted_right(tmp_path: Path, dtype: type, ending: str) -> None:
    for compressed in (False, True):
        path = tmp_path / f"{compressed}{ending}"
        _itk(compressed)(path, VOXELS.astype(dtype))
        require_whole(path)


def test_vectors_and_four_axes_are_counted_with_all_their_values(tmp_path: Path) -> None:
    vector = SimpleITK.GetImageFromArray(np.stack([VOXELS, VOXELS], -1), isVector=True)
    for ending in (".nii.gz", ".nrrd", ".mha"):
        SimpleITK.WriteImage(vector, str(tmp_path / f"a{ending}"))
        require_whole(tmp_path / f"a{ending}")
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 4, 5, 6), np.int16), np.eye(4)), tmp_path / "four.nii")
    require_whole(tmp_path / "four.nii")


def test_voxels_in_a_file_of_their_own(tmp_path: Path) -> None:
    header = "NRRD0004\ntype: float\ndimension: 3\nsizes: 24 20 6\nencoding: raw\nendian: little\ndata file: a.raw\n"
    (tmp_path / "a.nrrd").write_text(header)
    with pytest.raises(ValueError, match="is damaged"):
        require_whole(tmp_path / "a.nrrd")
    (tmp_path / "a.raw").write_bytes(VOXELS.tobytes())
    require_whole(tmp_path / "a.nrrd")
    (tmp_path / "a.raw").write_bytes(VOXELS.tobytes()[:-4])
    with pytest.raises(ValueError, match="is damaged"):
        require_whole(tmp_path / "a.nrrd")


def test_a_plain_file_that_holds_more_than_its_header_says_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    _itk(False)(path, VOXELS)
    content = path.read_bytes()
    path.write_bytes(content + bytes(100))  # padding of a tape or a sector
    require_whole(path)
    path.write_bytes(content + bytes(1000))
    with pytest.raises(ValueError, match=f"holds {len(content) + 1000} bytes, but its header announces {len(content)}"):
        require_whole(path)


def test_sentences_are_true(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.nii\.gz there is no such file$"):
        require_whole(tmp_path / "a.nii.gz")
    (tmp_path / "folder.nii.gz").mkdir()
    with pytest.raises(ValueError, match=r"folder\.nii\.gz is a folder; a file is expected$"):
        require_whole(tmp_path / "folder.nii.gz")
    _itk(True)(tmp_path / "b.nii.gz", VOXELS)
    (tmp_path / "b.nii.gz").rename(tmp_path / "b.nii")
    with pytest.raises(ValueError, match=r"rename it to \.nii\.gz$"):
        require_whole(tmp_path / "b.nii")
    (tmp_path / "text.nii").write_text("no volume " * 50)
    with pytest.raises(ValueError, match=r"text\.nii is damaged or of another format: .*it is no NIfTI header"):
        require_whole(tmp_path / "text.nii")


def test_a_plain_volume_under_a_compressed_name_is_whole(tmp_path: Path) -> None:
    """ITK, and so nnU-Net, reads it."""
    _itk(False)(tmp_path / "a.nii", VOXELS)
    (tmp_path / "a.nii").rename(tmp_path / "a.nii.gz")
    require_whole(tmp_path / "a.nii.gz")


def test_several_gzip_members_are_one_file(tmp_path: Path) -> None:
    _itk(False)(tmp_path / "a.nii", VOXELS)
    content = (tmp_path / "a.nii").read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content[:5000]) + gzip.compress(content[5000:]))
    require_whole(tmp_path / "a.nii.gz")
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content[:5000]))
    with pytest.raises(ValueError, match="holds 5000 bytes"):
        require_whole(tmp_path / "a.nii.gz")


def test_a_zip_of_something_else_is_no_reason_to_fail(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("note.txt", "no array")
    require_whole(tmp_path / "a.npz")  # whole; that it holds no array is for the reader to say
