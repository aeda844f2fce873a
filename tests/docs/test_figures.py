"""The figures that the README and the pages of evidence say in words are those of the stored rows."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from benchmarks.accuracy.study_chance import paired
from benchmarks.accuracy.study_tables import case_values, read
from benchmarks.paper import paper_tables
from benchmarks.paper.paper_plan import UNET
from tests.conftest import REPOSITORY

RESULTS = REPOSITORY / "benchmarks/results"

Trainings = dict[tuple[int, int], float]
SIX = [(labels, arm) for labels in ("dilated", "eroded", "clean") for arm in ("DALE", "CaseTrust")]
THREE = [("dilated", "DALE, equal time"), ("clean", "DALE, equal time")]


def page(name: str) -> str:
    """Without marks of weight, on one line."""
    return " ".join((REPOSITORY / name).read_text(encoding="utf-8").replace("**", "").split())


def row_of(trainer: str) -> str:
    lines = (REPOSITORY / "README.md").read_text(encoding="utf-8").replace("**", "").splitlines()
    (found,) = (line for line in lines if line.startswith("|") and f"`{trainer}`" in line.split("|")[2])
    return found


def trainings(table: str, labels: str, arm: str, **run: object) -> Trainings:
    """(fold, seed) → mean Dice in points."""
    return {
        (each["run"]["fold"], each["run"]["seed"]): 100 * float(case_values([each], "dice").mean())
        for each in read(RESULTS / "accuracy", table)
        if run.items() | {"labels": labels, "arm": arm}.items() <= each["run"].items()
    }


def differences(table: str, labels: str, arm: str, **run: object) -> NDArray[np.float64]:
    found = paired(trainings(table, labels, "plain", **run), trainings(table, labels, arm, **run))
    assert len(found)
    return found


def signed(value: float) -> str:
    text = f"{value:+.1f}".replace("-", "−")
    return text[1:] if text[1:] == "0.0" else text


def between(low: float, high: float) -> str:
    if low > 0:
        return f"{low:.1f} to {high:.1f}"
    return f"{signed(low)} to {signed(high)}"


def over_trainings(found: NDArray[np.float64]) -> str:
    """The 95 % interval."""
    return "(" + between(*stats.ttest_1samp(found, 0).confidence_interval()) + ")"


@pytest.mark.parametrize(("labels", "arm"), SIX + THREE)
def test_differences_and_their_intervals_are_over_trainings(labels: str, arm: str) -> None:
    found = differences("dale", labels, arm)
    assert len(found) == (3 if arm.endswith("time") else 6)
    interval = over_trainings(found)
    row = row_of("nnUNetTrainerDALE" if arm.startswith("DALE") else "nnUNetTrainerCaseTrust")
    assert f"{labels} {signed(found.mean())} {interval}" in row
    assert interval.strip("()") in page("docs/evidence.md")
    if arm == "CaseTrust":
        assert f"{signed(found.mean())} {interval}" in page("docs/case_trust.md")


def test_what_the_wrong_labels_cost() -> None:
    clean = np.mean(list(trainings("dale", "clean", "plain").values()))
    cost = {each: clean - np.mean(list(trainings("dale", each, "plain").values())) for each in ("dilated", "eroded")}
    row, words = row_of("nnUNetTrainerCaseTrust"), page("docs/case_trust.md")
    beyond = differences("dale", "dilated", "CaseTrust").mean() - cost["dilated"]
    assert f"all of the {cost['dilated']:.1f} that the wrong labels cost, the {beyond:.1f} beyond" in row
    assert f"of {cost['eroded']:.1f};" in row
    assert f"cost plain nnU-Net {cost['dilated']:.1f} points" in words
    assert f"eroded by one cost {cost['eroded']:.1f}:" in words


@pytest.mark.parametrize(("table", "arm", "budget"), [("dale_readers", "DALE", 2000), ("readers", "CaseTrust", 4000)])
def test_real_readers(table: str, arm: str, budget: int) -> None:
    found = differences(table, "random_reader", arm, budget=budget)
    assert len(found) == 3
    assert f"(single trainings {between(found.min(), found.max())})" in row_of(f"nnUNetTrainer{arm}")


@pytest.mark.parametrize("arm", ["DALE", "CaseTrust"])
def test_volumes(arm: str) -> None:
    dilated, clean = (signed(differences("dale_volumes", each, arm).item()) for each in ("dilated", "clean"))
    assert f"3D, one training each: dilated {dilated}, clean {clean}" in row_of(f"nnUNetTrainer{arm}")


def test_as_printed() -> None:
    in_time = trainings("dale_parts", "dilated", "DALE_asPrinted, equal time")[2, 0]
    in_epochs = trainings("dale_parts", "dilated", "DALE_asPrinted")[2, 0]
    plain = trainings("dale", "dilated", "plain")[2, 0]
    said = f"{in_time:.0f} points of Dice in equal time and {in_epochs:.0f} in equal epochs, plain nnU-Net {plain:.0f};"
    assert said in row_of("nnUNetTrainerDALE_asPrinted")


def test_clean_and_biased_labels() -> None:
    """Of the first study: three folds, three seeds."""
    row = row_of("nnUNetTrainer")
    for labels in ("clean", "biased"):
        runs = [
            {
                place: dice
                for table in ("confirm", "seeds")
                for place, dice in trainings(table, labels, arm, budget=4000).items()
            }
            for arm in ("plain", "CaseTrust")
        ]
        found = paired(*runs)
        assert len(found) == 9
        assert f"{signed(found.mean())} {over_trainings(found)} on {labels}" in row


def test_generalised_cross_entropy() -> None:
    with_more_batches = trainings("dale_parts", "dilated", "GCE")[2, 0] - trainings("dale", "dilated", "plain")[2, 0]
    found = [*differences("confirm", "dilated", "GCE"), *differences("choose", "dilated", "GCE"), with_more_batches]
    assert len(found) == 4
    said = f"etween {signed(min(found))} and {signed(max(found))}"
    assert said in row_of("nnUNetTrainerGCE")
    assert said in page("docs/case_trust_evidence.md")


def test_longer_trainings_and_single_ones() -> None:
    words = page("docs/case_trust_evidence.md")
    short = trainings("confirm", "dilated", "CaseTrust")[2, 0] - trainings("confirm", "dilated", "plain")[2, 0]
    (long,) = differences("converged", "dilated", "CaseTrust")
    assert f"On fold 2 it is {short:.1f} points after 4000 batches and {long:.1f} after 16 000" in words
    consensus = trainings("readers", "consensus", "plain")[2, 0]
    reader = trainings("readers", "random_reader", "plain", budget=4000)[2, 0]
    assert f"is {consensus - reader:.1f} points: trained on the consensus, fold 2 has {consensus:.1f}" in words
    assert over_trainings(differences("confirm", "dilated", "CaseTrust"))[1:-1] in words

    to_the_end = ("no phase-out", "phase-in 0.5", "phase-in 0.5, patch 8")
    lost = [-differences("dale_choose", "clean", arm).item() for arm in to_the_end]
    for name in ("docs/evidence.md", "docs/paper_to_code.md"):
        assert f"lost {min(lost):.1f} to {max(lost):.1f} points" in page(name)
    printed, plain = (
        trainings(*run)[2, 0] for run in (("converged", "dilated", "printed"), ("confirm", "dilated", "plain"))
    )
    assert f"has {printed:.0f} after 3740 batches. Plain nnU-Net has {plain:.0f} there" in page("docs/evidence.md")


def test_what_chance_does() -> None:
    """Where nobody is doubted, CaseTrust is plain nnU-Net up to rounding."""
    flat, deep = (np.abs(differences(table, "clean", "CaseTrust")).max() for table in ("dale", "dale_volumes"))
    assert f"up to {flat:.1f} point apart here in 2D and {deep:.1f} in 3D" in page("docs/evidence.md")


def test_the_audit() -> None:
    stored = json.loads((RESULTS / "audit.json").read_text())["conditions"]
    row = row_of("nnUNetv2_dale_audit")

    def first(condition: str, ranking: str) -> int:
        found = stored[condition]
        return round(found["wrong"] * found["cases_ranked"][ranking]["precision_at_true_number"])

    assert f"(cleanlab {first('hippocampus mixed 5%', 'cleanlab softmin')})" in row
    assert first("hippocampus mixed 5%", "audit") == 10
    of_20 = [first("hippocampus mixed 20%", ranking) for ranking in ("audit", "cleanlab softmin", "1 - Dice")]
    assert "{} of the first 40 (cleanlab {}, the worst Dice {})".format(*of_20) in row
    named = [each["named"] for each in stored.values() if each["wrong"]]
    wrong, listed, right = (
        sum(each["wrong"] for each in stored.values()),
        sum(each["of"] for each in named),
        sum(each["right"] for each in named),
    )
    assert f"Of {wrong} wrong labels {listed} were listed, {right} with the right kind" in row


def test_memory() -> None:
    cases = json.loads((RESULTS / "step_cost.json").read_text())["cases"]

    def ratios(variant: str, which: str) -> list[float]:
        return [case["variants"][variant][f"{which}_memory_ratio"] for case in cases]

    step, peak, kept = (
        ratios("lookahead_shifted", "step"),
        ratios("lookahead_shifted", "peak"),
        ratios("lookahead", "step"),
    )
    said = f"needs {min(step):.2f} to {max(step):.2f} times the memory of plain nnU-Net's step, and {min(peak):.2f} to"
    assert f"{said} {max(peak):.2f} times the peak" in page("docs/performance.md")
    said = f"{min(step):.1f} to {max(step):.1f} times plain nnU-Net's memory of a step"
    assert f"{said}, where keeping it costs {min(kept):.1f} to {max(kept):.1f}" in page("docs/paper_to_code.md")


def on_clean_polyps(arm: str) -> list[dict[str, Any]]:
    """The trainings of an arm in the paper's setting, one for each seed, in their order."""
    place = {"data": "polyps", "labels": "clean", "network": UNET, "arm": arm}
    every = [each for runs in paper_tables.read(RESULTS / "paper").values() for each in runs]
    return sorted(
        (each for each in every if place.items() <= each["run"].items()), key=lambda each: each["run"]["seed"]
    )


def above_ordinary(arm: str, measure: str) -> list[float]:
    """Points of test Dice above ordinary training that is as long, one for each seed."""
    seeds, ordinary = paper_tables.of_one_length(on_clean_polyps(arm)), on_clean_polyps("ordinary")
    found = [paper_tables.difference(each, ordinary, paper_tables.LIKE[measure]) for each in seeds]
    return [each for each in found if each is not None]


def dice_of_seeds(arm: str) -> list[float]:
    seeds = paper_tables.of_one_length(on_clean_polyps(arm))
    return [100 * float(paper_tables.chosen(each["curve"])["test"]) for each in seeds]


@pytest.mark.parametrize(
    ("arm", "measure", "told"),
    [
        (
            "masked loss, alternation only",
            "same epochs",
            "*masked loss, alternation only* is at {mean} ({low} to {high})",
        ),
        ("DALE as printed", "same epochs", "with the masks on the image, is at {mean} ({low} to {high})"),
        ("ordinary, two updates per batch", "same epochs", "without masks, is at {mean} ({low} to {high})"),
        ("masked loss, alternation only", "same updates", "neither help nor cost: {mean} ({low} to {high})"),
        ("printed, alternation only", "same updates", "Masks on the image cost: {mean} ({low} to {high})"),
        ("DALE as printed", "same updates", "as printed is at {mean} there"),
        ("DALE as printed", "same time", "there and at {mean} in the same time"),
        ("masked loss, no L_W", "same epochs", "ω alone is at {mean},"),
        ("masked loss, no omega", "same epochs", "L_W alone at {mean},"),
        ("masked loss", "same epochs", "both together at {mean} ({low} to {high})"),
        (
            "settings of nnUNetTrainerDALE",
            "same epochs",
            "ordinary training: {mean} ({low} to {high}) in as many epochs",
        ),
        ("DALE as printed", "same epochs", "As printed: {mean} with both"),
        ("printed, no omega", "same epochs", "with both, {mean} without ω"),
        ("printed, no L_W", "same epochs", "without ω, {mean} without L_W"),
        ("printed, alternation only", "same epochs", "without L_W, {mean} without both"),
        ("settings of nnUNetTrainerDALE", "same updates", "{mean} ({low} to {high}) in as many updates"),
        ("settings of nnUNetTrainerDALE", "same time", "{mean} ({low} to {high}) in the same time"),
    ],
)
def test_the_papers_own_setting(arm: str, measure: str, told: str) -> None:
    found = above_ordinary(arm, measure)
    assert len(found) == 3
    mean, low, high = (f"{value:+.1f}".replace("-", "−") for value in (np.mean(found), min(found), max(found)))
    low, high = (low[1:], high[1:]) if min(found) > 0 else (low, high)
    assert told.format(mean=mean, low=low, high=high).replace("**", "") in page("docs/paper_setting.md")


def test_the_papers_own_setting_in_the_readme() -> None:
    arms = ("DALE as printed", "masked loss", "masked loss, alternation only", "ordinary, two updates per batch")
    printed, masked, alternation, twice = (f"{np.mean(above_ordinary(arm, 'same epochs')):.1f}" for arm in arms)
    assert f"DALE is {printed} points above ordinary training of as many epochs (printed), {masked} with" in page(
        "README.md"
    )
    assert (
        f"loss, {alternation} without ω and L_W as well. Ordinary training that repeats every batch is {twice} above"
        in page("README.md")
    )


def test_single_trainings_in_the_papers_own_setting() -> None:
    """What the verdict says of the readings, of longer trainings, other networks, nodules and noise."""
    results = paper_tables.read(RESULTS / "paper")
    ordinary = [each for runs in results.values() for each in runs if each["run"]["arm"] == "ordinary"]
    words = page("docs/paper_setting.md").partition("## What was done")[0].replace("−", "-")

    def above(table: str, arm: str, measure: str = "same epochs", epochs: int | None = None) -> list[str]:
        runs = [paper_tables.shortened(each, epochs) if epochs else each for each in results[table]]
        found = [
            paper_tables.difference(each, ordinary, paper_tables.LIKE[measure])
            for each in runs
            if each["run"]["arm"] == arm
        ]
        return [f"{each:+.1f}".replace("-0.0", "0.0").replace("+0.0", "0.0") for each in found if each is not None]

    def dice(table: str, arm: str, epochs: int) -> float:
        (curve,) = (each["curve"][:epochs] for each in results[table] if each["run"]["arm"] == arm)
        return round(100 * float(paper_tables.chosen(curve)["test"]), 1)

    twice = "ordinary, two updates per batch"
    for arm, told in (("DALE as printed", "printed"), ("masked loss", "masked loss"), (twice, "two updates")):
        found = sorted(above("networks", arm), key=float)
        assert len(found) == 4
        assert f"{told} {found[0]} to {found[-1]}" in words
        assert f"{told} {' and '.join(above('noise', arm))}" in words
    assert ", ".join(above("nodules", arm)[0] for arm in ("DALE as printed", "masked loss", twice)) in words
    assert f"level ({', '.join(above('noise', 'masked loss', 'same updates'))})" in words
    assert f"is not ({', '.join(above('noise', 'DALE as printed', 'same updates'))})" in words

    first = [("polyps", twice), ("polyps", "masked loss"), ("parts", "masked loss, alternation only")]
    longer = [above(*arm, "same epochs", 40)[0] for arm in first]
    assert f"two updates {longer[0]}, masked loss {longer[1]}, its alternation only {longer[2]}" in words
    assert f"as many updates: {', '.join(above(*arm, 'same updates', 40)[0] for arm in first)}" in words

    def reading(arm: str) -> float:
        return dice("readings", arm, 8)

    named = {"released file", "tau 0.5", "tau 0.7", "alpha 0.5", "alpha 0.005"}
    others = [reading(each["run"]["arm"]) for each in results["readings"] if each["run"]["arm"] not in named]
    assert (
        f"printed {dice('polyps', 'DALE as printed', 8)}, two updates without masks {dice('polyps', twice, 8)}" in words
    )
    assert f"file has {reading('released file')}, a smaller τ {reading('tau 0.5')} and {reading('tau 0.7')}" in words
    assert f"others {min(others)} to {max(others)}" in words
    without = dice("polyps", "printed, no L_W", 8)
    assert f"with α 0.5 it is {reading('alpha 0.5')}. A weak one, 0.005, has {reading('alpha 0.005')}" in words
    assert f"without L_W it is {without}," in words
    strong, printed = reading("alpha 0.5"), dice("polyps", "DALE as printed", 8)
    told = f"α 0.5 ends at {strong}, 0.05 at {printed}, no L_W at {without} (one seed, 8 epochs)"
    assert told in page("docs/paper_to_code.md")

    def last_quarter(run: dict[str, Any]) -> float:
        curve = run["curve"]
        early, late = (paper_tables.chosen(part)["validation"] for part in (curve[: 3 * len(curve) // 4], curve))
        return 100 * float(late - early)

    (longest,) = (each for each in results["polyps"] if each["run"]["arm"] == "ordinary")
    assert f"gained {last_quarter(longest):.1f} in its last 40 of {len(longest['curve'])} epochs" in words
    rising = [last_quarter(each) for each in results["networks"] if each["run"]["arm"] == "ordinary"]
    assert f"{min(rising):.1f} to {max(rising):.1f} in the last 8 of 32 epochs" in words
    assert max(*others, *map(reading, named)) < dice("polyps", twice, 8)


def test_why_the_readings_stay() -> None:
    """Masks on the input or on the loss, and which voxels are clean."""
    words = page("docs/paper_to_code.md")
    settings = "settings of nnUNetTrainerDALE"
    for printed, masked, told in (
        ("DALE as printed", "masked loss", "is {:.1f} points ahead"),
        (settings, f"{settings}, masked loss", "is {:.1f} behind there"),
    ):
        found = np.subtract(dice_of_seeds(masked), dice_of_seeds(printed))
        assert len(found) == 3
        assert told.format(abs(found.mean())) in words
        assert f"(three seeds, {signed(found.min())} to {found.max():+.1f})" in words
    results = paper_tables.read(RESULTS / "paper")
    (rose,) = (each["curve"][:8] for each in results["polyps"] if each["run"]["arm"] == "DALE as printed")
    (fell,) = (each["curve"] for each in results["readings"] if each["run"]["arm"] == "clean where omega fell")
    rose_dice, fell_dice = (100 * float(paper_tables.chosen(curve)["test"]) for curve in (rose, fell))
    assert f"end alike ({rose_dice:.1f} and {fell_dice:.1f}, one seed, {len(fell)} epochs)" in words


def test_few_labels() -> None:
    rows = [json.loads(line) for line in (RESULTS / "semi_supervised.jsonl").read_text().splitlines()]

    def mean(arm: str, labelled: int, equal: str) -> float:
        wanted = {"arm": arm, "labelled": labelled, "equal": equal}
        return 100 * float(np.mean([row["dice"] for row in rows if wanted.items() <= row["run"].items()]))

    ours, plain, in_time = mean("dk_uxnet", 8, "epochs"), mean("plain", 8, "epochs"), mean("plain", 8, "time")
    told = f"It has {ours:.1f} points of Dice with 8 labels. Plain nnU-Net on the labelled cases alone has {plain:.1f}"
    assert f"{told} with as many iterations, and {in_time:.1f} in the same time" in page("docs/dk_uxnet.md")
    told = f"{ours:.1f} points with 8 labels and {mean('dk_uxnet', 16, 'epochs'):.1f} with 16"
    assert told in page("docs/evidence.md")
    assert f"{plain:.1f} and {mean('plain', 16, 'epochs'):.1f} (two seeds)" in page("docs/evidence.md")
    alone = mean("dk_uxnet_labels_only", 8, "epochs")
    assert f"the same network has {alone:.1f} (one seed)" in page("docs/dk_uxnet.md")
    short = (
        f"{ours:.0f} points of Dice; plain nnU-Net on the 8 labels {plain:.0f} with as many iterations, {in_time:.0f}"
    )
    assert short in page("README.md")
