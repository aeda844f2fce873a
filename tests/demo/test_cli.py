import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from nnunetv2_dale.commands.command_line import UserError
from nnunetv2_dale.demo import pipeline
from nnunetv2_dale.demo.cli import main
from nnunetv2_dale.demo.commands import program


@pytest.fixture
def _no_work(monkeypatch):
    def fail(*arguments):
        raise AssertionError("nothing may be run here")

    monkeypatch.setattr(pipeline, "run_demo", fail)


@pytest.mark.usefixtures("_no_work")
def test_an_existing_folder_is_refused_with_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("nnUNetv2_dale_demo").mkdir()
    Path("nnUNetv2_dale_demo/mine.txt").touch()
    assert main([]) == 2
    assert re.fullmatch(r"nnUNetv2_dale_demo: .*already exists; .*--overwrite to replace it\n", capsys.readouterr().err)
    assert list(Path("nnUNetv2_dale_demo").iterdir()) == [Path("nnUNetv2_dale_demo/mine.txt")]


@pytest.mark.usefixtures("_no_work")
@pytest.mark.parametrize("arguments", [["--seed", "-1"], ["-np", "0"], ["-device", "tpu"], ["--seed", "x"]])
def test_impossible_arguments_are_refused(arguments, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["-o", str(tmp_path / "demo"), *arguments])
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()


def test_a_failed_step_is_told_and_its_log_kept(tmp_path, monkeypatch, capsys):
    def fail(command, log, environment):
        log.write_text("the reason")
        raise UserError(f"could not {command.title} (exit code 1); the whole output is in {log}")

    monkeypatch.setattr(pipeline, "run_logged", fail)
    assert main(["-o", str(tmp_path / "demo"), "--quick"]) == 2
    assert "could not check the data and take its fingerprint (exit code 1)" in capsys.readouterr().err
    assert (tmp_path / "demo" / "logs" / "02_check_the_data_and_take_its_fingerprint.txt").read_text() == "the reason"
    assert not (tmp_path / "demo" / "report").exists()


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch, capsys):
    def fill(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pipeline, "run_demo", fill)
    assert main(["-o", str(tmp_path / "demo"), "--quick"]) == 2
    assert capsys.readouterr().err.strip().endswith(f"cannot write into {tmp_path / 'demo'}: No space left on device")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_and_termination_say_where_things_are(number, tmp_path, monkeypatch, caplog):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(pipeline, "run_demo", lambda *arguments: os.kill(os.getpid(), number))
    assert main(["-o", str(tmp_path / "demo"), "--quick"]) == 130
    assert f"interrupted; what was made so far is in {tmp_path / 'demo'}" in caplog.text
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.integration
def test_the_whole_way_with_nnunets_real_commands(tmp_path):
    """The quick demo, from console script to page, in a folder with a space and beside the user's nnU-Net folders."""
    mine = tmp_path / "my nnU-Net"
    mine.mkdir()
    folders = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    environment = os.environ | {name: str(mine) for name in folders} | {"OMP_NUM_THREADS": "1"}
    command = [program("nnUNetv2_dale_demo"), "--quick", "-o", "my demo"]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    assert ended.returncode == 0, ended.stderr
    demo = tmp_path / "my demo"
    assert ended.stdout.splitlines()[-1] == f"The report of the demo is {demo / 'report' / 'report.html'}"
    assert "[8/8] compare both" in ended.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my demo", "my nnU-Net"]
    assert list(mine.iterdir()) == []

    numbers = json.loads((demo / "demo.json").read_text())
    assert [each["label"] for each in numbers["readers"]] == ["liver", "spleen", "kidney", "lesion"]
    assert numbers["readers"][0]["drawn_wide"] == ["phantom_002"]
    report = json.loads((demo / "report" / "report.json").read_text())
    assert report["case_names"] == ["phantom_004", "phantom_005"]
    assert {"HD95", "Surface Dice"} <= {metric["name"] for metric in report["metrics"]}  # masks and images are found
    assert report["overlays"]
    assert 'href="../what_dale_did.html"' in (demo / "report" / "report.html").read_text()
    assert "This proves the way, not the method." in (demo / "what_dale_did.html").read_text()
    trained = [path.name for path in (demo / "nnUNet_results" / "Dataset998_DalePhantom").iterdir()]
    assert sorted(trained) == [
        "nnUNetTrainerDALE_demoQuick__nnUNetDemoPlans__2d",
        "nnUNetTrainer_demoQuick__nnUNetDemoPlans__2d",
    ]
    log = next((demo / "logs").glob("*train_DALE.txt")).read_text()
    assert "dale settings:" in log
