# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""MMRazor's quantizers on a current PyTorch."""
import operator
import sys
from copy import deepcopy

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from mmrazor.models.task_modules.tracer import fx
from mmrazor.registry import MODELS
from mmrazor.structures.quantization import BackendConfigs
from torch import nn
from torch.ao.nn.intrinsic.qat import ConvBn2d
from torch.ao.quantization import disable_observer

from mmdgkd.compat.mmrazor_repairs import Quantization

QSCHEMES = dict(
    w_qscheme=dict(
        qdtype='qint8', bit=8, is_symmetry=True, is_symmetric_range=True),
    a_qscheme=dict(
        qdtype='quint8', bit=8, is_symmetry=True, averaging_constant=0.1))
MIN_MAX = dict(
    QSCHEMES,
    w_observer=dict(type='mmrazor.PerChannelMinMaxObserver'),
    a_observer=dict(type='mmrazor.MovingAverageMinMaxObserver'),
    w_fake_quant=dict(type='mmrazor.FakeQuantize'),
    a_fake_quant=dict(type='mmrazor.FakeQuantize'))
PER_TENSOR = dict(MIN_MAX, w_observer=dict(type='mmrazor.MinMaxObserver'))
LSQ = dict(
    w_qscheme=QSCHEMES['w_qscheme'],
    a_qscheme=dict(qdtype='quint8', bit=8, is_symmetry=True),
    w_observer=dict(type='mmrazor.LSQPerChannelObserver'),
    a_observer=dict(type='mmrazor.LSQObserver'),
    w_fake_quant=dict(type='mmrazor.LearnableFakeQuantize'),
    a_fake_quant=dict(type='mmrazor.LearnableFakeQuantize'))
TRACER = dict(
    type='mmrazor.CustomTracer',
    skipped_methods=[
        'mmpretrain.models.heads.ClsHead._get_loss',
        'mmpretrain.models.heads.ClsHead._get_predictions'
    ])


def quantized(quantizer, qconfig):
    """A small quantized classifier."""
    key = 'global_qconfig'
    if quantizer == 'AcademicQuantizer':
        key, qconfig = 'qconfig_mapping', dict(_global_=qconfig)
    head = dict(
        type='LinearClsHead', num_classes=4, in_channels=64, init_cfg=None)
    cfg = dict(
        type='mmrazor.MMArchitectureQuant',
        architecture=dict(
            type='ImageClassifier',
            backbone=dict(type='ResNet6n2', depth=8),
            neck=dict(type='GlobalAveragePooling'),
            head=head),
        input_shapes=(1, 3, 8, 8),
        quantizer={
            'type': f'mmrazor.{quantizer}',
            key: qconfig,
            'tracer': TRACER
        })
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(cfg)


@pytest.mark.parametrize('quantizer, qconfig', [
    ('TorchNativeQuantizer', MIN_MAX),
    ('OpenVINOQuantizer', MIN_MAX),
    ('TensorRTQuantizer', MIN_MAX),
    ('AcademicQuantizer', MIN_MAX),
    ('AcademicQuantizer', PER_TENSOR),
    ('OpenVINOQuantizer', LSQ),
])
def test_a_classifier_is_trained(quantizer, qconfig):
    model = quantized(quantizer, qconfig)
    images, samples = torch.randn(
        4, 3, 8, 8), [DataSample().set_gt_label(i) for i in range(4)]
    if qconfig is LSQ:
        from mmrazor.models.fake_quants import (enable_param_learning,
                                                enable_static_estimate)
        model.apply(enable_static_estimate)
        model(images, samples, mode='loss')
        model.apply(enable_param_learning)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    losses = []
    for _ in range(8):
        loss = model(images, samples, mode='loss')['loss']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    # Fused: one BN is left, none of them by itself.
    kinds = [type(module).__name__ for module in model.qmodels.loss.modules()]
    assert any(kind.startswith('ConvBn') for kind in kinds)
    # What was trained is what predicts.
    model.sync_qparams('loss')
    model.eval().apply(disable_observer)
    logits = model(images, mode='tensor')
    torch.testing.assert_close(
        model(images, samples, mode='loss')['loss'],
        nn.functional.cross_entropy(logits, torch.arange(4)))
    predicted = model(images, samples, mode='predict')
    assert [int(sample.pred_label)
            for sample in predicted] == logits.argmax(1).tolist()


def test_loops_of_qat_and_lsq_train_through_a_runner(runner, preprocessor):
    for qconfig, loop in ((MIN_MAX, 'QATEpochBasedLoop'),
                          (LSQ, 'LSQEpochBasedLoop')):
        model = quantized('OpenVINOQuantizer', qconfig)
        model.data_preprocessor = MODELS.build(preprocessor)
        run = runner(
            model,
            train_cfg=dict(
                type=f'mmrazor.{loop}', max_epochs=2, freeze_bn_begin=2),
            val_cfg=dict(type='mmrazor.QATValLoop'))
        seen = []
        run.register_hook(Metrics(seen))
        run.train()
        # The quantized network and the one in floats, after each epoch.
        assert [sorted(metrics) for metrics in seen
                ] == [['qat.accuracy/top1'], ['original.accuracy/top1']] * 2
        fused = [
            module for module in model.qmodels.loss.modules()
            if isinstance(module, ConvBn2d)
        ]
        assert fused and all(module.freeze_bn for module in fused)
        assert not any(module.bn.training for module in fused)


class Metrics(Hook):
    """Keep the metrics of each validation."""

    def __init__(self, seen):
        self.seen = seen

    def after_val_epoch(self, runner, metrics=None):
        self.seen.append(metrics)


def test_ptq_calibrates_through_a_runner(runner, loader, preprocessor,
                                         tmp_path):
    model = quantized('OpenVINOQuantizer', MIN_MAX)
    model.data_preprocessor = MODELS.build(preprocessor)
    run = runner(
        model,
        val_cfg=dict(type='mmrazor.QATValLoop'),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        test_dataloader=loader,
        test_evaluator=dict(type='Accuracy', topk=(1, )),
        test_cfg=dict(
            type='mmrazor.PTQLoop',
            calibrate_dataloader=loader,
            calibrate_steps=2))
    run.test()
    path, = tmp_path.glob('*/model_ptq.pth')
    saved = torch.load(path, weights_only=True)['state_dict']
    key = 'qmodels.predict.activation_post_process_0.scale'
    assert torch.equal(saved[key], model.state_dict()[key]) and saved[key] != 1


@pytest.mark.parametrize('where, what, removed', [
    ('before_op', 'output', [17]),
    ('after_op', 'placeholder', [0]),
    ('before_method', 'view', [15, 16]),
    ('after_method', 'view', [17]),
    ('before_function', operator.add, [1, 4, 8, 9, 13, 14]),
    ('before_module', nn.Linear, [17]),
    ('after_module', nn.AdaptiveAvgPool2d, [16]),
])
def test_fake_quant_nodes_are_removed(where, what, removed):
    model = quantized('OpenVINOQuantizer', MIN_MAX).qmodels.tensor
    images = torch.randn(4, 3, 8, 8)
    model(images)
    model.eval().apply(disable_observer)
    less = getattr(fx, f'del_fakequant_{where}')(
        model, (what, ), inplace=False)
    names = {f'activation_post_process_{number}' for number in removed}
    assert targets(model) - targets(less) == names
    assert not names & set(less._modules)
    # As if it had never been there. One module may have several names.
    other = deepcopy(model)
    for name in names:
        other._modules[name] = nn.Identity()
    less.recompile()
    assert torch.equal(less(images), other(images))


def targets(model):
    """The names of the modules that a graph calls."""
    return {node.target for node in model.graph.nodes if 'module' in node.op}


def test_weights_are_rounded_to_eight_bits():
    model = quantized('OpenVINOQuantizer', MIN_MAX)
    conv = model.qmodels.tensor.backbone.conv1
    weight = conv.weight.detach()
    found = conv.weight_fake_quant(weight)
    scale = weight.abs().amax((1, 2, 3), keepdim=True) / 127
    torch.testing.assert_close(found, (weight / scale).round() * scale)


def test_backends_know_convolutions():
    assert set(BackendConfigs) == {
        'academic', 'native', 'tensorrt', 'openvino'
    }
    for backend in BackendConfigs.values():
        patterns = [config.pattern for config in backend.configs]
        assert nn.Conv2d in patterns and nn.Linear in patterns
        assert (nn.Conv2d, nn.BatchNorm2d, nn.ReLU) in patterns


def test_a_pytorch_without_it_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules,
                        f'{Quantization.own}._common_operator_config_utils',
                        None)
    with pytest.raises(
            ImportError,
            match='^mmdgkd needs a PyTorch with torch.ao.quantization'):
        Quantization.fix()
