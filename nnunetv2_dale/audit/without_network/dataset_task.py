"""From a raw dataset to what is audited: every case with its label and image, and no network."""

from __future__ import annotations

from nnunetv2_dale.audit.audit_task import AuditedClass, AuditTask, CaseInputs
from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.nnunet_files.raw_dataset import read_raw
from nnunetv2_dale.nnunet_files.results.class_keys import class_labels, keys_of_names
from nnunetv2_dale.nnunet_files.results.not_annotated import open_classes


def dataset_task(dataset: str) -> AuditTask:
    """Find the labels and images of a dataset in `nnUNet_raw`; none is opened.

    Args:
        dataset: id or name.
    Raises:
        UserError: no such dataset, one without labels, or a `confidence.csv` that is refused.
    """
    source = read_raw(dataset)
    labelled = [case for case in source.cases if case.label is not None]
    without = [case.name for case in source.cases if case.label is None]
    if not labelled:
        raise UserError(
            f"{source.folder / 'labelsTr'} holds no label of the images in imagesTr; the audit needs labels"
        )
    keys = {name: key for name, key in keys_of_names(source.dataset_json["labels"]).items() if key != "0"}
    classes = tuple(AuditedClass(key, name, class_labels(key)) for name, key in keys.items())
    return AuditTask(
        dataset=source.folder.name,
        referees=(),
        classes=classes,
        channels=(),
        has_regions=any(len(item.values) > 1 for item in classes),
        ignore_label=source.ignore_label,
        label_values=source.label_values,
        is_ct=source.is_ct,
        reader=source.reader(),
        cases=tuple(CaseInputs(case.name, "", case.label, (), (), (), case.images) for case in labelled if case.label),
        missing=(f"{len(without)} images have no label and are not audited: {', '.join(without)}",) if without else (),
        held_out=False,
        open_classes=open_classes(source.folder.name, source.dataset_json, [case.name for case in labelled]),
    )
