"""Is a dataset the one that was audited, and are the labels that were decided on still those?"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from nnunetv2_dale.audit.case_volumes import checksum_text
from nnunetv2_dale.audit.decisions import Decision
from nnunetv2_dale.audit.findings import Audit
from nnunetv2_dale.commands.command_line import UserError, first_of
from nnunetv2_dale.nnunet_files.raw_dataset import RawCase, RawDataset
from nnunetv2_dale.nnunet_files.volumes import read_label


def require_audited(audit: Audit, file: Path, source: RawDataset, decided: Collection[str]) -> None:
    """Compare names and some labels; an audit of an earlier version has no checksums of them.

    Args:
        source: the dataset that is said to be the audited one.
        decided: cases whose labels have to be the audited ones: a person decided on them, or the audit's maps are used.
    Raises:
        UserError: another dataset, or labels that have changed.
    """
    if audit.dataset != source.folder.name:
        raise UserError(f"{file} is of {audit.dataset}, not of {source.folder.name}; give the audited dataset with -d")
    names = {case.name for case in source.cases}
    absent = sorted(each.case for each in audit.cases if each.case not in names)
    if absent:
        raise UserError(
            f"{source.folder} lacks cases of {file}, {len(absent)} in number ({', '.join(first_of(absent))}); give the "
            "audited dataset, or audit again"
        )
    then = {each.case: each.checksum for each in audit.cases if each.checksum and each.case in decided}
    changed = [case.name for case in source.cases if case.name in then and _checksum(source, case) != then[case.name]]
    if changed:
        raise UserError(
            f"labels in {source.folder} are not those that were audited, {len(changed)} in number "
            f"({', '.join(first_of(changed))}); put them back, or audit again with --decisions"
        )


def refuse_redrawn(redrawn: Sequence[Decision], file: Path) -> None:
    """Raise a `UserError` on decisions on other labels than those of the audit in `file`."""
    if redrawn:
        cases = ", ".join(first_of(sorted({each.case for each in redrawn})))
        raise UserError(
            f"decisions are on other labels than those of {file} ({cases}); decide on them again, in the table "
            "of that audit"
        )


def _checksum(source: RawDataset, case: RawCase) -> str:
    return "" if case.label is None else checksum_text(read_label(source.reader(), case.label, source.label_values)[0])
