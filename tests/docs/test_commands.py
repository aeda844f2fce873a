"""Every command that a manual shows runs as it stands there, on a dataset that was made a minute ago."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.convert.fixtures import make_left_atrium, make_lidc, make_polyp
from tests.datasets import write_ellipsoids, write_results
from tests.run_commands import go_to, leave_out_hours, run, use_threads

DATASET = "Dataset004_Hippocampus"
CASES = [f"case_{number:02d}" for number in range(10)]
STANDS_FOR = {
    "DATASET": "4",
    "IMAGES": "images",
    "RESULT_FOLDER": f"$nnUNet_results/{DATASET}/nnUNetTrainerDALE__nnUNetPlans__3d_fullres",
    "CASE": CASES[0],
}
"""Words in capitals that a page leaves to the reader; LA_H5, DOWNLOADED_FOLDER and OURS are folders of these names."""
ADDED = {
    "nnUNetv2_train": "-device cpu",
    "nnUNetv2_predict": "-device cpu --disable_tta",
    "nnUNetv2_predict_from_modelfolder": "-device cpu --disable_tta",
    "nnUNetv2_plan_and_preprocess": "-np 1 -npfp 1",
    "nnUNetv2_evaluate_folder": "-np 1",
    "nnUNetv2_dale_benchmark": "-device cpu --dry_run",
    "nnUNetv2_dale_corrupt_labels": "-np 1",
    "nnUNetv2_dale_convert": "-np 1",
    "nnUNetv2_dale_confidence": "-np 1",
}
"""For a machine without a GPU, and so that a benchmark ends with the table of its trainings."""
ELSEWHERE = {
    "demo.md": "tests/demo/test_cli.py",
    "synapse.md": "tests/docs/test_synapse.py",
    "paper_to_code.md": "no command",
    "pseudo_labels.md": "tests/pseudo_labels/test_cli.py",  # needs folds that were validated, with networks
}
BEFORE = {
    "export.md": [f"nnUNetv2_train 4 3d_fullres {fold} -tr nnUNetTrainerDALE" for fold in range(5)],
    "convert.md": [
        "nnUNetv2_dale_convert polyp -i POLYP -d 505",
        "nnUNetv2_plan_and_preprocess -d 505 -c 2d",
        *(f"nnUNetv2_train 505 2d {fold} -tr nnUNetTrainerDALE" for fold in range(5)),
    ],
}
"""What the reader of a page has done before."""
ORDER = ("report.md", "audit.md", "benchmark.md", "convert.md", "export.md")
"""Pages that come first: folds by patient are made before the first training, and so on."""


def commands(page: Path) -> list[str]:
    """The lines of its code that call nnU-Net or us, or set a variable for such a line."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    code = [line.removeprefix("    ") for line in text.splitlines() if line.startswith("    ")]
    code += [line for block in re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL) for line in block.splitlines()]
    return [line for line in code if re.match(r"nnUNetv2_\w+ |D=", line)]


def as_run(line: str) -> str:
    if "=" in line.split()[0]:
        return line
    words = line.split("#")[0].split()
    words = [STANDS_FOR.get(word, word) for word in words]
    return " ".join([*words, ADDED.get(words[0], "") if words[1] != "splits" else ""])


def pages() -> list[Path]:
    found = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
    found = [page for page in found if page.name not in ELSEWHERE]
    first = [REPOSITORY / "docs" / name for name in ORDER]
    return first + [page for page in found if page not in first]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A fresh dataset with results of two trainers, and what people have downloaded."""
    raw = write_ellipsoids(tmp_path / "nnUNet_raw", len(CASES), DATASET)
    for trainer, shift in (("nnUNetTrainer", 2), ("nnUNetTrainerDALE", 1)):
        results = tmp_path / "nnUNet_results" / DATASET / f"{trainer}__nnUNetPlans__3d_fullres"
        write_results(results, raw, {case: shift * (number % 3) for number, case in enumerate(CASES)})
    (tmp_path / "nnUNet_preprocessed").mkdir()
    (tmp_path / "images").mkdir()
    shutil.copy(raw / f"imagesTr/{CASES[0]}_0000.nii.gz", tmp_path / "images")
    (tmp_path / "imagesUn").mkdir()
    shutil.copy(raw / f"imagesTr/{CASES[0]}_0000.nii.gz", tmp_path / "imagesUn/unlabelled_0000.nii.gz")
    make_lidc(tmp_path / "DOWNLOADED_FOLDER")
    make_left_atrium(tmp_path / "LA_H5", train=10)
    make_polyp(tmp_path / "POLYP")
    for folder, images, labels in (("Task09_Spleen", "imagesTr", "labelsTr"), ("OURS", "scans", "masks")):
        for case in CASES[:2]:
            for source, target in ((f"imagesTr/{case}_0000", images), (f"labelsTr/{case}", labels)):
                (tmp_path / folder / target).mkdir(parents=True, exist_ok=True)
                shutil.copy(raw / f"{source}.nii.gz", tmp_path / folder / target / f"{case}.nii.gz")
    (tmp_path / "Task09_Spleen/dataset.json").write_text((raw / "dataset.json").read_text())
    for reader in ("anna", "ben", "carl"):
        shutil.copytree(raw / "labelsTr", tmp_path / reader)
        shutil.copytree(tmp_path / "OURS/masks", tmp_path / "OURS" / reader)
    with (tmp_path / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("case", "patient"), *((case, f"p{case[-1]}") for case in CASES)])
    return tmp_path


@pytest.mark.filterwarnings("default")  # of nnU-Net's commands
def test_the_commands_of_all_pages_run(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_page = {page.name: [as_run(line) for line in (*BEFORE.get(page.name, ()), *commands(page))] for page in pages()}
    assert sum(map(len, by_page.values())) > 30
    go_to(workspace, monkeypatch)
    use_threads(monkeypatch)
    leave_out_hours(monkeypatch)
    run(by_page.pop("report.md") + by_page["audit.md"][:2], monkeypatch)
    _decide(workspace / "audit/decisions.csv")
    run(by_page.pop("audit.md")[2:], monkeypatch)
    shutil.rmtree(workspace / "nnUNet_results" / DATASET)  # with its half of what nnU-Net writes
    run(by_page.pop("benchmark.md"), monkeypatch)
    _copy_of_plans(workspace / "nnUNet_preprocessed" / DATASET)
    run([line for lines in by_page.values() for line in lines], monkeypatch)


def test_pages_name_benchmarks_that_exist() -> None:
    texts = [page.read_text(encoding="utf-8") for page in (REPOSITORY / "docs").rglob("*.md")]
    named = {name for text in texts for name in re.findall(r"python -m (benchmarks[\w.]*)", text)}
    assert len(named) > 10
    assert [name for name in named if importlib.util.find_spec(name) is None] == []


def _decide(table: Path) -> None:
    """The first finding's label is left out, as a reader would write it."""
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[0]["decision"] = "exclude"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def _copy_of_plans(folder: Path) -> None:
    """As docs/settings.md says it."""
    plans = json.loads((folder / "nnUNetPlans.json").read_text()) | {"plans_name": "nnUNetPlansSmallPatches"}
    (folder / "nnUNetPlansSmallPatches.json").write_text(json.dumps(plans))
