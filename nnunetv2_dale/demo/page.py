"""The demo's page: what came out, in one file that needs no network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from nnunetv2_dale import __version__
from nnunetv2_dale.demo.judging import FOREGROUND, Judgement
from nnunetv2_dale.demo.phantom import WIDE_MM
from nnunetv2_dale.demo.pictures import PATCH_SIZE
from nnunetv2_dale.demo.pipeline import Step
from nnunetv2_dale.demo.scale import Scale
from nnunetv2_dale.pages.html_page import figure_data_uri, render_page

DOTS_PER_INCH = 130
NO_VALUE = "–"
UNLEARNT_DICE = 0.05


@dataclass(frozen=True)
class Outcome:
    """All that the page shows, except the pictures."""

    scale: Scale
    seed: int
    device: str
    steps: Sequence[Step]
    predictions: Judgement  # of each method
    training_labels: Judgement  # of the noisy labels, as if they were a method
    facts: Mapping[str, str]  # about data, network and machine, by name
    algorithm_batches: int = 0  # batches of the DALE training that were iterations of Algorithm 1
    groups: Sequence[str] = ()  # what its log says at last of groups of cases


def demo_page(outcome: Outcome, cases: Mapping[str, Figure], noise: Figure, example: Figure, alignment: Figure) -> str:
    """The page as HTML.

    Args:
        outcome: the numbers.
        cases: picture of each test case, by name.
        noise: picture of a training label, clean and noisy.
        example: what DALE made of a batch at the end of its training.
        alignment: L_W over the training.
    """
    scale = outcome.scale
    plain, dale = scale.trainers
    context = {
        "title": "Plain nnU-Net and DALE on a CT-like phantom",
        "kicker": "nnunetv2-dale demo",
        "version": __version__,
        "test_cases": scale.test_cases,
        "patch_size": PATCH_SIZE,
        "warning": _warning(scale),
        "cards": [_card(outcome, method) for method in scale.trainers],
        "dice_caption": f"Mean Dice over {_cases(scale.test_cases)}, on the true labels; 1 is perfect.",
        "dice_columns": [{"name": "method", "numeric": False, "help": ""}]
        + [{"name": name, "numeric": True, "help": ""} for name in (*FOREGROUND, "mean")],
        "dice_rows": [
            *(_dice_row(outcome.predictions, name) for name in scale.trainers),
            _difference_row(outcome.predictions, dale, plain),
        ],
        "fairness": _fairness(outcome),
        "unlearnt": _unlearnt(outcome.predictions),
        "case_columns": [{"name": name, "numeric": False, "help": ""} for name in ("case", "method")]
        + [{"name": name, "numeric": True, "help": ""} for name in FOREGROUND],
        "case_rows": _case_rows(outcome.predictions),
        "case_pictures": [_case_picture(name, figure, outcome) for name, figure in cases.items()],
        "noise_text": _noise_text(outcome),
        "noise_picture": {
            "uri": figure_data_uri(noise, image_format="png", dots_per_inch=DOTS_PER_INCH),
            "alt": "One slice of a training case: the image, its true label and the noisy label that is trained on.",
            "caption": "A training case: the image, the true label, and the label both trainings were given.",
        },
        "dale_text": _dale_text(outcome),
        "example_picture": {
            "uri": figure_data_uri(example, image_format="png", dots_per_inch=DOTS_PER_INCH),
            "alt": "Slices of two training cases: image, non-fuzzy and fuzzy view, and the confidence ω in its parts.",
            "caption": "Two training cases at the end of the training. Orange: the label that was drawn. Dotted "
            "black: the true label. ω: white is 1, red is trusted less, blue more.",
        },
        "alignment_picture": {
            "uri": figure_data_uri(alignment, image_format="png", dots_per_inch=DOTS_PER_INCH),
            "alt": "The alignment L_W of every batch that was an iteration of Algorithm 1.",
            "caption": "The alignment L_W, one point per batch that was an iteration of Algorithm 1.",
        },
        "steps": [
            {"title": step.title, "command": step.command, "seconds": duration(step.seconds)} for step in outcome.steps
        ],
        "settings": [
            ("total time", duration(sum(step.seconds for step in outcome.steps))),
            ("seed", outcome.seed),
            ("device", outcome.device),
            *outcome.facts.items(),
        ],
    }
    return render_page("demo.html.j2", "nnunetv2_dale.demo", context)


def dice_text(value: float) -> str:
    """Dice as it is printed, a dash where there is none."""
    return NO_VALUE if math.isnan(value) else f"{value:.3f}"


def duration(seconds: float) -> str:
    """A time span for people: "8 s", "2 min 5 s"."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"


def training_seconds(steps: Sequence[Step], method: str) -> float:
    """What the training of a method took."""
    return next(step.seconds for step in steps if step.title == f"train {method}")


def dice_lines(predictions: Judgement) -> list[str]:
    """The table of Dice per method and class as lines of plain text."""
    width = max(map(len, predictions.dice)) + 2
    lines = [" " * width + "".join(f"{name:>9}" for name in (*FOREGROUND, "mean"))]
    for method in predictions.dice:
        values = [*(predictions.mean(method, name) for name in FOREGROUND), predictions.mean(method)]
        lines.append(f"{method:<{width}}" + "".join(f"{dice_text(value):>9}" for value in values))
    return lines


def _cases(number: int) -> str:
    return "1 test case" if number == 1 else f"{number} test cases"


def _batches(scale: Scale) -> int:
    return scale.epochs * scale.batches_per_epoch


def _warning(scale: Scale) -> str:
    return (
        f"Each training saw {_batches(scale)} batches of a halved network; nnU-Net's own default is 250,000. One seed, "
        f"{_cases(scale.test_cases)}, a synthetic body: which of the two is ahead here does not say which is better."
    )


def _card(outcome: Outcome, method: str) -> dict[str, str]:
    return {
        "name": f"{method}, mean Dice",
        "value": dice_text(outcome.predictions.mean(method)),
        "detail": f"trained {duration(training_seconds(outcome.steps, method))}",
    }


def _fairness(outcome: Outcome) -> str:
    plain, dale = (training_seconds(outcome.steps, method) for method in outcome.scale.trainers)
    batches = f"{outcome.scale.epochs} epochs of {outcome.scale.batches_per_epoch}"
    return (
        f"Both trainings had the same data, network, seed, learning rate and number of batches ({batches}), but not "
        "the same time: an iteration of Algorithm 1 costs four plain ones. It took "
        f"{duration(dale)} against {duration(plain)}, start and validation included"
        + ("; in equal time plain nnU-Net would see more batches." if dale > plain else ".")
    )


def _unlearnt(predictions: Judgement) -> str:
    """Which classes a training has not begun to find; empty where there are none."""
    missing = {
        method: [name for name in FOREGROUND if predictions.mean(method, name) < UNLEARNT_DICE]
        for method in predictions.dice
    }
    told = "; ".join(f"{method}: {', '.join(names)}" for method, names in missing.items() if names)
    return f"Classes that so few batches have not begun to find: {told}." if told else ""


def _noise_text(outcome: Outcome) -> str:
    labels = outcome.training_labels
    (name,) = labels.dice
    per_class = ", ".join(f"{organ} {dice_text(labels.mean(name, organ))}" for organ in FOREGROUND)
    return (
        "The labels that were trained on have their boundaries moved by a smooth random distance, further where a "
        "lesion fades gradually into the liver. Of ten cases, four were drawn by a second reader, who draws everything "
        f"{WIDE_MM:g} mm wider. Mean Dice of the labels against the truth: {per_class}."
    )


def _dale_text(outcome: Outcome) -> str:
    told = f"Algorithm 1 had {outcome.algorithm_batches} of the {_batches(outcome.scale)} batches. "
    return told + (
        f"It found groups of cases: {'; '.join(outcome.groups)}. With so few cases some of that is chance."
        if outcome.groups
        else "No two groups of cases were found in so short a training: the trust of the cases stayed 1."
    )


def _dice_row(judgement: Judgement, method: str) -> list[str]:
    return [
        method,
        *(dice_text(judgement.mean(method, name)) for name in FOREGROUND),
        dice_text(judgement.mean(method)),
    ]


def _difference_row(judgement: Judgement, first: str, second: str) -> list[str]:
    differences = [judgement.mean(first, name) - judgement.mean(second, name) for name in FOREGROUND]
    differences.append(judgement.mean(first) - judgement.mean(second))
    return [f"{first} minus {second}", *(NO_VALUE if math.isnan(value) else f"{value:+.3f}" for value in differences)]


def _case_rows(judgement: Judgement) -> list[list[str]]:
    cases = next(iter(judgement.dice.values()))
    return [
        [case, method, *(dice_text(judgement.dice[method][case][name]) for name in FOREGROUND)]
        for case in cases
        for method in judgement.dice
    ]


def _case_picture(case: str, figure: Figure, outcome: Outcome) -> dict[str, Any]:
    lesion = {method: dice_text(cases[case]["lesion"]) for method, cases in outcome.predictions.dice.items()}
    return {
        "uri": figure_data_uri(figure, image_format="png", dots_per_inch=DOTS_PER_INCH),
        "alt": f"One slice of {case}: image, true label, prediction of {' and of '.join(lesion)}, fuzziness map.",
        "caption": f"{case}. Dice of the lesions in the whole case: "
        + ", ".join(f"{method} {value}" for method, value in lesion.items())
        + ".",
    }
