from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nnunetv2_dale.benchmark import cli
from nnunetv2_dale.benchmark.reports import report_arguments
from nnunetv2_dale.benchmark.runs import Run
from nnunetv2_dale.commands.lock import acquire
from tests.benchmark.fixtures import DATASET, RUN, SHORT_TRAINERS, preprocessed_phantom, write_checkpoint, write_summary
from tests.datasets import write_ellipsoids, write_results

ONE_FOLD = ["-d", DATASET, "-c", "2d", "-f", "0", "-tr", "nnUNetTrainer_short", "-device", "cpu"]


@contextmanager
def holding(file: Path, text: str) -> Iterator[None]:
    """A file holds other text in the block, and what it held before, if it was there, afterwards."""
    before = file.read_text() if file.exists() else None
    file.write_text(text)
    try:
        yield
    finally:
        file.unlink() if before is None else file.write_text(before)


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return preprocessed_phantom(tmp_path_factory.mktemp("bad input"))


@pytest.fixture(autouse=True)
def _nnunet_folders(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.setenv(name, variables[name])
    monkeypatch.setenv("nnUNet_extTrainer", str(SHORT_TRAINERS))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"-d": "906"}, f"which has {DATASET}; check the name and the folder, or run nnUNetv2_plan_and_preprocess"),
        ({"-d": "Dataset906_None"}, "found no dataset for Dataset906_None in"),
        ({"-c": "3d"}, "plans nnUNetPlans have no configuration 3d; they have 2d, 3d_fullres"),
        ({"-c": "3d_fullres"}, "3d_fullres of plans nnUNetPlans is not preprocessed"),
        ({"-p": "Plans"}, f"{DATASET} has no plans Plans; it has nnUNetPlans"),
        ({"-f": "5"}, f"{DATASET} has no fold 5; it has 0, 1, 2, 3, 4, all"),
        ({"-tr": "nnUNetTrainerDALF"}, "nnU-Net finds no trainer nnUNetTrainerDALF"),
        ({"-pretrained_weights": "none.pth"}, "there are no pretrained weights none.pth"),
        ({"-num_gpus": "2"}, "-num_gpus 2 needs -device cuda, got cpu"),
        ({"-num_gpus": "9999", "-device": "cuda"}, "-num_gpus 9999 is more than the batch of 2d in plans nnUNetPlans"),
        ({"--walltime": "a day"}, "walltime has to be HH:MM:SS"),
        ({"--workers": "0"}, "workers has to be at least 1"),
        ({"--gpus": "-1"}, "gpus cannot be negative"),
        ({"--executor": "lsf"}, "got 'lsf'; for another batch system give a file to --parsl_config"),
    ],
)
def test_bad_input_is_one_sentence_before_anything_starts(changes: dict[str, str], message, variables, capsys) -> None:
    flags = {"-d": DATASET, "-c": "2d", "-f": "0", "-tr": "nnUNetTrainer_short", "-device": "cpu", **changes}
    assert cli.main([word for pair in flags.items() for word in pair]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert list(Path(variables["nnUNet_results"]).iterdir()) == []


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ('[{"train": ["case_000"], "val": ["case_001.nii.gz"]}]', " not in "),
        ('{"train": []}', "is no split of nnU-Net"),
        ('[{"train": []}]', "is no split of nnU-Net"),
        ('[{"train": ["case_0', "is not valid JSON"),
        ('[{"train": ["case_000"], "val": []}]', "splits_final.json has no validation case; take other folds with -f"),
    ],
)
def test_a_split_of_other_cases_is_refused(split: str, message: str, variables: dict[str, str], capsys) -> None:
    file = Path(variables["nnUNet_preprocessed"]) / DATASET / "splits_final.json"
    with holding(file, split):
        assert cli.main([*ONE_FOLD, "--dry_run"]) == 2
    assert message in capsys.readouterr().err


def test_plans_whose_results_would_replace_those_of_others_are_refused(variables: dict[str, str], capsys) -> None:
    """Plans copied by hand that keep the plans_name of what they were copied from."""
    folder, results = Path(variables["nnUNet_preprocessed"]) / DATASET, Path(variables["nnUNet_results"])
    with holding(folder / "bigBatchPlans.json", (folder / "nnUNetPlans.json").read_text()):
        assert cli.main([*ONE_FOLD, "-p", "nnUNetPlans", "bigBatchPlans"]) == 2
    error = capsys.readouterr().err
    assert '"plans_name" "nnUNetPlans"' in error
    assert 'set it to "bigBatchPlans"' in error
    assert list(results.iterdir()) == []


@pytest.mark.parametrize("name", ["nnUNetPlans.json", "dataset.json"])
def test_damaged_descriptions_are_named(name: str, variables: dict[str, str], capsys) -> None:
    file = Path(variables["nnUNet_preprocessed"]) / DATASET / name
    with holding(file, file.read_text()[:-20]):
        assert cli.main([*ONE_FOLD, "--dry_run"]) == 2
    assert f"{file} is not valid JSON" in capsys.readouterr().err


def test_without_parsl_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert cli.main(["-d", "905", "-c", "2d", "-tr", "nnUNetTrainer_short", "-device", "cpu"]) == 2
    said = "needs Parsl, which is not installed; in this package's checkout, run: pip install '.[benchmark]'"
    assert said in capsys.readouterr().err


def test_a_dry_run_shows_what_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    folders = [Run(DATASET, "nnUNetTrainer_short", "nnUNetPlans", "2d", fold).folder(tmp_path) for fold in "01234"]
    write_summary(folders[0], dice=0.75)
    write_checkpoint(folders[1] / "checkpoint_latest.pth")
    write_checkpoint(folders[2] / "checkpoint_final.pth")
    lock = acquire(folders[3], "another")
    assert lock is not None
    assert cli.main(["-d", "905", "-c", "2d", "-tr", "nnUNetTrainer_short", "--dry_run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[4] for line in lines[1:6]] == ["done", "resumable", "validate", "elsewhere", "missing"]
    assert "0.7500" in lines[1]
    assert lines[-1] == "5 runs: 1 done, 1 validate, 1 resumable, 1 missing, 1 elsewhere"


RUNS = [Run(DATASET, trainer, "P", "2d", fold) for trainer in ("C", "A", "B") for fold in "01"]


def test_the_report_compares_models_with_results_baseline_first(tmp_path: Path) -> None:
    assert report_arguments(RUNS, "2d", tmp_path, tmp_path / "reports") is None
    for run in RUNS[:4]:
        run.folder(tmp_path).mkdir(parents=True)
    for run in (RUNS[0], RUNS[3]):
        write_summary(run.folder(tmp_path))
    arguments = report_arguments(RUNS, "2d", tmp_path, tmp_path / "reports")
    assert arguments is not None
    assert [Path(folder).name for folder in arguments[:2]] == ["C__P__2d", "A__P__2d"]
    assert arguments[2:] == ["-f", "0", "1", "-o", str(tmp_path / "reports" / "2d")]
    assert RUN.model == "nnUNetTrainer__nnUNetPlans__2d"


def test_the_report_is_of_the_folds_that_were_asked_for_and_begun(tmp_path: Path) -> None:
    for fold, trainer in [("0", "C"), ("0", "A"), ("1", "C"), ("4", "C"), ("4", "A")]:
        write_summary(Run(DATASET, trainer, "P", "2d", fold).folder(tmp_path))
    arguments = report_arguments(RUNS, "2d", tmp_path, tmp_path / "reports")  # fold 4 is of another benchmark
    assert arguments is not None
    assert arguments[2:-2] == ["-f", "0"]  # A never came to fold 1


def test_a_second_benchmark_leaves_the_report_of_the_first(tmp_path: Path) -> None:
    """Real reports: other trainers, fewer folds and another baseline go beside it; more of the same replaces it."""
    from nnunetv2_dale.report.cli import main as report

    raw = write_ellipsoids(tmp_path / "raw", 4, DATASET)
    shifts = {f"case_{number:02d}": number for number in range(4)}
    for model in ("A__P__2d", "B__P__2d", "C__P__2d"):
        write_results(tmp_path / "results" / DATASET / model, raw, shifts)

    def made(trainers: str, folds: str) -> str:
        runs = [Run(DATASET, trainer, "P", "2d", fold) for trainer in trainers for fold in folds]
        arguments = report_arguments(runs, "2d", tmp_path / "results", tmp_path / "reports")
        assert arguments is not None
        assert report([*arguments, "--summary_only", "--resamples", "9"]) == 0
        return Path(arguments[arguments.index("-o") + 1]).name

    (tmp_path / "reports/2d").mkdir(parents=True)
    assert made("AB", "0") == made("AB", "01") == made("AB", "01") == "2d"
    first = (tmp_path / "reports/2d/report.json").read_bytes()
    assert made("AC", "01") == made("AC", "01") == "2d_A_C_folds_0_1"
    assert made("AB", "0") == "2d_A_B_folds_0"
    assert made("BA", "01") == "2d_B_A_folds_0_1"
    assert (tmp_path / "reports/2d/report.json").read_bytes() == first
    assert made("ABC", "01") == "2d"
