"""Tiny copies of public datasets: exactly their folders, names and file formats, with made-up content."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.datasets import write_volume

Array = NDArray[np.generic]
SIZE = (40, 48)
BTCV_NUMBERS = [*range(1, 11), *range(21, 41)]
SYNAPSE_TEST = ["0001", "0002", "0003", "0004", "0008", "0022", "0025", "0029", "0032", "0035", "0036", "0038"]


def disc(seed: int, shape: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """A filled circle of 1 at a random place, 0 elsewhere."""
    random = np.random.default_rng(seed)
    row, column = (random.uniform(0.35, 0.65) * length for length in shape)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return ((rows - row) ** 2 + (columns - column) ** 2 <= (min(shape) / 5) ** 2).astype(np.uint8)


def colour_picture(seed: int, shape: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """Noise with the disc of the same seed in another colour."""
    noise = np.random.default_rng(seed).integers(0, 60, (*shape, 3))
    return (noise + 120 * disc(seed, shape)[..., None] * np.array([1.0, 0.6, 0.4])).astype(np.uint8)


def save(path: Path, pixels: Array, **options: object) -> Path:
    """Save a picture in the format its name asks for, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def make_btcv(root: Path, shape: tuple[int, int, int] = (6, 16, 16), testing: int = 2) -> Path:
    """BTCV's RawData: 30 labelled volumes with all 13 organs, and unlabelled ones."""
    for number in BTCV_NUMBERS:
        random = np.random.default_rng(number)
        label = np.zeros(shape, np.uint8)
        organs = label.reshape(-1)
        organs[: 14 * (organs.size // 14)] = np.repeat(np.arange(14, dtype=np.uint8), organs.size // 14)
        image = (random.normal(0, 30, shape) + 20 * label - 100).astype(np.int16)
        write_volume(image, root / f"Training/img/img{number:04d}.nii.gz")
        write_volume(label, root / f"Training/label/label{number:04d}.nii.gz")
    for number in range(61, 61 + testing):
        write_volume(np.zeros(shape, np.int16), root / f"Testing/img/img{number:04d}.nii.gz")
    return root


def make_transunet(root: Path, shape: tuple[int, int, int] = (5, 12, 12)) -> Path:
    """TransUNet's arrays: slices of 18 training cases, volumes of 12 test cases, floats in [0, 1], labels 0 to 8."""
    import h5py

    (root / "train_npz").mkdir(parents=True)
    (root / "test_vol_h5").mkdir()
    for number in BTCV_NUMBERS:
        random = np.random.default_rng(number)
        image = random.uniform(0, 1, shape).astype(np.float32)
        label = random.integers(0, 9, shape).astype(np.float32)
        if f"{number:04d}" in SYNAPSE_TEST:
            with h5py.File(root / f"test_vol_h5/case{number:04d}.npy.h5", "w") as file:
                file["image"], file["label"] = image, label
        else:
            for z in range(shape[0]):
                np.savez(root / f"train_npz/case{number:04d}_slice{z:03d}.npz", image=image[z], label=label[z])
    return root


def make_mosmed_plus(root: Path, counts: tuple[int, int, int] = (6, 2, 2)) -> Path:
    """MosMedData+ as LViT hands it out: grey PNGs saved as RGB, masks 0/255."""
    seed = 0
    for folder, count in zip(("Train_Folder", "Val_Folder", "Test_Folder"), counts, strict=True):
        for _ in range(count):
            seed += 1
            grey = np.random.default_rng(seed).integers(0, 60, SIZE).astype(np.uint8) + 120 * disc(seed)
            save(root / folder / f"img/Morozov_study_{seed:04d}.png", np.repeat(grey[..., None], 3, axis=2))
            save(root / folder / f"labelcol/Morozov_study_{seed:04d}.png", 255 * disc(seed))
    return root


def make_isic2016(root: Path, train: int = 6, test: int = 2, ph2: int = 2) -> Path:
    """ISIC-2016 (JPEG of varying size, PNG masks 0/255) and PH2 (BMP, masks of one bit)."""
    for seed in range(train + test):
        part = "ISBI2016_ISIC_Part1_" + ("Training" if seed < train else "Test")
        shape = (SIZE[0] + 4 * (seed % 2), SIZE[1])
        save(root / f"{part}_Data/ISIC_{seed:07d}.jpg", colour_picture(seed, shape), quality=90)
        save(root / f"{part}_GroundTruth/ISIC_{seed:07d}_Segmentation.png", 255 * disc(seed, shape))
    for seed in range(100, 100 + ph2):
        case = root / f"PH2Dataset/PH2 Dataset images/IMD{seed}"
        save(case / f"IMD{seed}_Dermoscopic_Image/IMD{seed}.bmp", colour_picture(seed))
        save(case / f"IMD{seed}_lesion/IMD{seed}_lesion.bmp", disc(seed).astype(bool))
    return root


def make_polyp(root: Path, train: int = 6, test: int = 1) -> Path:
    """PraNet's trees: every third mask is grey after JPEG, as Kvasir's are."""
    folders = {"TrainDataset": train}
    for name in ("CVC-300", "CVC-ClinicDB", "CVC-ColonDB", "ETIS-LaribPolypDB", "Kvasir"):
        folders[f"TestDataset/{name}"] = test
    for offset, (folder, count) in enumerate(folders.items()):
        for number in range(count):
            seed = 100 * offset + number
            save(root / folder / f"images/{number}.png", colour_picture(seed))
            mask = 255 * disc(seed)
            if number % 3 == 0:
                residue = np.random.default_rng(seed).integers(0, 8, SIZE)
                mask = np.where(mask > 0, 255 - residue, residue).astype(np.uint8)
            save(root / folder / f"masks/{number}.png", mask)
    return root


def make_left_atrium(root: Path, train: int = 4, test: int = 2) -> Path:
    """UA-MT's layout: one folder per case, axes x, y, z, and the two lists."""
    import h5py

    names = [f"{seed:020X}" for seed in range(train + test)]
    for seed, name in enumerate(names):
        folder = root / "2018LA_Seg_Training Set" / name
        folder.mkdir(parents=True)
        label = np.zeros((12, 10, 8), np.uint8)
        label[3:9, 3:7, 2 + seed % 2 : 6] = 1
        with h5py.File(folder / "mri_norm2.h5", "w") as file:
            image = np.random.default_rng(seed).normal(size=label.shape).astype(np.float32) + label
            file.create_dataset("image", data=image, compression="gzip")
            file.create_dataset("label", data=label, compression="gzip")
    (root / "2018LA_Seg_Training Set" / names[0] / "desktop.ini").write_text("")
    (root / "train.list").write_text("\n".join(names[:train]) + "\n")
    (root / "test.list").write_text("\n".join(names[train:]) + "\n")
    return root


def make_lidc(root: Path, patients: int = 6, nodules: int = 2) -> Path:
    """The four-reader nodules: 0/1 masks of the same names in six folders, and the patients."""
    rows = []
    for patient in range(patients):
        for nodule in range(nodules):
            name, seed = f"L{patient:04d}_n{nodule}_s1", 10 * patient + nodule
            rows.append({"case": name, "patient": f"LIDC-IDRI-{patient:04d}", "area_ge2": "1"})
            grey = np.random.default_rng(seed).integers(0, 60, SIZE).astype(np.uint8) + 120 * disc(seed)
            save(root / f"images/{name}.png", grey)
            for reader in range(4):
                save(root / f"rater{reader}/{name}.png", np.roll(disc(seed), reader, axis=1))
            save(root / f"consensus/{name}.png", disc(seed))
            save(root / f"votes/{name}.png", 255 * disc(seed))
    with (root / "cases.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return root
