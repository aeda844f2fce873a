"""A finding in words that a radiologist understands, with its size and its unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from nnunetv2_dale.audit.audit_task import AuditedClass
from nnunetv2_dale.audit.evidence import CaseEvidence
from nnunetv2_dale.audit.kinds import BORDER_KINDS, Suspicion
from nnunetv2_dale.nnunet_files.geometry import NO_DEPTH

if TYPE_CHECKING:
    from nnunetv2_dale.audit.without_network.records import CaseRecord

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def in_words(suspicion: Suspicion, case: CaseEvidence, classes: Mapping[str, AuditedClass]) -> tuple[float, str, str]:
    """Return size, unit and sentence of a suspicion.

    Lengths are in mm, volumes in ml, areas of a single slice in mm²; of pictures without a voxel size in px and px².
    """
    name = classes[suspicion.key].in_words if suspicion.key else "the label"
    networks = _networks(case.referees)
    is_distance = suspicion.kind in BORDER_KINDS and (suspicion.kind != "unclear" or suspicion.size_mm != 0)
    size, unit = (suspicion.size_mm, length_unit(case)) if is_distance else volume_of(suspicion.voxels, case)
    match suspicion.kind:
        case "wider" | "narrower":
            sentence = (
                f"{name} is drawn {size:.1f} {unit} {suspicion.kind} than {networks} "
                f"expect{'s' if case.referees == 1 else ''}, on {suspicion.share:.0%} of its surface"
            )
        case "shifted":
            z, y, x = suspicion.vector_mm
            vector = f"x {x:+.1f}, y {y:+.1f}" + ("" if case.planar else f", z {z:+.1f}") + f" {unit}"
            sentence = f"{name} lies {size:.1f} {unit} off where {_find(case.referees)} it ({vector} along the axes)"
        case "unclear" if is_distance:
            sentence = (
                f"the border of {name} differs by {size:.1f} {unit} on average from {networks}, to both sides; "
                "look at it"
            )
        case "unclear":
            sentence = f"{name} differs from {networks} in {size:g} {unit}, in no way that has a name; look at it"
        case "missed_object":
            sentence = f"an object of {size:g} {unit} that {_find(case.referees)} as {name} has no label"
        case "extra_object":
            sentence = f"an object of {size:g} {unit} is labelled as {name}, but {_find(case.referees, no=True)} there"
        case "exchanged":
            sentence = (
                f"an object of {size:g} {unit} is given to the wrong class: {name} and "
                f"{classes[suspicion.other].in_words} are exchanged there, according to {networks}"
            )
        case "empty":
            sentence = f"the label is empty, but {_find(case.referees)} {size:g} {unit} of structures"
        case "flipped":
            size, unit = round(suspicion.share, 3), "Dice"
            sentence = f"the label would agree with {networks} (Dice {size:.2f}) if it were {suspicion.words}"
        case _:
            sentence = (
                f"the label ({size:g} {unit}) has next to nothing in common with what {_find(case.referees)}; it may "
                "belong to another case"
            )
    return round(size, 3), unit, sentence


def _networks(count: int) -> str:
    """ "the network" or "four networks"."""
    return "the network" if count == 1 else f"{NUMBERS[count] if count < len(NUMBERS) else count} networks"


def _find(count: int, no: bool = False) -> str:
    if no:
        return "the network finds nothing" if count == 1 else f"{_networks(count)} find nothing"
    return "the network finds" if count == 1 else f"{_networks(count)} find"


def length_unit(case: CaseEvidence | CaseRecord) -> str:
    """The unit of a length: a picture has no mm."""
    return "px" if case.planar and case.spacing_mm[0] == NO_DEPTH else "mm"


def volume_of(voxels: int, case: CaseEvidence | CaseRecord) -> tuple[float, str]:
    """A volume in ml; of a slice an area."""
    size = voxels * float(np.prod(case.spacing_mm[1 if case.planar else 0 :]))
    if case.planar:
        return float(f"{size:.3g}"), f"{length_unit(case)}²"
    return float(f"{size / 1000:.3g}"), "ml"
