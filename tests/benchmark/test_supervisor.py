import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from nnunetv2_dale.benchmark.job import Job, worker_environment
from nnunetv2_dale.benchmark.state import FoldState, Stage
from nnunetv2_dale.benchmark.supervisor import train_command
from nnunetv2_dale.commands.process_identity import ProcessIdentity
from tests.benchmark.fixtures import RUN, job_for

WEIGHTS = "/some where/checkpoint.pth"


def test_the_state_chooses_nnunets_flags(tmp_path: Path) -> None:
    job = job_for(RUN, tmp_path, device="cuda", npz=True, pretrained_weights=WEIGHTS, num_gpus=2)
    common = [RUN.dataset, "2d", "0", "-tr", "nnUNetTrainer", "-p", "nnUNetPlans", "-device", "cuda"]
    common += ["-num_gpus", "2", "--npz"]
    expected = {
        Stage.START: ["-pretrained_weights", WEIGHTS],  # nnU-Net refuses weights together with --c
        Stage.RESUME: ["--c"],
        Stage.VALIDATE: ["--val"],
    }
    for stage, flags in expected.items():
        command = train_command(job, FoldState(stage))
        assert Path(command[0]).name == "nnUNetv2_train"
        assert command[1:] == common + flags


def test_a_repeated_training_is_seeded_by_its_number_and_goes_on_with_other_draws(tmp_path: Path) -> None:
    run = replace(RUN, plans="nnUNetPlans_repeat2")
    job = job_for(run, tmp_path, device="cuda")
    seeded = [sys.executable, "-m", "nnunetv2_dale.benchmark.training"]
    assert train_command(job, FoldState(Stage.START))[:4] == [*seeded, "2"]
    folder = run.folder(Path(job.results))
    folder.mkdir(parents=True)
    (folder / "training_log_2026_1_1_0_0_0.txt").touch()
    command = train_command(job, FoldState(Stage.RESUME))
    assert (command[:4], command[-1]) == ([*seeded, "1002"], "--c")


def test_a_job_travels_as_text(tmp_path: Path) -> None:
    job = job_for(RUN, tmp_path, environment={"nnUNet_raw": "/a b"}, gpus_per_node=2)
    assert Job.from_json(job.to_json()) == job


def test_workers_share_threads_and_gpus(tmp_path: Path) -> None:
    job = job_for(RUN, tmp_path, device="cuda", num_gpus=2, gpus_per_node=4, threads=6)
    variables = worker_environment(job, {"PARSL_WORKER_RANK": "1", "CUDA_VISIBLE_DEVICES": "3,5,6,7"})
    assert variables["CUDA_VISIBLE_DEVICES"] == "6,7"  # out of those that the batch system allotted
    assert variables["nnUNet_n_proc_DA"] == "6"
    assert "nnUNet_n_proc_DA" not in worker_environment(job, {"nnUNet_n_proc_DA": "2"})
    on_cpu = worker_environment(job_for(RUN, tmp_path, threads=3), {})
    assert on_cpu["OMP_NUM_THREADS"] == "3"
    assert "CUDA_VISIBLE_DEVICES" not in on_cpu


def test_a_supervisor_gives_up_its_fold_when_the_command_is_gone(tmp_path: Path) -> None:
    gone = ProcessIdentity(ProcessIdentity.current().machine, 1, "never")
    command, job = [sys.executable, "-m", "nnunetv2_dale.benchmark.supervisor"], job_for(RUN, tmp_path, head=gone)
    ended = subprocess.run(command, input=job.to_json(), capture_output=True, text=True, check=True)
    assert "the benchmark command is gone" in ended.stdout
    assert not (RUN.folder(tmp_path / "results") / "benchmark.lock").exists()
