# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks of a chain that MMRazor quantizes in their stage."""
import os
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from torch.ao.nn.intrinsic.qat import ConvBn2d

from mmdgkd import ConfigError
from mmdgkd.chain.export.formats import FORMATS
from mmdgkd.chain.export.torch_export import export_chain
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.methods.qat.fixed_graph import FixedFakeQuantize
from mmdgkd.methods.qat.qat_hook import QATHook
from mmdgkd.utils import same_logits

NAME = 'resnet8_int8'


@pytest.fixture
def quantized_cfg(trial_cfg):
    """A function that gives a given ResNet-8, and one of 8 bits."""

    def make(epochs=1):
        cfg = trial_cfg('qat', epochs)
        cfg.chain.networks.last = None
        return cfg

    return make


def check_integers(path, plain):
    """Check that convolutions and sums are of integers, as a device runs it.
    """
    # A quarter of the floats, and the program.
    assert os.path.getsize(path) < 1.6 * plain.params
    if path.endswith('.pte'):
        # XNNPACK has all of them; others would be operators of their own.
        assert b'quantized_decomposed' not in Path(path).read_bytes()
    if path.endswith('.onnx'):
        onnx = pytest.importorskip('onnx')
        runtime = pytest.importorskip('onnxruntime')
        options = runtime.SessionOptions()
        options.optimized_model_filepath = path + '.run'
        runtime.InferenceSession(path, options)
        kinds = Counter(
            node.op_type for node in onnx.load(path + '.run').graph.node)
        assert kinds['QLinearConv'] == 9 and kinds['QLinearAdd'] == 3
        assert not kinds['Conv'] and not kinds['Add']


@pytest.mark.slow
@pytest.mark.xdist_group('contract_qat')
def test_its_levels_are_learned_and_exported(tried, built_from_file,
                                             monkeypatch):
    cfg, entry = tried('qat').cfg, tried('qat').ledger[NAME]
    # The graph that predicts has learned what the one in training has.
    model = built_from_file(cfg, NAME)
    loss, predict = (
        dict(model.qmodels[mode].named_buffers())
        for mode in ('loss', 'predict'))
    ranges = [name for name in predict if name.endswith(('scale', 'var'))]
    assert len(ranges) > 20
    assert all(torch.equal(loss[name], predict[name]) for name in ranges)
    scales = [loss[name] for name in ranges if name.endswith('scale')]
    assert not any((scale == 1).all() for scale in scales)

    chain = ChainRunner(cfg).chain
    ((path, found), ) = export_chain(cfg, chain, NAME).items()
    assert found.macs == entry['macs']
    program = torch.export.load(path)
    modules, convs = dict(model.qmodels['tensor'].named_modules()), 0
    for name, data in program.state_dict.items():
        if data.dim() != 4:
            continue
        # A convolution with its ReLU is a pair of modules.
        name = name.removeprefix('network.')
        while not hasattr(modules.get(name), 'weight_fake_quant'):
            name = name.rpartition('.')[0]
        assert data.dtype == torch.int8
        scale = modules[name].weight_fake_quant.scale
        assert torch.equal(
            program.state_dict[next(
                key for key in program.state_dict
                if name in key and key.endswith('scale'))], scale)
        assert data.abs().amax((1, 2, 3)).median() > 100
        convs += 1
    assert convs == 9
    images = torch.randint(0, 17, (3, 3, 8, 8), dtype=torch.uint8)
    with torch.no_grad():
        inputs = model.data_preprocessor(dict(inputs=list(images)))['inputs']
        wanted = model(inputs, mode='tensor')
        off = (program.module()(images) - wanted).abs()
    # On some processors an activation goes to the next level.
    assert off.max() < .05 * wanted.abs().max()

    # After two steps of training its logits are hardly larger than what
    # differs where integers are rounded otherwise.
    others = [
        name for name, form in FORMATS.items()
        if form.needs and all(map(find_spec, form.needs))
    ]
    with monkeypatch.context() as patch:
        patch.setattr(same_logits, '_LEVELS', .2)
        patch.setattr(same_logits, '_LEVELS_MEDIAN', .05)
        for path in export_chain(cfg, chain, NAME, formats=others):
            check_integers(path, found)

    # A range that is a tenth too wide is no rounding.
    before = FixedFakeQuantize.__init__

    def widened(self, learned):
        before(self, learned)
        self.scale *= 1.1

    monkeypatch.setattr(FixedFakeQuantize, '__init__', widened)
    with pytest.raises(ConfigError, match='gives other logits'):
        export_chain(cfg, chain, NAME)


@pytest.mark.slow
def test_batch_normalization_can_be_frozen(quantized_cfg, trained_resnet8,
                                           built_from_file):
    cfg = quantized_cfg(2)
    cfg.chain.networks[NAME].stage.custom_hooks = list(
        cfg.custom_hooks) + [dict(type='mmrazor.QATHook', freeze_bn_begin=1)]
    ChainRunner(cfg).train()
    graph = built_from_file(cfg, NAME).qmodels['loss']
    before = torch.load(trained_resnet8, weights_only=True)['state_dict']
    conv = graph.backbone.conv1
    assert isinstance(conv, ConvBn2d)
    assert torch.equal(conv.bn.running_mean,
                       before['backbone.bn1.running_mean'])


def test_mistakes(quantized_cfg, refused):
    cfg = quantized_cfg()
    cfg.chain.networks.again = dict(
        init_from=NAME, model=cfg.chain.networks.resnet8.model)
    with pytest.raises(
            ConfigError,
            match='again.init_from: "resnet8_int8" is trained by '
            'MMArchitectureQuant, and its weights alone'):
        ChainRunner(cfg).train()

    cfg = quantized_cfg()
    cfg.chain.logit_store = None
    recorder = dict(type='mmrazor.ModuleOutputs', source='backbone.layer3')
    cfg.chain.networks[NAME].stage.model = dict(
        distiller=dict(student_recorders=dict(maps=recorder)))
    refused(
        cfg, 'student_recorders.maps.source: "backbone.layer3" is no module '
        'of the student; similar: backbone.layer3.0.')


@pytest.mark.parametrize('change, message', [
    (dict(custom_hooks=[dict(type='EMAHook')]), 'custom_hooks: EMAHook: '
     'chain.networks.resnet8_int8 gets the sizes'),
    (dict(custom_hooks=[dict(type='mmrazor.FastNetworkHook', compile=True)]),
     'custom_hooks: FastNetworkHook.compile: '),
    (dict(
        train_cfg=dict(
            _delete_=True, type='mmrazor.QATEpochBasedLoop', max_epochs=1)),
     'train_cfg.type: chain.networks.resnet8_int8 needs no loop of its own'),
])
def test_what_does_not_go_with_it(quantized_cfg, change, message):
    cfg = quantized_cfg()
    cfg.chain.networks[NAME].stage.update(change)
    with pytest.raises(ConfigError, match=message):
        ChainRunner(cfg).train()
    assert not os.path.exists(cfg.work_dir)


@pytest.mark.parametrize('value', [0, -2, '3', True])
def test_an_epoch_that_is_none(value):
    with pytest.raises(
            ConfigError,
            match='QATHook.freeze_bn_begin: .* should '
            'be -1, or an epoch, 1 or more'):
        QATHook(freeze_bn_begin=value)


@pytest.mark.slow
def test_by_iterations_and_with_weights_of_their_own(quantized_cfg,
                                                     weights_of):
    """The file is written in the middle of an epoch, and is ready to use."""
    cfg = quantized_cfg()
    cfg.train_cfg = dict(by_epoch=False, max_iters=3, val_interval=3)
    cfg.train_dataloader.sampler.type = 'InfiniteSampler'
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook', by_epoch=False, interval=3)
    cfg.log_processor = dict(by_epoch=False)
    cfg.param_scheduler = None
    cfg.chain.networks[NAME].stage.optim_wrapper.paramwise_cfg = dict(
        norm_decay_mult=0.)
    runner = ChainRunner(cfg)
    last = runner.train()[NAME]['metric']['last']
    state = weights_of(cfg, NAME)
    flags = [
        data for name, data in state.items()
        if name.endswith('observer_enabled')
    ]
    assert flags and not any(flag.any() for flag in flags)
    tested = runner.test(NAME)[NAME]
    assert tested['accuracy/top1'] == pytest.approx(last)
    export_chain(cfg, runner.chain, NAME)


def test_graphs_with_buffers_of_their_own_begin_with_the_statistics(
        quantized_cfg):
    """As on a GPU, where moving a model parts what was shared."""
    cfg = quantized_cfg()
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.chain.networks[NAME].model)
    own = model.architecture.backbone.bn1
    own.running_mean = own.running_mean + 7
    bn = model.qmodels['loss'].backbone.conv1.bn
    assert (bn.running_mean == 0).all()
    hook, runner = QATHook(), type('Runner', (), dict(model=model, iter=0))
    hook.before_train(runner)
    assert (bn.running_mean == 7).all()
