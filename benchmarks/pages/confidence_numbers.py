"""What it is worth to let a training know of its labels, and what the trust of cases sees in real trainings."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from benchmarks import case_trust_contrast
from benchmarks.confidence import audit_maps, checked_cases, partial_annotation, several_readers
from benchmarks.confidence.audit_maps import ARMS
from benchmarks.confidence.stock_trainings import PLAIN, TOLD, of_arms
from benchmarks.pages.organ_numbers import LABELS
from benchmarks.pages.shown import signed
from benchmarks.table import markdown
from benchmarks.trainings import Row, rows_of

NOT_YET = "Not measured yet."
SETS = {
    "whole": "all drawn",
    "wiped": "half wiped",
    "complete": "whole cases alone",
    "as_found": "as found",
}
WRONG_LABELS = {
    "clean": "none",
    "dilated 2 mm": "45 % drawn 2 mm too wide",
    "dilated 45": "45 % drawn too wide, to a Dice of 0.75",
    "mixed 40": "40 % with an error of any kind",
    "mixed 20": "20 % with an error of any kind",
    "hearts clean": "hearts: none",
    "hearts mixed 40": "hearts: 40 % with a large error of any kind",
    "hearts dilated 45": "hearts: 45 % drawn too wide, to a Dice of 0.6",
}
AUDITED = {
    "": "labels as they are",
    "maps": "1 − suspicion as confidence",
    "excluded": "without the cases that the audit lists",
}
READERS = {
    ("one reader", PLAIN): "a reader drawn by lot for each case",
    ("majority", PLAIN): "the vote of three",
    ("majority", TOLD): "the vote, the share of agreeing readers as confidence",
    ("staple", PLAIN): "STAPLE of three",
    ("random", TOLD): "another reader at each visit",
}


def partial_annotation_table(data: str) -> str:
    """Dice of each organ, in points, of plain nnU-Net and of the trainer that knows what was drawn."""
    rows = [row for row in rows_of(partial_annotation.RESULTS) if row["data"] == data]
    if not rows:
        return NOT_YET
    organs = list(rows[0]["dice"])
    cells = []
    for (labels, trainer), trainings in of_arms(rows).items():
        dice = partial_annotation.mean_dice(trainings)
        each = trainings_dice([fmean(row["dice"].values()) for row in trainings])
        named = [SETS[labels], trainer.removeprefix("nnUNetTrainer") or "plain"]
        cells.append([*named, f"{fmean(dice.values()):.1f}", each, *(f"{dice[organ]:.1f}" for organ in organs)])
    return markdown(["labels", "trainer", "mean", "each training", *organs], cells)


def trainings_dice(found: Sequence[float]) -> str:
    """The Dice of each training of an arm; a dash where there is one."""
    return ", ".join(f"{value:.1f}" for value in found) if len(found) > 1 else "–"


def partial_annotation_dice(labels: str, trainer: str) -> str:
    """The Dice of hearts in each training of an arm, in points: "25 and 68"."""
    rows = of_arms(rows_of(partial_annotation.RESULTS))[labels, trainer]
    return " and ".join(f"{fmean(row['dice'].values()):.0f}" for row in rows)


def partial_annotation_won() -> str:
    """A sentence on what wiping costs and the table wins back, as far as it was measured."""
    found = partial_annotation.shares(rows_of(partial_annotation.RESULTS))
    if "cost" not in found:
        return NOT_YET
    share = f", which is {found['won_back'] / found['cost']:.0%}" if found["cost"] > 0 else ""
    return f"Wiping costs plain nnU-Net {found['cost']:.1f} points; the table wins back {found['won_back']:.1f}{share}."


def mandible_won() -> str:
    """A sentence on the mandible that nobody drew in a part of the cases, as far as it was measured."""
    found = partial_annotation.shares(rows_of(partial_annotation.RESULTS)).get("mandible")
    return NOT_YET if found is None else f"The mandible: {signed(found)} points."


def several_readers_table() -> str:
    """Dice, in points, of what is made of several readers' labels."""
    cells = [
        [READERS[arm], f"{fmean(found):.1f}", trainings_dice(found), trainings[0]["cases"]]
        for arm, trainings in of_arms(rows_of(several_readers.RESULTS)).items()
        for found in [[row["dice"] for row in trainings]]
    ]
    return markdown(["training label", "Dice", "each training", "cases"], cells) if cells else NOT_YET


def several_readers_range() -> str:
    """From the lowest to the highest mean of what is made of several readers' labels, in points: "4.0"."""
    means = [
        fmean(row["dice"] for row in trainings) for trainings in of_arms(rows_of(several_readers.RESULTS)).values()
    ]
    return f"{max(means) - min(means):.1f}"


def audit_maps_dice(labels: str, trainer: str) -> str:
    """The Dice of each training of an arm, in points: "70 and 71"."""
    return " and ".join(f"{row['dice']:.0f}" for row in of_arms(rows_of(audit_maps.RESULTS))[labels, trainer])


def audit_won(errors: str, made: str, trainer: str) -> str:
    """What an arm wins back of what wrong labels cost: "2.6 of 8.9"."""
    won = audit_maps.won_back(rows_of(audit_maps.RESULTS), errors)
    return f"{won[', '.join(filter(None, (made, trainer)))]:.1f} of {won['cost']:.1f}"


def audit_maps_table() -> str:
    """Dice, in points, of what an audit makes of wrong labels; and what of their cost that wins back."""
    rows = rows_of(audit_maps.RESULTS)
    arms = of_arms(rows)
    dice = {arm: [row["dice"] for row in trainings] for arm, trainings in arms.items()}
    if not dice:
        return NOT_YET
    cells = []
    for labels, trainer in ARMS:
        errors, _, made = labels.partition(", ")
        found, plain = dice.get((labels, trainer)), dice.get((errors, PLAIN))
        if found is None:
            continue
        against = "–" if plain is None else signed(fmean(found) - fmean(plain))
        first = arms[labels, trainer][0]
        on_list = f"{first['wrong_listed']} of {first['listed']}" if "listed" in first else "–"
        shown = (on_list, f"{fmean(found):.1f}", trainings_dice(found), against)
        cells.append([WRONG_LABELS[errors], AUDITED[made], trainer.removeprefix("nnUNetTrainer") or "plain", *shown])
    header = ["wrong labels", "trained with", "trainer", "wrong of those listed"]
    return markdown([*header, "Dice", "each training", "against plain"], cells)


def checked_cases_table() -> str:
    """AUROC of 1 − ω by meta steps, near label edges, at four points of each training."""
    rows = rows_of(checked_cases.RESULTS)
    cells = []
    for row in rows:
        found = [each.get("one_minus_meta") for each in row["found"]]
        over_time = ["–" if each is None else f"{each['auroc_band']:.2f}" for each in found]
        cells.append([row["labels"], row["checked"], f"{row['confidence']:g}", *over_time])
    points = [f"{each['iterations']} batches" for each in rows[0]["found"]] if rows else []
    return markdown(["wrong labels", "checked cases", "confidence of the others", *points], cells) if rows else NOT_YET


def case_trust_trainings_table() -> str:
    """For each training and class: displacement and contrast of right and wrong labels, and who was down-weighted."""
    cells = [_cells(row, each) for row in rows_of(case_trust_contrast.RESULTS) for each in row["classes"]]
    header = ["labels", "training", "class", "learned", "displacement, wrong / right", "contrast"]
    header += ["down-weighted at borders", "for objects", "AUROC"]
    return markdown(header, cells) if cells else NOT_YET


def _cells(row: Row, each: Row) -> list[str]:
    kinds = [kind for kind in ("wrong", "right") if row[f"{kind}_cases"]]

    def of(key: str) -> str:
        return " / ".join(
            "–" if each[kind][key] is None else "{:.2f} ± {:.2f}".format(*each[kind][key]) for kind in kinds
        )

    def doubted(*parts: str) -> str:
        counts = (max(each[kind][f"doubted_{part}"]["cases"] for part in parts) for kind in kinds)
        return " / ".join(f"{count} of {row[f'{kind}_cases']}" for count, kind in zip(counts, kinds, strict=True))

    learned, area = f"{each['learned']:.2f}", "–" if row["auroc"] is None else f"{row['auroc']:.2f}"
    of_class = [learned, of("displacement"), of("contrast"), doubted("borders"), doubted("extra", "missing"), area]
    return [f"{row['data']}, {LABELS[row['labels']]}", row["length"].strip("_"), each["class"], *of_class]
