# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""How heads and their losses read logits."""
import pytest
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from mmrazor.models.losses import KLDivergence, L2Loss
from torch import nn

from mmdgkd.models.utils import heads
from mmdgkd.models.utils.heads import activation_of, fit_to_head

SIGMOID = dict(type='CrossEntropyLoss', use_sigmoid=True)


def built(**head):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return nn.ModuleDict(dict(head=MODELS.build(head)))


@pytest.mark.parametrize('head, wanted', [
    (dict(type='LinearClsHead', num_classes=3, in_channels=8), 'softmax'),
    (dict(type='ArcFaceClsHead', num_classes=3, in_channels=8), 'softmax'),
    (dict(type='MultiLabelLinearClsHead', num_classes=3,
          in_channels=8), 'sigmoid'),
    (dict(type='MultiLabelClsHead',
          loss=dict(type='AsymmetricLoss')), 'sigmoid'),
    (dict(
        type='CSRAClsHead', num_classes=3, in_channels=8, num_heads=1,
        lam=.1), 'sigmoid'),
    (dict(type='ClsHead', loss=SIGMOID), 'sigmoid'),
    (dict(type='ClsHead', loss=dict(type='FocalLoss')), 'sigmoid'),
    (dict(
        type='ClsHead',
        loss=dict(
            type='LabelSmoothLoss',
            label_smooth_val=.1,
            num_classes=3,
            mode='multi_label',
            use_sigmoid=True)), 'sigmoid'),
    (dict(
        type='ClsHead',
        loss=dict(type='LabelSmoothLoss', label_smooth_val=.1,
                  num_classes=3)), 'softmax'),
])
def test_heads_of_mmpretrain(head, wanted):
    assert activation_of(built(**head)) == wanted


def test_losses_by_softmax_alone_get_a_warning(monkeypatch):
    lines = []
    monkeypatch.setattr(heads, 'print_log',
                        lambda line, **_: lines.append(line))
    losses = nn.ModuleDict(dict(a=KLDivergence(), b=L2Loss()))
    fit_to_head(losses, built(type='ClsHead'))
    assert not lines
    fit_to_head(losses, built(type='MultiLabelClsHead'))
    assert len(lines) == 1 and 'KLDivergence compares softmax' in lines[0]


def test_a_wrapper_with_a_loss_of_its_own():
    network = nn.Module()
    assert activation_of(network) is None
    for loss, wanted in ((nn.CrossEntropyLoss(), 'softmax'),
                         (nn.BCEWithLogitsLoss(), 'sigmoid')):
        network.loss_module = loss
        assert activation_of(network) == wanted
    network.head = nn.Linear(2, 2)
    assert activation_of(network) is None
