# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Each repair, and what happens without it."""
import importlib
import inspect
import io
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmcv.cnn import ConvModule
from mmcv.cnn.bricks import HSigmoid, transformer
from mmcv.utils import ext_loader
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import checkpoint
from mmengine.utils.dl_utils import misc
from mmpretrain.models import ImageClassifier
from mmrazor.models.algorithms import BaseAlgorithm
from mmrazor.models.architectures.classifiers import image
from mmrazor.models.losses import KDSoftCELoss
from mmrazor.models.mutables import OneShotMutableOP
from mmrazor.models.task_modules import ModuleOutputsRecorder
from mmrazor.models.task_modules.demo_inputs import DefaultMMClsDemoInput
from mmrazor.registry import MODELS
from mmrazor.structures import Candidates
from packaging.version import Version
from torch import nn

import mmdgkd
from mmdgkd import compat
from mmdgkd.compat.__main__ import main
from mmdgkd.compat.fork_repairs import WeightsOnly
from mmdgkd.compat.mmengine_repairs import (CompiledOps,
                                            _history_buffer_method,
                                            get_installed_path, is_installed)

SYMPTOMS = {repair.name: symptom for repair, symptom in compat.apply()}


def run_python(code, *args):
    return subprocess.run([sys.executable, '-c', code, *args],
                          capture_output=True,
                          text=True)


class BnRelu(BaseModel):
    """The ReLU overwrites what a recorder of BN has recorded."""

    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm2d(2).eval()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.relu(self.bn(inputs))


@pytest.mark.parametrize('repaired', [True, False])
def test_a_record_before_an_in_place_relu(repaired):
    model = BnRelu()
    inputs = torch.tensor([-1.0, 2.0, 3.0, -4.0]).reshape(1, 2, 1, 2)
    if repaired:
        BaseAlgorithm(model)
    recorder = ModuleOutputsRecorder('bn')
    recorder.initialize(model)
    with recorder:
        model(inputs)
    # A fresh BN in eval mode divides by sqrt(1 + eps) and does no more.
    expected = inputs / (1 + model.bn.eps)**0.5
    torch.testing.assert_close(recorder.get_record_data(),
                               expected if repaired else expected.relu())


def test_in_place_modules_inside_of_a_conv_module():
    model = BnRelu()
    model.conv = ConvModule(2, 2, 1, inplace=True)
    BaseAlgorithm(model)
    assert not model.conv.activate.inplace


def test_mmrazors_own_switch_leaves_in_place_modules():
    """The condition still holds; if not, the repair may go."""
    assert ('inplace=True' in SYMPTOMS['in-place modules']) == (
        type(nn.Module()._modules) is dict)


def runner_checkpoint():
    """What MMEngine saves: history buffers and NumPy numbers."""
    import numpy as np
    return dict(
        meta=dict(epoch=np.int64(3), best=np.float32(1.5)),
        message_hub=HistoryBuffer([1.0, 2.0], [1, 1]),
        state_dict=dict(weight=torch.ones(2)))


@pytest.mark.skipif(
    SYMPTOMS['checkpoints'] is None, reason='this torch loads everything')
def test_mmengines_checkpoints_load_with_weights_only():
    file = io.BytesIO()
    torch.save(runner_checkpoint(), file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    assert loaded['message_hub'].mean() == 1.5
    assert loaded['meta']['epoch'] == 3


class Malicious:

    def __reduce__(self):
        return os.mkdir, ('pwned', )


def test_weights_only_stays_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(dict(state_dict=Malicious()), 'bad.pth')
    with pytest.raises(Exception, match='(?i)weights.only'):
        torch.load('bad.pth', weights_only=True)
    assert not (tmp_path / 'pwned').exists()


def reads_again(file, map_location=None, weights_only=None):
    """As OneDL's mmengine reads a checkpoint."""
    try:
        return torch.load(file, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError:
        return torch.load(file, map_location=map_location, weights_only=False)


def test_what_is_refused_is_not_read_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(dict(state_dict=Malicious()), 'bad.pth')
    torch.save(runner_checkpoint(), 'good.pth')
    monkeypatch.setattr(
        checkpoint, '_safe_torch_load', reads_again, raising=False)
    assert 'weights_only=False' in WeightsOnly.symptom()
    WeightsOnly.fix()
    with pytest.raises(pickle.UnpicklingError):
        checkpoint._safe_torch_load('bad.pth', map_location='cpu')
    assert not (tmp_path / 'pwned').exists()
    for _ in range(2):
        loaded = checkpoint._safe_torch_load('good.pth')
        assert loaded['message_hub'].mean() == 1.5


@pytest.mark.skipif(
    SYMPTOMS['checkpoints'] is None or SYMPTOMS['weights only'] is None
    and Version(torch.__version__).release < (2, 6),
    reason="the default of this torch is not weights-only")
def test_mmengine_itself_reads_weights_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(dict(state_dict=Malicious()), 'bad.pth')
    torch.save(runner_checkpoint(), 'good.pth')
    for _ in range(2):
        loaded = checkpoint.load_checkpoint(nn.Linear(1, 1), 'good.pth')
        assert loaded['meta']['epoch'] == 3
        with pytest.raises(pickle.UnpicklingError):
            checkpoint.load_checkpoint(nn.Linear(1, 1), 'bad.pth')
    assert not (tmp_path / 'pwned').exists()


@pytest.mark.parametrize('owner, name', [(os, 'system'), (HistoryBuffer, 'x'),
                                         (HistoryBuffer, '__class__')])
def test_a_checkpoint_looks_up_history_buffer_methods_only(owner, name):
    with pytest.raises((ValueError, AttributeError)):
        _history_buffer_method(owner, name)
    assert _history_buffer_method(HistoryBuffer, 'mean') is HistoryBuffer.mean


def test_soft_ce_of_mmrazor_is_computed():
    preds_S, preds_T = torch.randn(4, 5), torch.randn(4, 5)
    expected = -(preds_T.softmax(1) * preds_S.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(KDSoftCELoss()(preds_S, preds_T), expected)


def test_other_names_of_mmcls_are_found_and_mmcls_is_not_left_behind():
    assert 'mmcls' not in sys.modules
    assert 'SearchableMobileNetV2' in MODELS.module_dict
    assert image.ImageClassifier is ImageClassifier


def test_a_config_inherits_from_the_configs_of_mmdgkd(tmp_path):
    """Also where it is installed; without a scope, which has no registry."""
    path = tmp_path / 'chain.py'
    path.write_text("_base_ = ['mmdgkd::_base_/schedules/sgd_160e.py', "
                    "'mmdgkd::_base_/distillers/dense_kd_averaged.py', "
                    "'mmpretrain::_base_/default_runtime.py']\n")
    cfg = Config.fromfile(str(path))
    assert cfg.model.distiller.distill_losses.loss_kd.form == 'averaged'
    assert '_scope_' not in cfg.optim_wrapper
    assert cfg.default_hooks.timer._scope_ == 'mmpretrain'
    path.write_text("_base_ = 'mmdgkd::none.py'")
    with pytest.raises(FileNotFoundError, match='configs/none.py'):
        Config.fromfile(str(path))


UNREPAIRED = """
import os, sys, types
import torch
if os.fork() == 0:
    # A failed import leaves half of it behind: in a process of its own.
    try:
        import mmrazor.models
    except ImportError as error:
        print('no repair:', error, flush=True)
    os._exit(0)
os.wait()
# The package without its __init__, so that only some are applied.
package = types.ModuleType('mmdgkd')
package.__path__ = [sys.argv[1]]
sys.modules['mmdgkd'] = package
from mmdgkd.compat import REPAIRS
from mmdgkd.compat.mmrazor_repairs import MMClsNames
for repair in REPAIRS[:REPAIRS.index(MMClsNames)]:
    repair.symptom() and repair.fix()
from mmrazor.models.losses import KDSoftCELoss
try:
    KDSoftCELoss()(torch.zeros(1, 2), torch.zeros(1, 2))
except Exception as error:
    print('no names:', type(error).__name__, *str(error).split())
"""


def test_each_repair_is_made():
    parts = [
        importlib.import_module(f'mmdgkd.compat.{part.stem}')
        for part in Path(mmdgkd.__path__[0], 'compat').glob('*_repairs.py')
    ]
    assert {
        value
        for part in parts
        for value in vars(part).values()
        if hasattr(value, 'symptom') and hasattr(value, 'fix')
    } == set(compat.REPAIRS)
    assert len(set(compat.REPAIRS)) == len(compat.REPAIRS)


@pytest.mark.slow
def test_without_the_repairs_of_imports():
    done = run_python(UNREPAIRED, mmdgkd.__path__[0])
    found = dict(line.split(': ', 1) for line in done.stdout.splitlines())
    assert 'torch>=1.13' in found['no repair'], done.stderr
    assert 'PlaceHolder' in found['no names'], done.stderr


NO_PKG_RESOURCES = """
import importlib.util, runpy, sys, types
import torch, torch.nn, torch.serialization, mmengine.runner
import torch._dynamo  # wraps some functions of torch itself
from mmengine.config import Config

find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *args: (
    None if name == 'pkg_resources' else find(name, *args))
sys.modules['pkg_resources'] = None
checkpoint, config = sys.argv[1:]

def use():
    for key, function in dict(
            config=lambda: Config.fromfile(config).default_scope,
            checkpoint=lambda: torch.load(
                checkpoint, weights_only=True)['meta']['epoch']).items():
        try:
            print(key, function())
        except Exception as error:
            print(key, type(error).__name__, *str(error).split())

use()
modules = (torch, torch.nn, torch.nn.Module, torch.serialization)
before = [dict(vars(module)) for module in modules]
import mmdgkd
from mmdgkd import compat
use()
first = list(compat.apply())
assert compat.apply() == first
for module, old in zip(modules, before):
    for key, value in vars(module).items():
        if key not in old:
            # Python itself binds a submodule that is imported.
            assert isinstance(value, types.ModuleType), (module, key)
        elif key not in ('__warningregistry__', ):
            assert value is old[key], (module, key)
"""


def test_configs_and_checkpoints_before_and_after(tmp_path):
    """Without pkg_resources; apply sets nothing of torch, and works once."""
    torch.save(runner_checkpoint(), tmp_path / 'a.pth')
    (tmp_path /
     'c.py').write_text("_base_ = 'mmpretrain::_base_/default_runtime.py'")
    done = run_python(NO_PKG_RESOURCES, tmp_path / 'a.pth', tmp_path / 'c.py')
    assert done.returncode == 0, done.stderr
    lines = [
        line.split() for line in done.stdout.splitlines()
        if line.startswith(('config', 'checkpoint'))
    ]
    # OneDL's MMEngine does without it.
    if SYMPTOMS['weights only'] is None:
        assert lines[0][1] == 'ModuleNotFoundError'
        assert 'pkg_resources' in ' '.join(lines[0])
    assert lines[2] == ['config', 'mmpretrain']
    assert SYMPTOMS['checkpoints'] is None or lines[1][1] == 'UnpicklingError'
    assert lines[3] == ['checkpoint', '3']


def test_package_lookup_knows_names_of_distributions_and_modules():
    assert get_installed_path('mmpretrain').endswith('mmpretrain')
    assert get_installed_path('scikit-learn').endswith('sklearn')
    assert is_installed('mmengine') and not is_installed('no_such_thing')


def test_three_warnings_of_others_are_filtered_and_no_more():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        HSigmoid()
        sys.modules.pop('pkg_resources', None)
        try:
            import pkg_resources  # noqa: F401
        except ImportError:
            pass
        before = [
            str(item.message) for item in caught if any(
                text in str(item.message) for text in compat.SILENCED)
        ]
        del caught[:]
        compat.silence_warnings()
        for message in (*before, compat.SILENCED[2], 'mine'):
            warnings.warn(message)
    assert len(before) >= 1
    assert [str(item.message) for item in caught] == ['mine']
    assert compat.SILENCED[2] in inspect.getsource(transformer)


def test_the_command_prints_each_repair_and_its_cause(capsys):
    main()
    printed = capsys.readouterr().out
    for repair, symptom in compat.apply():
        state = 'in force' if symptom else 'not needed'
        assert f'{repair.name}: {state}\n' in printed
        assert ' '.join(repair.__doc__.split()) in printed


def test_a_classifier_of_mmpretrain_is_traced_for_pruning():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(
                type='ImageClassifier',
                data_preprocessor=dict(mean=[1.] * 3, std=[2.] * 3),
                backbone=dict(type='ResNet6n2', depth=8),
                head=dict(type='LinearClsHead', num_classes=2,
                          in_channels=64)))
    data = DefaultMMClsDemoInput().get_data(model, [2, 3, 8, 8])
    assert data['inputs'].shape == (2, 3, 8, 8)
    # It is normalized, from between 0 and 1.
    assert -.5 <= data['inputs'].min() and data['inputs'].max() <= 0
    assert [int(sample.gt_label) for sample in data['data_samples']] == [0, 0]


def test_a_sampled_choice_can_be_read_again():
    choice = OneShotMutableOP(nn.ModuleDict(
        dict(one=nn.Identity()))).sample_choice()
    assert Candidates([dict(a=choice)]).subnets == [dict(a='one')]


@pytest.mark.skipif(
    not hasattr(misc, 'pkgutil'), reason="OneDL's mmengine does without")
def test_compiled_ops_are_looked_for_without_pkgutil(monkeypatch):
    for module in (misc, ext_loader):
        monkeypatch.setattr(module, 'pkgutil', SimpleNamespace())
    assert 'find_loader' in CompiledOps.symptom()
    CompiledOps.fix()
    assert CompiledOps.symptom() is None
    assert misc.mmcv_full_available() == ext_loader.check_ops_exist()
    assert misc.mmcv_full_available() == is_installed('mmcv._ext')
