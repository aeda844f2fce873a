"""docs/settings.md is what the configurations say."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from docs import settings_page
from nnunetv2_dale.case_trust.config import CaseTrustConfig
from nnunetv2_dale.dale.config import DaleConfig


@dataclass(frozen=True)
class Example:
    """A configuration as methods have them."""

    size: int = field(default=3, metadata={"low": 1, "high": 1_000_000, "meaning": "voxels | along an axis"})
    step: float = field(default=0.1, metadata={"low": 0.0, "high": 0.9999, "meaning": "how far"})
    kind: str = field(default="a", metadata={"choices": ("a", "b"), "meaning": "which of two"})


def test_the_page_is_what_the_code_gives() -> None:
    assert settings_page.PAGE.read_text(encoding="utf-8") == settings_page.page()


def test_every_setting_is_on_the_page() -> None:
    for spec in [*fields(DaleConfig), *fields(CaseTrustConfig)]:
        assert f"\n| `{spec.name}` | " in settings_page.page()


def test_a_table_by_hand() -> None:
    assert settings_page.table({"default": Example(), "other": Example(size=5, kind="b")}).splitlines() == [
        "| setting | default | other | range | meaning |",
        "| --- | --- | --- | --- | --- |",
        "| `size` | `3` | `5` | 1 to 1,000,000 | voxels \\| along an axis |",
        "| `step` | `0.1` | `0.1` | 0 to 0.9999 | how far |",
        '| `kind` | `"a"` | `"b"` | `"a"`, `"b"` | which of two |',
    ]
