"""The paper's setting: its data and arms; Algorithm 1 written out a second time makes the updates of the first."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from nnunetv2_dale import AlternatingStep, DaleConfig, MaskedLoss
from nnunetv2_dale.dale import hypergradient
from nnunetv2_dale.masks.overlap import dice
from tests.dale.bilevel_problem import SHORT
from tests.dale.networks import blob_batch

pytest.importorskip("monai")

from benchmarks.accuracy.arms import STUDIED
from benchmarks.paper import paper_data, paper_figures, paper_study, paper_training
from benchmarks.paper.paper_arms import ARMS, RELEASED, scaled_patch
from benchmarks.paper.paper_augmentation import augmented
from benchmarks.paper.paper_data import NOISY_PART, LabelNoise, PaperData, split_nodules, split_polyps, with_noise
from benchmarks.paper.paper_heads import head_of
from benchmarks.paper.paper_networks import NETWORKS
from benchmarks.paper.paper_plan import TABLES, UNET, planned
from benchmarks.paper.paper_readings import Reading, ReadingStep
from benchmarks.paper.paper_run import PaperRun
from benchmarks.paper.paper_training import config_of, dice_of_images, prepare_arm, train

SIZE = 32
PRINTED = DaleConfig(patch_size=4, alignment_weight=0.05)


def batch(seed: int = 0) -> tuple[Tensor, Tensor]:
    images, labels = blob_batch(size=SIZE, batch=4, classes=2, channels=3, seed=seed)
    return images.double(), labels.long()


def of_phantoms(monkeypatch: pytest.MonkeyPatch, repeated: int = 1) -> PaperData:
    """What every part of the data is from here on: a batch, so many times."""
    images, labels = batch()
    part = PaperData(*(each.repeat(repeated, 1, 1, 1) for each in (images.float(), labels)))
    for module in (paper_training, paper_figures):
        monkeypatch.setattr(
            module, "read_data", lambda *_: (dict.fromkeys(paper_data.PARTS, part), {"noisy_images": 0})
        )
    return part


def trained(kind: str, config: DaleConfig, reading: Reading = Reading(), steps: int = 2) -> list[Tensor]:  # noqa: B008
    """The weights of a small U-Net after some iterations of AlternatingStep, or of its second writing."""
    network, head = NETWORKS[UNET].make(3, 2, SIZE, seed=1)
    network.double()
    optimizer = torch.optim.SGD(network.parameters(), 0.05)
    generator = torch.Generator().manual_seed(5)
    step: Any
    if kind == "package":
        step = AlternatingStep(network, network, optimizer, MaskedLoss(), 2, config, head=head, generator=generator)
    else:
        step = ReadingStep(network, optimizer, MaskedLoss(), 2, config, reading, head, generator)
    for number in range(steps):
        step(*batch(number))
    return [weight.detach() for weight in network.parameters()]


@pytest.mark.parametrize("settings", [{}, {"confidence_steps": 0}, {"alignment_weight": 0.0}, {"fuzzy_threshold": 0.4}])
@pytest.mark.parametrize("view", ["masked_input", "masked_loss"])
def test_the_second_writing_of_algorithm_1_makes_the_same_updates(settings: dict[str, float], view: str, monkeypatch):
    monkeypatch.setattr(hypergradient, "SHIFT_FLOAT32", SHORT)
    config = PRINTED.updated({**settings, "view": view})
    for first, second in zip(trained("package", config), trained("again", config), strict=True):
        assert_close(first, second, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    "reading",
    [
        *({"label": "other"}, {"label": "whole"}, {"fuzzy_weight": True}, {"confidence": "adam"}, {"clean": "fell"}),
        *({"clean": "all"}, {"alignment_gradient": False}, {"normalised": True}),
    ],
)
def test_every_reading_is_another_training(reading: dict[str, Any]):
    printed, other = (trained("again", PRINTED, each, steps=1) for each in (Reading(), Reading(**reading)))
    assert any(not torch.equal(first, second) for first, second in zip(printed, other, strict=True))


def test_without_gradient_the_alignment_changes_nothing():
    with_it, without = (
        trained("again", PRINTED.updated({"alignment_weight": alpha}), Reading(alignment_gradient=False), steps=1)
        for alpha in (5.0, 0.0)
    )
    for first, second in zip(with_it, without, strict=True):
        assert_close(first, second, rtol=0, atol=0)


def test_one_adam_step_on_omega_is_torchs():
    network, head = NETWORKS[UNET].make(3, 2, SIZE, seed=1)
    optimizer = torch.optim.SGD(network.parameters(), 0.05)
    step = ReadingStep(network, optimizer, MaskedLoss(), 2, PRINTED, RELEASED, head)
    gradient = torch.tensor([[[[3.0, -2e-8, 1e-9, 0.0]]]])
    omega = torch.ones_like(gradient).requires_grad_()
    adam = torch.optim.Adam([omega], 0.1)
    omega.grad = gradient
    adam.step()
    assert_close(step._step(torch.ones_like(gradient), gradient), omega.detach())
    assert_close(omega.detach().flatten(), torch.tensor([0.9, 1 + 0.1 * 2 / 3, 1 - 0.1 / 11, 1.0]))


def test_a_network_with_buffers_is_refused():
    network, head = NETWORKS["Attention U-Net"].make(3, 2, SIZE, seed=1)
    optimizer = torch.optim.SGD(network.parameters(), 0.05)
    with pytest.raises(ValueError, match="AttentionUnet has some"):
        ReadingStep(network, optimizer, MaskedLoss(), 2, PRINTED, Reading(), head)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_reach_what_ordinary_training_reaches(name: str):
    found = head_of(name)
    assert found["unreached"] == found["unreached_by_ordinary_training"]
    assert len(found["unreached"]) < found["tensors"] / 4
    assert found["features"][1:] == [64, 64]
    _, head = NETWORKS[name].make(3, 2, 64, seed=1)
    features = torch.randn(1, *found["features"])
    assert head(features).shape == (1, 2, 64, 64)


def test_label_and_image_move_together():
    labels = torch.zeros(40, 1, 32, 32, dtype=torch.int64)
    labels[:, :, 4:14, 6:20] = 1
    images, moved = augmented(labels.float(), labels, torch.Generator().manual_seed(0))
    assert (images - moved).abs().amax() <= 0.75 + 1e-5  # a pixel has at least a quarter of the bilinear weight
    rows = moved.flatten(1).float() @ torch.arange(32).repeat_interleave(32).float() / moved.flatten(1).sum(dim=1)
    assert {bool(row > 15.5) for row in rows} == {True, False}  # flipped, and not
    sizes = moved.flatten(1).sum(dim=1) / 140
    assert 0.5 < sizes.min() < 0.75  # 0.75² at least
    assert 1.25 < sizes.max() < 1.65  # 1.25² at most


def test_splits_are_of_the_stated_sizes_and_keep_patients_together(tmp_path: Path):
    names = [f"{number}.png" for number in range(998)]
    parts = split_polyps(names)
    assert [len(parts[part]) for part in ("train", "validation", "test")] == [798, 100, 100]
    assert sorted(name for own in parts.values() for name in own) == sorted(names)
    table = tmp_path / "cases.csv"
    table.write_text("case,patient\n" + "".join(f"c{n},p{n // 3}\n" for n in range(300)))
    parts = split_nodules(table)
    patients = [{int(name[1:-4]) // 3 for name in own} for own in parts.values()]
    assert [len(own) for own in patients] == [70, 15, 15]
    assert len(set.union(*patients)) == 100


def test_noise_is_of_the_wanted_dice_and_leaves_the_test_part_clean():
    discs = np.hypot(*np.mgrid[-20:21, -20:21])[None] < np.linspace(6, 15, 40)[:, None, None]
    clean = {part: discs.copy() for part in ("train", "validation", "test")}
    names = {part: [f"{part}{number}" for number in range(40)] for part in clean}
    noisy, facts = with_noise(clean, names, LabelNoise("boundary", dice=0.8))
    assert np.array_equal(noisy["test"], clean["test"])
    changed = [
        dice(before, after)
        for part in ("train", "validation")
        for before, after in zip(clean[part], noisy[part], strict=True)
        if not np.array_equal(before, after)
    ]
    assert np.mean(changed) == pytest.approx(0.8, abs=0.01)
    assert facts["noisy_dice"] == pytest.approx(np.mean(changed), abs=1e-4)
    assert len(changed) / 80 == pytest.approx(NOISY_PART, abs=0.15)
    assert noisy["train"].sum() > clean["train"].sum()  # grown


def test_a_training_is_judged_after_every_epoch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    of_phantoms(monkeypatch)
    arms = ("ordinary", "ordinary, two updates per batch", "DALE as printed")
    results = [train(PaperRun("polyps", "clean", UNET, arm, 2), tmp_path) for arm in arms]
    for result, updates in zip(results, (1, 2, 2), strict=True):
        assert [point["updates"] for point in result["curve"]] == [updates, 2 * updates]
        assert result["curve"][-1]["test"] == pytest.approx(np.mean(result["test_of_last_epoch"]), abs=1e-4)


def test_a_training_goes_on_from_a_shorter_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    part = of_phantoms(monkeypatch)
    short, long = (PaperRun("polyps", "clean", UNET, "DALE as printed", epochs) for epochs in (1, 3))
    assert short.file_name == long.file_name
    kept = tmp_path / "kept" / "checkpoint.pt"
    first = train(short, tmp_path, kept)["curve"]
    found, at_once = train(long, tmp_path, kept), train(long, tmp_path)
    assert found["curve"][:1] == first
    assert [point["test"] for point in found["curve"]] == [point["test"] for point in at_once["curve"]]
    assert found["test_of_last_epoch"] == at_once["test_of_last_epoch"]
    network, _ = NETWORKS[UNET].make(3, 2, SIZE, seed=9)
    network.load_state_dict(torch.load(kept)["network"])
    assert dice_of_images(network, part).mean() == pytest.approx(found["curve"][-1]["test"], abs=1e-4)


def test_two_updates_per_batch_are_two():
    images, labels = batch()
    weights = []
    for arm, repeats in (("ordinary", 2), ("ordinary, two updates per batch", 1)):
        network, head = NETWORKS[UNET].make(3, 2, SIZE, seed=1)
        prepared = prepare_arm(ARMS[arm], network, head, SIZE, seed=1)
        for _ in range(repeats):
            prepared.step(images.float(), labels)
        weights.append(torch.cat([weight.detach().flatten() for weight in network.parameters()]))
    assert_close(weights[0], weights[1], rtol=0, atol=0)


def test_the_trainers_settings_run_in_their_phases(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    of_phantoms(monkeypatch, repeated=2)
    arm = ARMS["settings of nnUNetTrainerDALE"]
    assert config_of(arm, SIZE) == replace(STUDIED, patch_size=2)
    masked = config_of(ARMS["settings of nnUNetTrainerDALE, masked loss"], SIZE)
    assert masked == replace(config_of(arm, SIZE), view="masked_loss")
    monkeypatch.setattr(paper_training, "STUDIED", DaleConfig(phase_in=0.3, every=2))
    run = PaperRun("polyps", "clean", UNET, "settings of nnUNetTrainerDALE", 10)
    curve = train(run, tmp_path, tmp_path / "checkpoint.pt")["curve"]
    # one batch an epoch: 3 whole ones, then Algorithm 1 (2 updates) in every second
    assert np.diff([0, *(point["updates"] for point in curve)]).tolist() == [1, 1, 1, 2, 1, 2, 1, 2, 1, 2]
    assert not (tmp_path / "checkpoint.pt").exists()


def test_the_trainers_moving_averages_start_anew_with_every_epoch(monkeypatch: pytest.MonkeyPatch):
    forgotten = []
    monkeypatch.setattr(AlternatingStep, "forget", lambda self: forgotten.append(self))
    images, labels = batch()
    network, head = NETWORKS[UNET].make(3, 2, SIZE, seed=1)
    data, order = PaperData(images.float(), labels), torch.Generator().manual_seed(0)
    for arm, times in (("DALE as printed", 0), ("settings of nnUNetTrainerDALE", 2)):
        prepared = prepare_arm(ARMS[arm], network, head, SIZE, seed=1, batches=10)
        for _ in range(2):
            paper_training._train_epoch(network, prepared, data, order)
        assert len(forgotten) == times


def test_a_shorter_training_does_not_overwrite_a_longer_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    of_phantoms(monkeypatch)
    run = PaperRun("polyps", "clean", UNET, "ordinary", 2)
    train(run, tmp_path, tmp_path / "checkpoint.pt")
    with pytest.raises(SystemExit, match="holds 2 epochs, more than the 1 asked for; give --epochs as before"):
        train(replace(run, epochs=1), tmp_path, tmp_path / "checkpoint.pt")
    assert len(torch.load(tmp_path / "checkpoint.pt")["curve"]) == 2


def test_patches_are_scaled_with_the_image():
    assert [scaled_patch(size) for size in (224, 128, 64, 8)] == [16, 9, 5, 1]


def test_every_planned_training_has_its_arm_and_is_planned_once():
    runs = [run for table in TABLES for run in planned(table)]
    assert len({run.file_name for run in runs}) == len(runs)
    assert all(run.arm in ARMS and run.network in NETWORKS for run in runs)
    with pytest.raises(SystemExit, match="expected a table of polyps, noise"):
        planned("polyp")


def test_figures_are_drawn_from_checkpoints_and_curves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    of_phantoms(monkeypatch)
    results = []
    for arm in ("ordinary", paper_figures.BEFORE, paper_figures.PRINTED):
        run = PaperRun("polyps", "clean", UNET, arm, 2)
        results.append(train(run, tmp_path, tmp_path / "checkpoints" / f"{run.file_name}.pt"))
    found = paper_figures.draw_figures(tmp_path, tmp_path / "checkpoints", results, tmp_path / "figures")
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == [
        "convergence.png",
        "examples.png",
        "features.png",
    ]
    assert list(found) == ["ordinary, 2 epochs", "printed, no L_W, 2 epochs", "DALE as printed, 2 epochs"]
    assert all(-1 <= each["silhouette_of_classes_fuzzy"] <= 1 for each in found.values())
    lines = paper_figures.convergence(results).axes[1].lines
    assert [line.get_xdata()[-1] for line in lines] == [result["curve"][-1]["seconds"] for result in results]
    (tmp_path / "checkpoints" / f"{run.file_name}.pt").unlink()
    with pytest.raises(FileNotFoundError, match="run the table polyps first"):
        paper_figures.draw_figures(tmp_path, tmp_path / "checkpoints", results, tmp_path / "figures")


def test_only_the_arms_one_asks_for_are_trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    trained = []

    def note(run: PaperRun, *_: Path) -> dict[str, Any]:
        trained.append((run.arm, run.epochs))
        return {"run": vars(run), "curve": [{}]}

    monkeypatch.setattr(paper_training, "train", note)
    monkeypatch.setattr(paper_study, "RESULTS", tmp_path)
    asked = ["--arms", "ordinary", "printed, no omega", "--epochs", "2", "--source", ".", "--workspace", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["paper_study.py", "run", "polyps", *asked])
    paper_study.main()
    assert trained == [("ordinary", 8), ("printed, no omega", 2)]
    stored = json.loads((tmp_path / "polyps.jsonl").read_text().splitlines()[1])
    assert stored["command"].endswith("run polyps --epochs 2 --arms ordinary 'printed, no omega'")


def test_a_stored_training_holds_the_shorter_ones(tmp_path: Path):
    file = tmp_path / "polyps.jsonl"
    run = PaperRun("polyps", "clean", UNET, "ordinary", 4)
    assert not paper_study._done(run, file)
    file.write_text(json.dumps({"run": vars(run)}))
    assert [paper_study._done(replace(run, epochs=epochs), file) for epochs in (3, 4, 5)] == [True, True, False]
    assert not paper_study._done(replace(run, seed=2), file)
