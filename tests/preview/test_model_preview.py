"""`--model`: features and ω of a trained network, in 2D and 3D, against loops and hand-made samples; and refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from skimage import io
from torch import nn

from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dale.masked_loss import MaskedLoss
from nnunetv2_dale.preview.cli import main
from nnunetv2_dale.preview.model_case import load_model
from nnunetv2_dale.preview.network_look import look
from nnunetv2_dale.preview.region_features import RegionFeatures, embedded, fitting_perplexity, region_features
from tests.dale.networks import blob_batch, small_unet
from tests.datasets import NnunetFolders, write_raw_dataset
from tests.export.fixtures import LABELS, REGIONS, make_model


@pytest.fixture
def raw(nnunet_folders: NnunetFolders) -> Path:
    """`nnUNet_raw` with a volume of two blobs, one without label, and one without foreground; its parent."""
    rng = np.random.default_rng(0)
    label = np.zeros((8, 40, 44), np.uint8)
    label[2:6, 10:22, 12:30] = 1
    label[3:5, 14:18, 16:22] = 2
    image = rng.normal(110, 30, label.shape).astype(np.float32) + 80 * label
    labels = {"blobs": label, "bare": None, "empty": label * 0}
    folder = nnunet_folders.raw / "Dataset997_Exported"
    write_raw_dataset(
        folder, labels, {name: [image] for name in labels}, {"spacing_zyx": (4.0, 2.0, 2.0)}, labels=LABELS
    )
    return nnunet_folders.root


@pytest.mark.parametrize(("configuration", "labels"), [("2d", LABELS), ("3d_fullres", REGIONS)])
def test_two_pictures_of_a_case_and_a_page(raw: Path, configuration: str, labels: dict[str, object]):
    model = make_model(raw / "results", "nnUNetTrainer", configuration, labels=labels)
    arguments = ["-d", "997", "--model", str(model), "-f", "0", "-o", str(raw / "out"), "--patch_size", "8"]
    arguments += ["--cases", "blobs"]
    assert main([*arguments, "--html"]) == 0
    found = sorted(path.name for path in (raw / "out").iterdir())
    assert found == ["blobs_confidence.png", "blobs_features.png", "index.html"]
    assert io.imread(raw / "out" / "blobs_confidence.png").shape[1] > 1000
    page = (raw / "out" / "index.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    assert "perplexity 30" in page
    assert "it falls in" in page
    assert "does not find wrong labels reliably" in page
    assert main(arguments) == 2  # nothing is replaced


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "MODEL", "-c", "2d"], "leave out -c"),
        (["--model", "MODEL", "--patch_size", "4", "8"], "give one --patch_size, got 4 8"),
        (["--model", "MODEL", "--cases", "bare"], "bare has no label"),
        (["--model", "MODEL", "--cases", "empty"], "empty has no foreground"),
        (["--model", "MODEL", "--cases", "blobs", "--channel", "1"], "channel 1 does not exist"),
        (["--model", "MODEL", "-f", "3"], "no checkpoint_final.pth for fold 3"),
        (["--model", "nowhere"], "there is no such folder"),
        (["-f", "0"], "give the model's folder with --model"),
    ],
)
def test_refusals(raw: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    model = make_model(raw / "results", "nnUNetTrainer")
    given = [str(model) if word == "MODEL" else word for word in arguments]
    assert main(["-d", "997", "-o", str(raw / "out"), *given]) == 2
    assert message in capsys.readouterr().err
    assert not (raw / "out").exists()


def test_a_model_with_another_network_is_refused_as_something_to_look_at(raw: Path, monkeypatch, capsys):
    """As DK-UXNet's: the sentence is about the preview, not about a training."""
    folder = make_model(raw / "results", "nnUNetTrainer")
    network = nn.Sequential(nn.Conv2d(1, 3, 1))

    def build(plans_manager, configuration_manager, num_input_channels, num_output_channels, enable_deep_supervision):
        return network

    monkeypatch.setattr(nnUNetTrainer, "build_network_architecture", staticmethod(build))
    path = folder / "fold_0" / "checkpoint_final.pth"
    torch.save({**torch.load(path, weights_only=False), "network_weights": network.state_dict()}, path)
    assert main(["-d", "997", "--model", str(folder), "-o", str(raw / "out")]) == 2
    said = capsys.readouterr().err
    assert "Sequential, the network of nnUNetTrainer, has no decoder.seg_layers" in said
    assert "alignment" not in said
    assert not (raw / "out").exists()


def test_the_weights_are_those_of_the_checkpoint(raw: Path):
    folder = make_model(raw / "results", "nnUNetTrainer")
    stored = torch.load(folder / "fold_0" / "checkpoint_final.pth", weights_only=False)["network_weights"]
    model = load_model(folder, None, "checkpoint_final.pth")
    assert all(torch.equal(weight, stored[name]) for name, weight in model.network.state_dict().items())


def test_regions_and_ignored_voxels_become_targets(raw: Path):
    labels = {**REGIONS, "ignore": 3}
    model = load_model(make_model(raw / "results", "nnUNetTrainer", labels=labels), None, "checkpoint_final.pth")
    target = model.target(torch.tensor([0, 1, 2, 3]).view(1, 1, 4))
    assert target.tolist() == [[[0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]]]
    assert model.loss() == MaskedLoss(regions=True, ignore_channel=True, batch_dice=True)


def test_looking_leaves_the_weights_and_finds_what_enters_the_head():
    torch.manual_seed(0)
    network = small_unet(deep_supervision=False)
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    images, labels = blob_batch()
    seen = look(network, images, labels, MaskedLoss(), 3, DaleConfig(patch_size=8))
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())
    torch.testing.assert_close(network.decoder.seg_layers[-1](seen.features), seen.logits)
    assert (seen.omega - 1).abs().max() == pytest.approx(0.1, abs=1e-6)  # as far as the step goes
    assert not any(weight.grad is not None for weight in network.parameters())


def test_a_head_on_another_grid_is_refused():
    network = small_unet(deep_supervision=False)
    images, labels = blob_batch()
    with pytest.raises(ValueError, match=r"on the grid of the labels, \(32, 32\), but .* have \(16, 16\)"):
        look(network, images, labels, MaskedLoss(), 3, DaleConfig(patch_size=8), network.encoder.stages[2])


def test_the_sample_takes_voxels_of_each_class_and_region_and_their_distance_by_hand():
    """Class 1 is moved by 3 in its fuzzy half; both halves have variance 4/3 · … of {−1, 1}: tr Σ = n / (n − 1)."""
    features = torch.tensor([-1.0, 1.0]).repeat(32).view(1, 1, 8, 8).clone()
    m = torch.zeros(1, 1, 8, 8)
    m[..., 4:] = 1
    labels = torch.zeros(1, 1, 8, 8, dtype=torch.int16)
    labels[:, :, 4:] = 1
    features[:, :, 4:, 4:] += 3
    valid = torch.ones_like(m, dtype=torch.bool)
    valid[0, 0, 0, 0] = False
    found = region_features(features, labels, m, 0.9, valid, per_group=10)
    assert len(found.features) == 40
    for value in (0, 1):
        for fuzzy in (False, True):
            group = found.features[(found.classes == value) & (found.fuzzy == fuzzy), 0]
            assert len(group) == 10
            assert set(np.unique(group)) <= {-1 + 3 * value * fuzzy, 1 + 3 * value * fuzzy}
    assert found.wasserstein[1] == pytest.approx(3 / np.sqrt(16 / 15))
    # class 0 lacks the voxel left out, so its halves differ a little
    assert 0 < found.wasserstein[0] < 0.1


def test_silhouettes_by_hand():
    """Two points of each group at distance 1, the groups 9 or 10 apart: s = 1 − 1 / b."""
    features = np.array([[0.0], [1.0], [10.0], [11.0]], np.float32)
    classes, nothing = np.array([0, 0, 1, 1]), np.zeros(4, bool)
    sample = RegionFeatures(features, classes, nothing, {})
    assert sample.silhouette_of_classes(False) == pytest.approx(1 - np.mean([1 / 10.5, 1 / 9.5]))
    assert np.isnan(sample.silhouette_of_classes(True))
    regions = RegionFeatures(features, np.zeros(4, int), classes == 1, {})
    assert regions.silhouette_of_regions() == {0: pytest.approx(1 - np.mean([1 / 10.5, 1 / 9.5]))}


def test_tsne_keeps_far_groups_apart_and_repeats_itself():
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.normal(0, 1, (40, 5)), rng.normal(30, 1, (40, 5))]).astype(np.float32)
    sample = RegionFeatures(features, np.repeat([0, 1], 40), np.zeros(80, bool), {})
    points = embedded(sample)
    centres = points[:40].mean(axis=0), points[40:].mean(axis=0)
    assert np.linalg.norm(centres[0] - centres[1]) > 2 * points[:40].std()
    assert np.array_equal(points, embedded(sample))
    assert fitting_perplexity(80) == pytest.approx(79 / 3)
    assert fitting_perplexity(1000) == 30
    with pytest.raises(ValueError, match="at least 4 voxels, got 3"):
        embedded(RegionFeatures(features[:3], np.zeros(3, int), np.zeros(3, bool), {}))


def test_a_network_without_nnunets_head_is_named():
    images, labels = blob_batch(classes=2)
    with pytest.raises(ValueError, match="modules that could be meant: 0"):
        look(nn.Sequential(nn.Conv2d(1, 2, 1)), images, labels, MaskedLoss(), 2, DaleConfig())
