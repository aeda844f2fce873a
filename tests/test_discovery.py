"""nnU-Net finds the trainers: the search path's entry, the start-up file, and real installs in fresh environments."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path

import pytest

import nnunetv2_dale
from nnunetv2_dale.discovery import (
    OPT_OUT_VARIABLE,
    RE_EXPORTS_FILE,
    SEARCH_PATH_VARIABLE,
    append_trainer_folder,
    trainer_folder,
)
from nnunetv2_dale.discovery_build import START_UP_FILE, START_UP_LINE, with_absolute_links

REPOSITORY = Path(__file__).resolve().parent.parent
# What an install is made from; everything else in a checkout may be large and is not needed.
SOURCES = (
    "nnunetv2_dale",
    "trainers",
    "preprocessing",
    "setup.cfg",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "MANIFEST.in",
)

# --- the entry in the search path -------------------------------------------------------------------------------------


def ours() -> str:
    folder = trainer_folder()
    assert folder is not None
    return folder


def joined(*entries: str) -> str:
    return os.pathsep.join(entries)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, lambda: ours()),
        ({SEARCH_PATH_VARIABLE: ""}, lambda: ours()),
        ({SEARCH_PATH_VARIABLE: joined("", " ")}, lambda: ours()),
        ({SEARCH_PATH_VARIABLE: "/mine"}, lambda: joined("/mine", ours())),
        ({SEARCH_PATH_VARIABLE: joined("/mine", "/my other")}, lambda: joined("/mine", "/my other", ours())),
        ({OPT_OUT_VARIABLE: ""}, lambda: ours()),
    ],
)
def test_our_folder_comes_after_the_users(before, after):
    environment = dict(before)
    append_trainer_folder(environment)
    assert environment[SEARCH_PATH_VARIABLE] == after()


def test_child_processes_do_not_add_it_again():
    environment = {SEARCH_PATH_VARIABLE: joined(ours() + os.sep, "/mine")}
    append_trainer_folder(environment)
    assert environment == {SEARCH_PATH_VARIABLE: joined(ours() + os.sep, "/mine")}


@pytest.mark.parametrize("value", ["1", "0", "no"])
def test_opt_out_with_any_value(value):
    environment = {OPT_OUT_VARIABLE: value, SEARCH_PATH_VARIABLE: "/mine"}
    append_trainer_folder(environment)
    assert environment == {OPT_OUT_VARIABLE: value, SEARCH_PATH_VARIABLE: "/mine"}


def test_trainers_of_another_environment_come_after_ours(tmp_path):
    (tmp_path / RE_EXPORTS_FILE).touch()
    environment = {SEARCH_PATH_VARIABLE: joined("/mine", str(tmp_path))}
    append_trainer_folder(environment)
    assert environment[SEARCH_PATH_VARIABLE] == joined("/mine", ours(), str(tmp_path))


@pytest.mark.parametrize(
    ("library", "trainers"),
    [("site/nnunetv2_dale", "site/nnunetv2_dale/trainers"), ("checkout/nnunetv2_dale", "checkout/trainers")],
    ids=["wheel", "checkout"],
)
def test_folder_is_found_in_both_layouts(tmp_path, library, trainers):
    (tmp_path / library).mkdir(parents=True)
    assert trainer_folder(str(tmp_path / library)) is None
    (tmp_path / trainers).mkdir()
    (tmp_path / trainers / RE_EXPORTS_FILE).touch()
    assert trainer_folder(str(tmp_path / library)) == str(tmp_path / trainers)


@pytest.mark.skipif(os.pathsep != ":", reason="a folder's name cannot hold this system's path separator")
def test_a_path_that_the_variable_cannot_hold_is_left_out(tmp_path):
    folder = tmp_path / "with:colon" / "trainers"
    folder.mkdir(parents=True)
    (folder / RE_EXPORTS_FILE).touch()
    assert trainer_folder(str(tmp_path / "with:colon" / "nnunetv2_dale")) is None


# --- what nnU-Net scans -----------------------------------------------------------------------------------------------


def test_re_exports_are_exactly_the_trainers_of_the_library():
    """That these are all of them: `trainer/test_every_trainer.py`."""
    from nnunetv2_dale.trainer.all_trainers import ALL_TRAINERS

    re_exports = importlib.import_module("nnunetv2_dale.trainers.nnunetv2_dale_trainers")
    assert "nnUNetTrainerDALE" in ALL_TRAINERS
    found = {name: value for name, value in vars(re_exports).items() if not name.startswith("_")}
    assert found == {**ALL_TRAINERS, "ALL_TRAINERS": ALL_TRAINERS}


# --- the start-up file ------------------------------------------------------------------------------------------------


def run_bare(code: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter that has loaded nothing but itself, with `paths` to import from."""
    prefix = f"import sys; sys.path += {[str(path) for path in paths]}\n"
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "NNUNETV2", "nnUNet"))
    }
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", prefix + code], env=environment, capture_output=True, text=True, check=True
    )


def test_start_up_imports_nothing_heavy_and_takes_under_5_ms():
    code = (
        "import os, time; before = set(sys.modules); start = time.perf_counter()\n"
        f"exec({START_UP_LINE!r})\n"
        "print(time.perf_counter() - start, os.environ.get('nnUNet_extTrainer'), *(set(sys.modules) - before))"
    )
    runs = [run_bare(code, REPOSITORY).stdout.split(maxsplit=2) for _ in range(5)]
    assert runs[0][1] == ours()
    assert set(runs[0][2].split()) <= {"__future__", "nnunetv2_dale", "nnunetv2_dale.discovery"}
    assert min(float(seconds) for seconds, *_ in runs) < 0.005


def test_start_up_is_silent_when_the_package_is_gone_or_broken(tmp_path):
    broken = tmp_path / "nnunetv2_dale"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise OSError('damaged')")
    for paths in ((), (tmp_path,)):
        assert run_bare(f"exec({START_UP_LINE!r})\nprint('started')", *paths).stdout == "started\n"


# --- installs in fresh environments -----------------------------------------------------------------------------------


@dataclass
class Environment:
    """A virtual environment that sees the packages of this one, but not its start-up files."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        return Path(sysconfig.get_path("purelib", "venv", vars={"base": str(self.folder)}))

    def files(self) -> set[str]:
        paths = (path.relative_to(self.folder) for path in self.folder.rglob("*"))
        return {str(path) for path in paths if "__pycache__" not in path.parts}

    def pip(self, *arguments: str | Path) -> None:
        command = [sys.executable, "-m", "pip", "--quiet", "--python", self.python, *arguments]
        subprocess.run(command, check=True, capture_output=True, env=self.variables(PIP_DISABLE_PIP_VERSION_CHECK="1"))

    def install(self, *what: str | Path) -> None:
        self.pip("install", "--no-deps", "--no-index", "--no-build-isolation", *what)

    def variables(self, **more: str) -> dict[str, str]:
        dropped = (SEARCH_PATH_VARIABLE, OPT_OUT_VARIABLE, "PYTHONPATH", "PYTHONHOME")
        return {name: value for name, value in os.environ.items() if name not in dropped} | more

    def search_path(self, **more: str) -> str:
        code = f"import os; print(os.environ.get('{SEARCH_PATH_VARIABLE}'))"
        command = [self.python, "-W", "error", "-c", code]
        run = subprocess.run(command, env=self.variables(**more), capture_output=True, text=True, check=True, cwd="/")
        assert run.stderr == ""
        return run.stdout.removesuffix("\n")


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    folder = tmp_path / "an environment"
    venv.create(folder, with_pip=False, symlinks=True)
    new = Environment(folder)
    seen = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    (new.site_packages / "packages_of_the_test_environment.pth").write_text("\n".join(seen) + "\n")
    return new


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, so that builds leave nothing in the repository."""
    copy = tmp_path_factory.mktemp("a checkout")
    for name in SOURCES:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy2(source, copy / name)
    return copy


@pytest.fixture(scope="module")
def distributions(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist, and the wheel built from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, checkout]
    run = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert run.returncode == 0, run.stdout + run.stderr
    return next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))


def test_wheel_and_sdist_hold_what_they_should(distributions):
    sdist, wheel = distributions
    with zipfile.ZipFile(wheel) as zipped:
        in_wheel = set(zipped.namelist())
        metadata = zipped.read(f"nnunetv2_dale-{nnunetv2_dale.__version__}.dist-info/METADATA").decode()
    assert re.search(r"^Project-URL: Source, https://\S+$", metadata, flags=re.M)
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    assert {START_UP_FILE, "nnunetv2_dale/trainers/nnunetv2_dale_trainers.py", "nnunetv2_dale/py.typed"} <= in_wheel
    assert {name.partition("/")[0].partition("-")[0] for name in in_wheel} == {START_UP_FILE, "nnunetv2_dale"}
    assert {"trainers/nnunetv2_dale_trainers.py", "nnunetv2_dale/discovery_build.py", "setup.cfg"} <= in_sdist
    library = {path.relative_to(REPOSITORY) for path in (REPOSITORY / "nnunetv2_dale").rglob("*")}
    shipped = {str(path) for path in library if path.suffix in {".py", ".j2"} and "__pycache__" not in path.parts}
    assert shipped <= in_wheel
    assert shipped <= in_sdist


def test_links_of_the_readme_are_absolute_in_the_metadata(distributions):
    with zipfile.ZipFile(distributions[1]) as zipped:
        (name,) = (name for name in zipped.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(zipped.read(name))
    (address,) = (url.partition(", ")[2] for url in metadata.get_all("Project-URL") if url.startswith("Source, "))
    links = re.findall(r"\]\(([^)]+)\)", metadata.get_payload())
    ours = [link.partition("#")[0] for link in links if link.startswith(address)]
    assert [link for link in links if not link.startswith(("https://github.com/MIC-DKFZ/", f"{address}/"))] == []
    assert f"{address}/raw/main/docs/overview.png" in ours
    assert f"{address}/blob/main/docs/audit.md" in ours
    for link in ours:
        assert (REPOSITORY / link.partition("/main/")[2]).is_file(), link


def test_links_by_hand() -> None:
    text = "![p](docs/p.png) [a](A.md#b) [c](https://d.org/e) [f](#g)"
    turned = (
        "![p](https://x.org/y/raw/main/docs/p.png) [a](https://x.org/y/blob/main/A.md#b) [c](https://d.org/e) [f](#g)"
    )
    assert with_absolute_links(text, "https://x.org/y/") == turned
    assert with_absolute_links(text, "") == text


def test_wheel_is_found_and_leaves_nothing_behind(environment, distributions):
    before = environment.files()
    environment.install(distributions[1])
    trainers = str(environment.site_packages / "nnunetv2_dale" / "trainers")
    assert environment.search_path() == trainers
    assert environment.search_path(**{SEARCH_PATH_VARIABLE: "/mine"}) == joined("/mine", trainers)
    assert environment.search_path(**{OPT_OUT_VARIABLE: "1"}) == "None"
    assert environment.search_path(**{OPT_OUT_VARIABLE: "1", SEARCH_PATH_VARIABLE: "/mine"}) == "/mine"
    environment.pip("uninstall", "--yes", "nnunetv2-dale")
    assert environment.files() == before
    assert environment.search_path() == "None"


@pytest.mark.parametrize("mode", ["lenient", "strict"])
def test_editable_install_is_found_and_leaves_nothing_behind(environment, checkout, mode):
    before = environment.files()
    environment.install("--config-settings", f"editable_mode={mode}", "--editable", checkout)
    places = {
        "lenient": checkout / "trainers",
        "strict": next(checkout.glob("build/__editable__*/nnunetv2_dale/trainers"), None),
    }
    assert environment.search_path() == str(places[mode])
    code = "import nnunetv2_dale.trainers as t, nnunetv2_dale.preprocessing as p; print(t.__file__, p.__file__)"
    subprocess.run([environment.python, "-c", code], env=environment.variables(), check=True, cwd="/")
    environment.pip("uninstall", "--yes", "nnunetv2-dale")
    assert environment.files() == before


RESOLVE = """
import json, multiprocessing, os, pickle, sys

def in_a_worker(pickled):
    return pickle.loads(pickled).__qualname__, os.environ["nnUNet_extTrainer"]

if __name__ == "__main__":
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
    found = recursive_find_trainer_class_by_name("nnUNetTrainerDALE")
    length = recursive_find_trainer_class_by_name("nnUNetTrainerBECO_20epochs")
    theirs = recursive_find_trainer_class_by_name("nnUNetTrainerOfTheUser")
    import nnunetv2_dale.trainer
    pickled = pickle.dumps(found)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        worker = pool.apply(in_a_worker, (pickled,))
    json.dump({
        "same class": found is nnunetv2_dale.trainer.nnUNetTrainerDALE,
        "same after pickling": pickle.loads(pickled) is found,
        "file": nnunetv2_dale.trainer.__file__,
        "user's": theirs.__name__,
        "length after pickling": pickle.loads(pickle.dumps(length)).__name__,
        "worker": worker,
    }, open(sys.argv[1], "w"))
"""


def test_nnunets_own_search_finds_the_librarys_class(environment, distributions, tmp_path):
    environment.install(distributions[1])
    mine = tmp_path / "trainers of the user"
    mine.mkdir()
    (mine / "trainers_of_the_user.py").write_text(
        "from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer\n"
        "class nnUNetTrainerOfTheUser(nnUNetTrainer): pass\n"
    )
    (tmp_path / "resolve.py").write_text(RESOLVE)
    command = [environment.python, tmp_path / "resolve.py", tmp_path / "found.json"]
    variables = environment.variables(**{SEARCH_PATH_VARIABLE: str(mine)})
    run = subprocess.run(command, env=variables, capture_output=True, text=True, cwd="/")
    assert run.returncode == 0, run.stdout + run.stderr
    installed = environment.site_packages / "nnunetv2_dale"
    assert json.loads((tmp_path / "found.json").read_text()) == {
        "same class": True,
        "same after pickling": True,
        "file": str(installed / "trainer" / "__init__.py"),
        "user's": "nnUNetTrainerOfTheUser",
        "length after pickling": "nnUNetTrainerBECO_20epochs",
        "worker": ["nnUNetTrainerDALE", joined(str(mine), str(installed / "trainers"))],
    }
