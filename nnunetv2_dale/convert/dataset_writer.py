"""Writes an nnU-Net raw dataset from a plan: all cases in parallel, or a report of everything that is wrong."""

from __future__ import annotations

import logging
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from nnunetv2.dataset_conversion.generate_dataset_json import generate_dataset_json

from nnunetv2_dale import __version__
from nnunetv2_dale.commands.cases import run_cases
from nnunetv2_dale.convert.case_conversion import ConvertedCase, convert_case, warn_of_padding
from nnunetv2_dale.convert.plan import CaseTargets, DatasetPlan, SourceCase
from nnunetv2_dale.nnunet_files.atomic_output import new_folder
from nnunetv2_dale.nnunet_files.confidence_table import READERS
from nnunetv2_dale.nnunet_files.folders import SPLITS
from nnunetv2_dale.nnunet_files.json_files import write_json
from nnunetv2_dale.nnunet_files.problems import DatasetProblemsError, Problem, refuse_problems
from nnunetv2_dale.nnunet_files.raw_dataset import read_dataset
from nnunetv2_dale.nnunet_files.splits import PATIENTS
from nnunetv2_dale.nnunet_files.target import CONVERSION, Target
from nnunetv2_dale.readers.readers_dataset import write_consensus

logger = logging.getLogger(__name__)


def write_raw_dataset(
    plan: DatasetPlan, source: Path, target: Target, processes: int, recipe: str, overwrite: bool
) -> Path:
    """Convert every case of `plan` into a new raw dataset.

    The folder appears under its name only when everything is written; a conversion that is interrupted leaves none.

    Args:
        source: the folder it was found in; files are named relative to it.
    Raises:
        DatasetProblemsError: with every problem of the source and the target; nothing was written.
    """
    problems = [*plan.problems, *_colliding_names(plan.cases), *target.problems(plan.splits, overwrite)]
    if not plan.problems and not any(case.test_set is None for case in plan.cases):
        problems.append(Problem(source, "holds no training case"))
    ending = plan.format.file_ending(plan.cases)
    if problems:
        problems += [p for done in _convert_all(plan, None, ending, processes) for p in done.problems]
        raise DatasetProblemsError(problems, source)
    with new_folder(target.folder, overwrite) as folder:
        converted = sorted(_convert_all(plan, folder, ending, processes), key=lambda done: done.case.name)
        refuse_problems([problem for done in converted for problem in done.problems], source)
        _write_descriptions(plan, folder, target, ending)
        joined = join_readers(plan, folder, processes)
        write_json(folder / CONVERSION, {**_manifest(plan, converted, source, recipe), **joined})
    _warn_about_counts(plan)
    _warn_about_classes(plan, converted)
    warn_of_padding({done.case.name: done.in_padding for done in converted})
    return target.folder


def _convert_all(plan: DatasetPlan, folder: Path | None, ending: str, processes: int) -> list[ConvertedCase]:
    """Convert (or with no `folder` only check) every case."""
    ignore = plan.labels.get("ignore", 0)
    parts = [[(case, _targets(case, folder, ending)), *labels_of_readers(case, folder, ending)] for case in plan.cases]
    jobs = [(case.name, (plan.format, of_case, ignore)) for case, of_case in zip(plan.cases, parts, strict=True)]
    what = "checking" if folder is None else "converting"
    return [converted for _, converted in run_cases(convert_case, jobs, processes, what)]


def _targets(case: SourceCase, folder: Path | None, ending: str) -> CaseTargets | None:
    if folder is None:
        return None
    image_folder, label_folder = (folder / name for name in case.folders)
    image_folder.mkdir(exist_ok=True)
    images = tuple(image_folder / f"{case.name}_{i:04d}{ending}" for i in range(len(case.images)))
    if case.label is None:
        return CaseTargets(images, None)
    label_folder.mkdir(exist_ok=True)
    return CaseTargets(images, label_folder / f"{case.name}{ending}")


def _colliding_names(cases: Sequence[SourceCase]) -> list[Problem]:
    """Cases of one set whose names are equal, also where a file system ignores upper and lower case."""
    by_name: dict[tuple[str | None, str], list[SourceCase]] = defaultdict(list)
    for case in cases:
        by_name[case.test_set, case.name.casefold()].append(case)
    return [
        Problem(other.files[0], f"would be named {other.name}, the name of {same[0].files[0].name} after conversion")
        for same in by_name.values()
        for other in same[1:]
    ]


def _write_descriptions(plan: DatasetPlan, folder: Path, target: Target, ending: str) -> None:
    generate_dataset_json(
        str(folder),
        channel_names=dict(enumerate(plan.channel_names)),
        labels=dict(plan.labels),
        num_training_cases=sum(case.test_set is None for case in plan.cases),
        file_ending=ending,
        dataset_name=target.folder.name,
        reference=" ".join(plan.facts.source.split()),
        description=plan.facts.title,
        license=" ".join(plan.facts.licence.split()),
        converted_by=f"nnUNetv2_dale_convert {__version__}",
    )
    if plan.splits is not None:
        write_json(folder / SPLITS, plan.splits)
    patients = {case.name: case.details.get("patient") for case in plan.cases if case.test_set is None}
    known = {case: patient for case, patient in patients.items() if patient}
    if plan.splits is not None and known:
        write_json(folder / PATIENTS, known)


def _manifest(plan: DatasetPlan, converted: Sequence[ConvertedCase], source: Path, recipe: str) -> dict[str, object]:
    """Which source file became which case: paths relative to SOURCE, checksums of the source files, versions."""

    def shown(path: str) -> str:
        return Path(path).relative_to(source).as_posix() if Path(path).is_relative_to(source) else path

    return {
        "recipe": recipe,
        "nnunetv2_dale": __version__,
        "dataset": plan.facts.title,
        "licence": " ".join(plan.facts.licence.split()),
        "cases": [
            {
                "case": done.case.name,
                "folder": done.case.folders[0],
                "sha256": {shown(path): checksum for path, checksum in done.checksums.items()},
                **done.case.details,
            }
            for done in converted
        ],
    }


def _warn_about_counts(plan: DatasetPlan) -> None:
    found = Counter(case.test_set for case in plan.cases)
    for test_set, expected in plan.expected_counts.items():
        if found[test_set] != expected:
            name = "training" if test_set is None else f"{test_set} test".strip()
            logger.warning(
                "%d %s cases were found, the published dataset has %d; results will not compare",
                found[test_set],
                name,
                expected,
            )


def _warn_about_classes(plan: DatasetPlan, converted: Sequence[ConvertedCase]) -> None:
    there = frozenset[int]().union(*(done.values for done in converted))
    absent = [
        name for name, value in plan.labels.items() if value not in there and name not in ("background", "ignore")
    ]
    if absent:
        logger.warning("no training label holds the class %s; nnU-Net cannot learn it", " or ".join(absent))


def labels_of_readers(
    case: SourceCase, folder: Path | None, ending: str
) -> Iterator[tuple[SourceCase, CaseTargets | None]]:
    """Yield a case with each reader's label, which is written without the image, into `ratersTr/READER` of `folder`."""
    for reader, file in case.readers.items():
        at = None
        if folder is not None:
            place = folder / READERS / reader
            place.mkdir(parents=True, exist_ok=True)
            at = CaseTargets((), place / f"{case.name}{ending}")
        yield replace(case, label=file), at


def join_readers(plan: DatasetPlan, folder: Path, processes: int) -> dict[str, object]:
    """Make one label, and how far to trust it, of those in `ratersTr`; they stay where each visit draws one."""
    names = list(dict.fromkeys(name for case in plan.cases for name in case.readers))
    if not names:
        return {}
    source = read_dataset(folder)
    readers = {
        name: {case.name: folder / READERS / name / f"{case.name}{source.file_ending}" for case in source.cases}
        for name in names
    }
    made = write_consensus(source, readers, folder, plan.readers_become, processes)
    if plan.readers_become != "random":
        shutil.rmtree(folder / READERS)
    return {"readers": names, "target": plan.readers_become, "tied_voxels": made.tied_voxels}
