# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks of a chain that are their own teachers, by auxiliary heads."""
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.structures import DataSample
from torch.nn import functional as F

from mmdgkd import ConfigError
from mmdgkd.chain.runner import ChainRunner


@pytest.fixture
def byot_cfg(trial_cfg):
    """A function that gives a ResNet-8 with heads, after a given one."""
    return lambda: trial_cfg('byot')


@pytest.mark.xdist_group('contract_byot')
def test_its_file_has_no_heads(tried):
    cfg = tried('byot').cfg
    alone = Config.fromfile(f'{cfg.work_dir}/resnet8/resnet8.py')
    assert alone.model.type == 'ImageClassifier'
    state = torch.load(
        f'{cfg.work_dir}/resnet8/resnet8.pth', weights_only=True)['state_dict']
    assert {key.split('.')[0] for key in state} == {'backbone', 'head'}


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
        feature, output = heads[f'head{i}'](maps[i])
        wanted = dict(
            label=.7 * F.cross_entropy(output, labels),
            soft=.3 * 9 * F.kl_div(
                (output / 3).log_softmax(1), (logits / 3).softmax(1),
                reduction='batchmean'),
            feat=.03 * (feature - features).square().sum().sqrt())
        for what, loss in wanted.items():
            torch.testing.assert_close(losses[f'distill.loss_{what}_{i}'],
                                       loss)
    # The last layer learns from the labels alone.
    sum(loss for key, loss in losses.items() if 'distill' in key).backward()
    assert network.head.fc.weight.grad is None
    assert backbone.conv1.weight.grad.abs().sum() > 0


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
def test_mistakes_are_refused_before_any_training(byot_cfg, change, message):
    cfg = byot_cfg()
    change(cfg.chain.networks.resnet8.model, cfg)
    with pytest.raises(ConfigError, match='^' + re.escape(message)) as info:
        ChainRunner(cfg).plan()
    assert '\n' not in str(info.value)
