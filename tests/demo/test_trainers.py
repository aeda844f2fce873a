import importlib.util
import pickle
import sys
from dataclasses import replace

import pytest
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

from nnunetv2_dale.case_trust.config import CaseTrustConfig
from nnunetv2_dale.demo import trainers
from nnunetv2_dale.demo.scale import FULL, QUICK
from nnunetv2_dale.demo.workspace import Workspace
from nnunetv2_dale.trainer.dale import nnUNetTrainerDALE

NAMES = [*FULL.trainers.values(), *QUICK.trainers.values()]


@pytest.mark.parametrize("name", NAMES)
def test_nnunet_finds_the_very_class_and_it_pickles(name, tmp_path, monkeypatch):
    workspace = Workspace.create(tmp_path / "a demo")
    monkeypatch.setenv("nnUNet_extTrainer", str(workspace.trainers))
    monkeypatch.setattr(sys, "path", list(sys.path))
    found = recursive_find_trainer_class_by_name(name)
    assert found is getattr(trainers, name)
    assert pickle.loads(pickle.dumps(found)) is found


@pytest.mark.parametrize("scale", [FULL, QUICK])
def test_both_methods_train_equally_long(scale):
    plain, dale = (getattr(trainers, name) for name in scale.trainers.values())
    for trainer in (plain, dale):
        assert (trainer.demo_epochs, trainer.demo_batches_per_epoch) == (scale.epochs, scale.batches_per_epoch)
    assert issubclass(dale, nnUNetTrainerDALE)
    assert not issubclass(plain, nnUNetTrainerDALE)
    assert dale.dale == replace(nnUNetTrainerDALE.dale, learned=dale.dale.learned)
    assert (dale.dale.learned == 0) == (scale is QUICK)
    assert dale.case_trust == CaseTrustConfig(after=0, fewest=2)


def test_the_module_nnunet_scans_holds_nothing_but_the_four(tmp_path):
    (module,) = Workspace.create(tmp_path / "demo").trainers.glob("*.py")
    spec = importlib.util.spec_from_file_location(module.stem, module)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    assert sorted(name for name in vars(loaded) if not name.startswith("_")) == sorted(NAMES)
