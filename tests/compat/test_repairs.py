# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Each repair, and what happens without it."""
import io
import os
import subprocess
import sys

import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmrazor.models.algorithms import BaseAlgorithm
from mmrazor.models.losses import KDSoftCELoss
from mmrazor.models.task_modules import ModuleOutputsRecorder
from mmrazor.registry import MODELS
from torch import nn

import mmdgkd  # noqa: F401
from mmdgkd import compat
from mmdgkd.compat.checkpoints import _history_buffer_method


def run_python(code, *flags):
    return subprocess.run([sys.executable, *flags, '-c', code],
                          capture_output=True,
                          text=True)


class ConvBnRelu(BaseModel):
    """Records would be overwritten by the ReLU."""

    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm2d(2).eval()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.relu(self.bn(inputs))


def record_bn(model, inputs):
    recorder = ModuleOutputsRecorder('bn')
    recorder.initialize(model)
    with recorder:
        model(inputs)
    return recorder.get_record_data()


def test_a_record_before_an_in_place_relu_is_what_bn_computed():
    model = ConvBnRelu()
    inputs = torch.tensor([-1.0, 2.0, 3.0, -4.0]).reshape(1, 2, 1, 2)
    BaseAlgorithm(model)
    # A fresh BN in eval mode divides by sqrt(1 + eps) and does no more.
    expected = inputs / (1 + model.bn.eps)**0.5
    torch.testing.assert_close(record_bn(model, inputs), expected)


def test_without_the_repair_the_record_is_what_relu_left():
    model = ConvBnRelu()
    inputs = torch.tensor([-1.0, 2.0, 3.0, -4.0]).reshape(1, 2, 1, 2)
    assert (record_bn(model, inputs) >= 0).all()


def test_mmrazors_own_switch_leaves_in_place_modules():
    """The condition still holds; if not, the repair may go."""
    done = run_python('import mmdgkd.compat as c\n'
                      'for r, s in c.apply(): print(r.name, "|", s)')
    line = next(line for line in done.stdout.splitlines()
                if line.startswith('in-place'))
    assert ('as it is' in line) == (type(nn.Module()._modules)
                                    is dict), done.stderr


def test_modules_inside_of_one_with_the_attribute_are_switched_too():
    from mmcv.cnn import ConvModule
    model = ConvBnRelu()
    model.conv = ConvModule(2, 2, 1, inplace=True)
    BaseAlgorithm(model)
    assert not model.conv.activate.inplace


def runner_checkpoint():
    """What MMEngine saves: history buffers and NumPy numbers."""
    buffer = HistoryBuffer()
    for value in (1.0, 2.0):
        buffer.update(value)
    import numpy as np
    return dict(
        meta=dict(epoch=np.int64(3), best=np.float32(1.5)),
        message_hub=dict(log_scalars={'train/loss': buffer}),
        state_dict=dict(weight=torch.ones(2)))


SYMPTOMS = {repair.name: symptom for repair, symptom in compat.apply()}
needs_allow_list = pytest.mark.skipif(
    SYMPTOMS['checkpoints'] is None, reason='this torch loads everything')


@needs_allow_list
def test_mmengines_checkpoints_load_with_weights_only():
    file = io.BytesIO()
    torch.save(runner_checkpoint(), file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    assert loaded['message_hub']['log_scalars']['train/loss'].mean() == 1.5
    assert loaded['meta']['epoch'] == 3


@needs_allow_list
def test_without_the_repair_they_do_not(tmp_path):
    path = tmp_path / 'checkpoint.pth'
    torch.save(runner_checkpoint(), path)
    done = run_python(
        f'import torch; torch.load({str(path)!r}, weights_only=True)')
    assert done.returncode and 'UnpicklingError' in done.stderr


class Malicious:

    def __reduce__(self):
        return os.mkdir, ('pwned', )


def test_weights_only_stays_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(dict(state_dict=Malicious()), 'bad.pth')
    with pytest.raises(Exception, match='(?i)weights.only'):
        torch.load('bad.pth', weights_only=True)
    assert not (tmp_path / 'pwned').exists()


@pytest.mark.parametrize('owner, name', [(os, 'system'), (HistoryBuffer, 'x'),
                                         (HistoryBuffer, '__class__')])
def test_a_checkpoint_looks_up_history_buffer_methods_only(owner, name):
    with pytest.raises((ValueError, AttributeError)):
        _history_buffer_method(owner, name)
    assert _history_buffer_method(HistoryBuffer, 'mean') is HistoryBuffer.mean


def test_without_the_cut_mmrazor_models_does_not_import():
    done = run_python('import mmrazor.models')
    assert done.returncode and 'torch>=1.13' in done.stderr


def test_soft_ce_of_mmrazor_is_computed():
    preds_S, preds_T = torch.randn(4, 5), torch.randn(4, 5)
    expected = -(preds_T.softmax(1) * preds_S.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(KDSoftCELoss()(preds_S, preds_T), expected)


def test_without_the_names_it_is_a_placeholder():
    done = run_python(f"""
import sys, types
# The package without its __init__, so that only the first three are applied.
package = types.ModuleType('mmdgkd')
package.__path__ = {mmdgkd.__path__!r}
sys.modules['mmdgkd'] = package
import mmdgkd.compat as compat
for repair in compat.REPAIRS[:3]:
    repair.diagnose() and repair.fix()
import torch
from mmrazor.models.losses import KDSoftCELoss
KDSoftCELoss()(torch.zeros(1, 2), torch.zeros(1, 2))
""")
    assert done.returncode and 'PlaceHolder' in done.stderr, done.stderr


def test_other_names_of_mmcls_are_found_and_mmcls_is_not_left_behind():
    assert 'mmcls' not in sys.modules
    assert 'SearchableMobileNetV2' in MODELS.module_dict
    from mmpretrain.models import ImageClassifier
    from mmrazor.models.architectures.classifiers import image
    assert image.ImageClassifier is ImageClassifier


NO_PKG_RESOURCES = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name == 'pkg_resources':
            raise ModuleNotFoundError("No module named 'pkg_resources'",
                                      name=name)
sys.modules.pop('pkg_resources', None)
import importlib.util as util
find = util.find_spec
util.find_spec = lambda name, *args: (
    None if name == 'pkg_resources' else find(name, *args))
sys.meta_path.insert(0, Block())
"""
USE_A_PACKAGE_CONFIG = """
from mmengine.config import Config
cfg = Config(dict(), cfg_text=' ')
import tempfile, os
path = os.path.join(tempfile.mkdtemp(), 'c.py')
open(path, 'w').write("_base_ = 'mmpretrain::_base_/default_runtime.py'")
print(Config.fromfile(path).default_scope)
"""


def test_package_configs_without_pkg_resources():
    done = run_python(NO_PKG_RESOURCES + 'import mmdgkd' +
                      USE_A_PACKAGE_CONFIG)
    assert done.stdout.split()[-1:] == ['mmpretrain'], done.stderr


def test_without_the_repair_they_need_pkg_resources():
    done = run_python(NO_PKG_RESOURCES + USE_A_PACKAGE_CONFIG)
    assert done.returncode and 'pkg_resources' in done.stderr


def test_package_lookup_knows_names_of_distributions_and_modules():
    from mmdgkd.compat.package_lookup import get_installed_path, is_installed
    assert get_installed_path('mmpretrain').endswith('mmpretrain')
    assert get_installed_path('scikit-learn').endswith('sklearn')
    assert is_installed('mmengine') and not is_installed('no_such_thing')


def test_apply_twice_changes_nothing_and_torch_is_left_alone():
    done = run_python("""
import torch, torch.nn, torch.serialization, mmengine.runner
import torch._dynamo  # wraps some functions of torch itself
import types
modules = (torch, torch.nn, torch.nn.Module, torch.serialization)
before = [dict(vars(module)) for module in modules]
import mmdgkd
from mmdgkd import compat
first = list(compat.apply())
assert compat.apply() == first
for module, old in zip(modules, before):
    for key, value in vars(module).items():
        if key not in old:
            # Python itself binds a submodule that is imported.
            assert isinstance(value, types.ModuleType), (module, key)
        elif key not in ('__warningregistry__', ):
            assert value is old[key], (module, key)
print('same')
""")
    assert done.stdout.split()[-1:] == ['same'], done.stderr


def test_the_command_prints_each_repair_and_its_cause():
    done = subprocess.run([sys.executable, '-m', 'mmdgkd.compat'],
                          capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    assert 'RuntimeWarning' not in done.stderr
    for repair in compat.REPAIRS:
        assert f'{repair.name}: ' in done.stdout
        assert repair.cause in done.stdout


def test_a_classifier_of_mmpretrain_is_traced_for_pruning():
    from mmengine.registry import DefaultScope
    from mmrazor.models.task_modules.demo_inputs import DefaultMMClsDemoInput
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
    from mmrazor.models.mutables import OneShotMutableOP
    from mmrazor.structures import Candidates
    choice = OneShotMutableOP(
        torch.nn.ModuleDict(dict(one=torch.nn.Identity()))).sample_choice()
    assert Candidates([dict(a=choice)]).subnets == [dict(a='one')]


def test_noise_goes_to_the_device_of_the_generator():
    from mmrazor.models.architectures.generators import DAFLGenerator
    generator = DAFLGenerator(8, 4, 2).to('meta')
    images = generator(torch.empty(5, 4, device='meta'), 5)
    assert images.device.type == 'meta' and images.shape == (5, 3, 8, 8)
