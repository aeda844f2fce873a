"""docs/settings.md is what the configurations say."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from benchmarks.pages.settings_tables import settings_tables, table
from nnunetv2_dale.case_trust.config import CaseTrustConfig
from nnunetv2_dale.dale.config import DaleConfig
from nnunetv2_dale.dk_uxnet.config import DkUxnetConfig


@dataclass(frozen=True)
class Example:
    """A configuration as methods have them."""

    size: int = field(default=3, metadata={"low": 1, "high": 1_000_000, "meaning": "voxels | along an axis"})
    step: float = field(default=0.1, metadata={"low": 0.0, "high": 0.9999, "meaning": "how far"})
    kind: str = field(default="a", metadata={"choices": ("a", "b"), "meaning": "which of two"})


def test_every_setting_is_on_the_page() -> None:
    for spec in [*fields(DaleConfig), *fields(CaseTrustConfig), *fields(DkUxnetConfig)]:
        assert f"\n| `{spec.name}` | " in settings_tables()


def test_a_table_by_hand() -> None:
    assert table({"default": Example(), "other": Example(size=5, kind="b")}).splitlines() == [
        "| setting | default | other | range | meaning |",
        "| --- | --- | --- | --- | --- |",
        "| `size` | `3` | `5` | 1 to 1,000,000 | voxels \\| along an axis |",
        "| `step` | `0.1` | `0.1` | 0 to 0.9999 | how far |",
        '| `kind` | `"a"` | `"b"` | `"a"`, `"b"` | which of two |',
    ]
