"""Evidence as it is kept between two runs of an audit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnunetv2_dale.audit.components import Component
from nnunetv2_dale.audit.displacement import Displacement
from nnunetv2_dale.audit.evidence import CaseEvidence, ClassEvidence
from nnunetv2_dale.audit.orientation import Orientation
from nnunetv2_dale.nnunet_files.results.misplaced import misplaced_from_json


def evidence_from_json(content: Mapping[str, Any]) -> CaseEvidence:
    """Return what `CaseEvidence.to_json` gave, read back from JSON: lists become tuples again."""
    turned, whole = content["orientation"], content["whole"]
    return CaseEvidence(
        case=content["case"],
        fold=content["fold"],
        referees=content["referees"],
        spacing_mm=tuple(content["spacing_mm"]),
        affine=tuple(tuple(row) for row in content["affine"]),
        planar=content["planar"],
        classes={key: _class(each) for key, each in content["classes"].items()},
        whole=None if whole is None else _class(whole),
        orientation=None if turned is None else Orientation(**{**turned, "moved": tuple(turned["moved"])}),
        misplaced=tuple(misplaced_from_json(each) for each in content["misplaced"]),
        soft=content["soft"],
        checksum=content["checksum"],
    )


def _class(content: Mapping[str, Any]) -> ClassEvidence:
    parts = {name: tuple(_component(each) for each in content[name]) for name in ("extra", "missed", "exchanged")}
    found = content["displacement"]
    others = {
        "displacement": None if found is None else _displacement(found),
        "apart_at": None if content["apart_at"] is None else tuple(content["apart_at"]),
    }
    return ClassEvidence(**{**content, **parts, **others})


def _component(content: Mapping[str, Any]) -> Component:
    return Component(**{**content, "voxel": tuple(content["voxel"])})


def _displacement(content: Mapping[str, Any]) -> Displacement:
    read: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
    return Displacement(**read)
