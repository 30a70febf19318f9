# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks of a chain that are their own teachers, by auxiliary heads."""
import json
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.structures import DataSample
from torch.nn import functional as F

from mmdgkd import ConfigError
from mmdgkd.chain.chain import Chain
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.fileio.checkpoint import read_checkpoint


@pytest.fixture
def byot_cfg(tiny_cfg, root):
    """A function that gives a ResNet-20 of depth 8, and 8 with heads."""

    def make(epochs=2, **kwargs):
        cfg = tiny_cfg(epochs,
                       root / 'configs/byot/resnet20_to_resnet8_digits.py',
                       **kwargs)
        cfg.chain.networks.resnet14 = None
        cfg.chain.networks.resnet20.model.backbone.depth = 8
        return cfg

    return make


def test_the_losses_of_the_heads_by_hand(byot_cfg):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(byot_cfg().chain.networks.resnet8.model).train()
    images, labels = torch.randn(6, 3, 8, 8), torch.arange(6)
    losses = model(
        images, [DataSample().set_gt_label(int(i)) for i in labels],
        mode='loss')
    network, heads = model.student, model.distiller.connectors
    maps = [images]
    backbone = network.backbone
    maps.append(
        backbone.layer1(backbone.relu(backbone.norm1(backbone.conv1(images)))))
    maps.append(backbone.layer2(maps[1]))
    features = backbone.layer3(maps[2]).mean((2, 3))
    logits = network.head.fc(features)
    total = F.cross_entropy(logits, labels)
    torch.testing.assert_close(losses['student.loss'], total)
    for i in (1, 2):
        feature, said = heads[f'head{i}'](maps[i])
        wanted = dict(
            label=.7 * F.cross_entropy(said, labels),
            soft=.3 * 9 * F.kl_div(
                (said / 3).log_softmax(1), (logits / 3).softmax(1),
                reduction='batchmean'),
            feat=.03 * (feature - features).square().sum().sqrt())
        for what, loss in wanted.items():
            torch.testing.assert_close(losses[f'distill.loss_{what}_{i}'],
                                       loss)
    # The last layer learns from the labels alone.
    sum(loss for key, loss in losses.items() if 'distill' in key).backward()
    assert network.head.fc.weight.grad is None
    assert backbone.conv1.weight.grad.abs().sum() > 0


def test_killed_and_resumed_and_its_file_has_no_heads(byot_cfg,
                                                      killed_and_whole):
    whole, torn = (byot_cfg(work_dir=name) for name in ('whole', 'torn'))
    one, other = killed_and_whole(whole, torn, 'resnet8', 3)
    assert one.keys() == other.keys()
    assert all(torch.equal(data, other[key]) for key, data in one.items())
    assert {key.split('.')[0] for key in one} == {'backbone', 'head'}
    states = [
        read_checkpoint(f'{cfg.work_dir}/resnet8/epoch_2.pth',
                        '')['state_dict'] for cfg in (whole, torn)
    ]
    heads = [key for key in states[0] if '.connectors.head1.' in key]
    assert heads and all(
        torch.equal(states[0][key], states[1][key]) for key in heads)
    alone = Config.fromfile(f'{whole.work_dir}/resnet8/resnet8.py')
    assert alone.model.type == 'ImageClassifier'

    (path, ) = Path(whole.work_dir, 'resnet8').glob('*/vis_data/scalars.json')
    logged = json.loads(path.read_text().splitlines()[0])
    assert {
        'student.student.loss', 'student.distill.loss_soft_2',
        'distill.kd.resnet20'
    } < logged.keys()
    whole.resume = True
    runner = ChainRunner(whole)
    last = runner.work.ledger['resnet8']['metric']['last']
    assert runner.test('resnet8')['resnet8']['accuracy/top1'] == (
        pytest.approx(last))


def test_the_chain_is_read_again_as_it_was_written(byot_cfg):
    chain = Chain.from_cfg(byot_cfg().chain)
    assert chain['resnet8'].model['type'] == 'ImageClassifier'
    assert chain['resnet8'].trainer['type'] == 'mmrazor.SelfDistill'
    assert Chain.from_cfg(chain.to_cfg()) == chain


@pytest.mark.parametrize('change, message', [
    (lambda model, cfg: model.pop('architecture'),
     'chain.networks.resnet8.model.architecture: is missing; it must be the'),
    (lambda model, cfg: model.distiller.student_recorders.stage1.update(
        source='backbone.layer9'),
     'chain.networks.resnet8.model: cannot be built ("backbone.layer9" is'),
    (lambda model, cfg: model.distiller.connectors.head1.update(type='No'),
     'chain.networks.resnet8.model: cannot be built ('),
    (lambda model, cfg: cfg.model.update(task_loss_weight=0),
     'model.task_loss_weight: 0; the heads in chain.networks.'),
])
def test_what_is_wrong_is_said_before_any_training(byot_cfg, change, message):
    cfg = byot_cfg(1)
    change(cfg.chain.networks.resnet8.model, cfg)
    with pytest.raises(ConfigError, match='^' + re.escape(message)) as info:
        ChainRunner(cfg).plan()
    assert '\n' not in str(info.value)
