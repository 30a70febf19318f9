# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Every option computes what the teacher computes, within stated bounds."""
import copy

import pytest
import torch
from mmengine.registry import DefaultScope
from mmrazor.registry import MODELS
from torch import nn
from torch.overrides import TorchFunctionMode

from mmdgkd import ConfigError
from mmdgkd.models.teachers.frozen_teachers import FrozenTeachers
from mmdgkd.models.teachers.teacher_options import TeacherOptions

INPUTS = torch.randn(16, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Swapped(nn.Module):
    """Lists its normalization after a convolution that it is not called on.
    """

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        nn.init.normal_(self.norm.running_mean)
        nn.init.uniform_(self.norm.running_var, 0.1, 4)

    def forward(self, inputs, mode='tensor'):
        return self.conv(self.norm(inputs).relu()).mean((2, 3))


def teacher_of(depth):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(
                type='ImageClassifier',
                data_preprocessor=dict(type='ClsDataPreprocessor'),
                backbone=dict(type='ResNet6n2', depth=depth),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(
                    type='LinearClsHead', num_classes=10, in_channels=64)))
    for _ in range(20):  # its statistics are no longer those of a fresh one
        model.train()(torch.randn(32, 3, 16, 16) * 2 + 1)
    return model.eval()


@pytest.fixture(scope='module')
def teacher():
    return teacher_of(14)


def logits_of(model, context=None, **options):
    """What is recorded of a copy under some options."""
    frozen = FrozenTeachers(
        dict(net=copy.deepcopy(model)), TeacherOptions.from_cfg(options))
    seen = []
    frozen.modules['net'].register_forward_hook(
        lambda module, inputs, output: seen.append(output))
    with context or torch.enable_grad():
        frozen.check(['net'], INPUTS)
        del seen[:]
        frozen.run(['net'], INPUTS)
        frozen.run(['net'], INPUTS)
    assert torch.equal(*seen) and not seen[0].requires_grad
    return seen[0]


def error_of(got, wanted):
    """The largest difference, as a share of the largest logit."""
    return float((got.float() - wanted).abs().max() / wanted.abs().max())


def test_by_default_the_bits_are_the_teachers_own(teacher):
    with torch.no_grad():
        assert torch.equal(logits_of(teacher), teacher(INPUTS, mode='tensor'))


@pytest.mark.parametrize('options, bound', [
    (dict(channels_last=True), 1e-5),
    (dict(fold_bn=True), 1e-5),
    (dict(fold_bn=True, channels_last=True), 1e-5),
    (dict(precision='bfloat16'), 0.03),
    (dict(precision='bfloat16', fold_bn=True, channels_last=True), 0.03),
])
def test_numerics(teacher, options, bound):
    wanted = logits_of(teacher)
    error = error_of(logits_of(teacher, **options), wanted)
    assert error <= bound
    if 'precision' in options:
        assert error > 1e-4, 'it was not run in bfloat16'


@pytest.mark.slow
def test_numerics_compiled(monkeypatch):
    """Without vector instructions, which take longer to be found and used."""
    monkeypatch.setattr('torch._inductor.config.cpp.vec_isa_ok', False)
    teacher = teacher_of(8)
    wanted = logits_of(teacher)
    assert error_of(logits_of(teacher, compile=True), wanted) <= 1e-5
    everything = dict(
        compile=True, fold_bn=True, channels_last=True, precision='bfloat16')
    assert error_of(logits_of(teacher, **everything), wanted) <= 0.03


def test_the_precision_is_their_own(teacher):
    autocast = torch.autocast('cpu', torch.bfloat16)
    wanted = logits_of(teacher)
    assert torch.equal(
        logits_of(teacher, autocast, precision='float32'), wanted)
    assert logits_of(teacher, autocast).dtype == torch.bfloat16
    options = TeacherOptions()
    assert options.running_precision('cpu') == 'float32'
    with autocast:
        assert options.running_precision('cpu') == 'bfloat16'
        assert TeacherOptions(
            precision='float32').running_precision('cpu') == 'float32'


def test_folding_is_done_in_a_copy(teacher):
    state = copy.deepcopy(teacher.state_dict())
    frozen = FrozenTeachers(dict(net=teacher), TeacherOptions(fold_bn=True))
    assert frozen.modules['net'] is not teacher
    assert not any(
        isinstance(module, nn.BatchNorm2d)
        for module in frozen.modules['net'].modules())
    frozen.check(['net'], INPUTS)
    frozen.run(['net'], INPUTS)
    assert state.keys() == teacher.state_dict().keys()
    for key, value in teacher.state_dict().items():
        assert torch.equal(value, state[key])


def test_a_teacher_that_cannot_be_folded_is_noticed():
    torch.manual_seed(0)
    model = Swapped()
    assert error_of(logits_of(model), logits_of(model)) == 0
    with pytest.raises(
            ConfigError,
            match='fold_bn: teacher "net" gives other '
            'outputs when it is folded'):
        logits_of(model, fold_bn=True)


class TenBits(TorchFunctionMode):
    """Rounds what float32 convolutions are given as TF32 does, to 10 bits."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in (torch.conv2d, nn.functional.conv2d):
            args = [((arg.view(torch.int32) + 0x1000) & ~0x1fff).view(
                torch.float32) if isinstance(arg, torch.Tensor)
                    and arg.dim() == 4 and arg.dtype == torch.float32 else arg
                    for arg in args]
        return func(*args, **(kwargs or {}))


def test_folding_is_checked_on_devices_of_low_precision():
    """Ampere and newer GPUs compute convolutions of float32 in TF32."""
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        deep = MODELS.build(
            dict(
                type='ImageClassifier',
                backbone=dict(type='ResNet6n2', depth=110),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(
                    type='LinearClsHead', num_classes=100, in_channels=64)))
    for module in deep.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = .5
    for _ in range(6):
        deep.train()(torch.randn(32, 3, 16, 16) * 2 + 1)
    deep.eval()
    frozen = FrozenTeachers(dict(net=deep), TeacherOptions(fold_bn=True))
    with torch.no_grad(), TenBits():
        outputs = [
            model(INPUTS, mode='tensor')
            for model in (frozen.modules['net'], deep)
        ]
        assert error_of(*outputs) > 1e-3, 'the precision is not low'
        frozen.check(['net'], INPUTS)
        with pytest.raises(ConfigError, match='when it is folded'):
            FrozenTeachers(dict(net=Swapped()),
                           TeacherOptions(fold_bn=True)).check(['net'], INPUTS)


@pytest.mark.parametrize('options, message', [
    (dict(channel_last=True), 'teacher_options.channel_last: is unknown; '
     '.* takes channels_last, precision, fold_bn, compile'),
    (dict(precision='bf16'), "teacher_options.precision: 'bf16' is none of"),
    (dict(fold_bn='yes'), "teacher_options.fold_bn: 'yes' must be True or"),
])
def test_bad_input(options, message):
    with pytest.raises(ConfigError, match=message):
        TeacherOptions.from_cfg(options)


def test_what_has_no_backbone_is_not_compiled():
    with pytest.raises(ConfigError, match='Swapped has no backbone'):
        FrozenTeachers(dict(net=Swapped()), TeacherOptions(compile=True))
