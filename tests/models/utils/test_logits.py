# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The logits of networks of all kinds, found."""
from types import SimpleNamespace

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmpretrain.models import HuggingFaceClassifier, heads
from mmpretrain.models.heads import ClsHead, MultiLabelClsHead
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn
from torch.fx import Graph, GraphModule

from mmdgkd import ConfigError
from mmdgkd.models.utils.logits import (class_hint, class_scores, find_source,
                                        plain_source, recorded_scores,
                                        score_module, score_modules)

CLASSES, WIDTH = 5, 6


class Stem(nn.Module):
    """Features in the form that a head wants, given by name."""

    def __init__(self, form):
        super().__init__()
        self.form = form
        self.layer = nn.Linear(12, WIDTH)
        self.scores = nn.Linear(12, CLASSES)

    def forward(self, images):
        flat = images.flatten(1)
        one = self.layer(flat)
        return dict(
            vector=lambda: (one, ),
            scores=lambda: (self.scores(flat), ),
            token=lambda: ([one], ),
            tokens=lambda: ([one, one.flip(1)], ),
            pair=lambda: ([one, one.flip(1)], ),
            map=lambda: (one.view(-1, WIDTH, 1, 1), ))[self.form]()


# By head the features that it wants, and its settings.
LINEAR = dict(num_classes=CLASSES, in_channels=WIDTH)
HEADS = [
    ('ClsHead', 'scores', {}),
    ('LinearClsHead', 'vector', LINEAR),
    ('StackedLinearClsHead', 'vector', dict(LINEAR, mid_channels=[4])),
    ('VisionTransformerClsHead', 'token', dict(LINEAR, init_cfg=None)),
    ('VisionTransformerClsHead', 'token', dict(LINEAR, hidden_dim=4)),
    ('DeiTClsHead', 'tokens', dict(LINEAR, init_cfg=None)),
    ('ConformerHead', 'pair', dict(LINEAR, in_channels=[WIDTH, WIDTH])),
    ('EfficientFormerClsHead', 'vector', LINEAR),
    ('EfficientFormerClsHead', 'vector', dict(LINEAR, distillation=False)),
    ('LeViTClsHead', 'vector', LINEAR),
    ('VigClsHead', 'vector', dict(LINEAR, hidden_dim=4)),
    ('ArcFaceClsHead', 'vector', LINEAR),
    ('MultiLabelClsHead', 'scores', {}),
    ('MultiLabelLinearClsHead', 'vector', LINEAR),
    ('CSRAClsHead', 'map', dict(LINEAR, num_heads=2, lam=0.1)),
]
# MMPretrain has no loss for two distilled tokens.
ONLY_TEACH = [7, 9]


def build(cfg):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(cfg)


def classifier(kind, form, settings):
    torch.manual_seed(0)
    model = build(
        dict(
            type='ImageClassifier',
            backbone=Stem(form),
            head=dict(settings, type=kind)))
    return model.eval()


def batch():
    torch.manual_seed(1)
    return torch.randn(4, 3, 2,
                       2), [DataSample().set_gt_label([i]) for i in range(4)]


def recorded(model, mode, *args):
    """What a recorder gets of one call."""
    module, read = find_source(model, 'logits', mode)
    found = []

    def hook(*call):
        found.append(read(*call))

    handle = module.register_forward_hook(hook)
    model(*args, mode=mode)
    handle.remove()
    logits, = found
    return logits


def test_all_heads_that_classify_are_tried():
    known = {
        name
        for name, kind in vars(heads).items()
        if isinstance(kind, type) and issubclass(kind, (ClsHead,
                                                        MultiLabelClsHead))
    }
    # OneDL's, which does not classify.
    known.discard('RegressionHead')
    assert known == {kind for kind, _, _ in HEADS}


@pytest.mark.parametrize('number', range(len(HEADS)))
@pytest.mark.filterwarnings('ignore')
def test_logits_are_those_of_the_predictions(number):
    """Of teachers, in tensor mode, and of students, in loss mode."""
    kind, form, settings = HEADS[number]
    model = classifier(kind, form, settings)
    images, samples = batch()
    predicted = torch.stack(
        [each.pred_score for each in model(images, mode='predict')])
    modes = ['tensor'] if number in ONLY_TEACH else ['tensor', 'loss']
    for mode in modes:
        logits = recorded(model, mode, images, samples)
        scores = logits.sigmoid() if 'Label' in kind or 'CSRA' in kind else (
            logits.softmax(1))
        assert logits.shape == (4, CLASSES)
        assert torch.equal(scores, predicted), mode
        assert logits.requires_grad


def test_wrappers_of_other_libraries():
    """Hugging Face's networks return an object that has the logits."""

    class Net(nn.Module):

        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(12, CLASSES)

        def forward(self, images):
            return SimpleNamespace(logits=self.fc(images.flatten(1)))

    # Its own __init__ needs the library.
    model = HuggingFaceClassifier.__new__(HuggingFaceClassifier)
    BaseModel.__init__(model)
    model.model, model._get_loss = Net(), lambda *_: {}
    images, samples = batch()
    wanted = model.model(images).logits
    for mode in ('tensor', 'loss'):
        assert torch.equal(recorded(model, mode, images, samples), wanted)


class Own(BaseModel):
    """A network that has neither a head nor a model."""

    def __init__(self, outputs=None):
        super().__init__()
        self.conv = nn.Conv2d(3, WIDTH, 1)
        self.tail = nn.Sequential(nn.Flatten(), nn.Linear(4 * WIDTH, CLASSES),
                                  nn.Identity())
        self.other = nn.Linear(4 * WIDTH, CLASSES)
        self.outputs = outputs

    def forward(self, inputs, data_samples=None, mode='tensor'):
        features = self.conv(inputs)
        self.other(features.flatten(1))
        scores = self.tail(features)
        if mode == 'loss':
            return dict(loss=scores.sum())
        return self.outputs if self.outputs is not None else scores


def test_other_networks_are_run_once_to_find_them():
    model = Own()
    # Only at that size it runs.
    model.img_size = 2
    assert score_modules(model) == ['tail', 'tail.1', 'tail.2']
    assert score_module(model) == 'tail'
    images, samples = batch()
    assert torch.equal(recorded(model, 'loss', images, samples), model(images))
    assert class_hint(model, 'own.') == (
        '; those with its 5 class scores: own.tail, own.tail.1, own.tail.2, '
        "own.other; source='own.logits' finds them")


def test_what_is_not_found_is_refused():
    model = Own()  # which runs on no size that is tried
    with pytest.raises(ConfigError) as error:
        score_module(model, 'the student')
    assert str(error.value) == (
        'source: no module of the student is found that outputs its class '
        'scores; name it')
    assert class_hint(model) == ''
    for outputs, kind in (({}, 'dict'), ((torch.zeros(2, 3), torch.zeros(2)),
                                         'tuple')):
        with pytest.raises(ConfigError, match=f'the network is a {kind}, and'):
            recorded(Own(outputs), 'tensor', *batch())


def test_a_module_of_that_name_comes_first():
    model = Own()
    model.logits = nn.Linear(2, CLASSES)
    found = []
    with recorded_scores(model, 'logits', found.append):
        wanted = model.logits(torch.ones(3, 2))
    assert torch.equal(found[0], wanted)


def test_a_traced_graph():
    """What meets the labels, also behind a quantizer."""

    def traced(*scored):
        graph = Graph()
        images = graph.placeholder('inputs')
        labels = graph.placeholder('data_samples')
        graph.placeholder('mode')
        node = graph.call_module('fc', (images, ))
        nodes = dict(fc=node, quantized=graph.call_module('quant', (node, )))
        loss = graph.call_function(dict,
                                   ([nodes[name] for name in scored], labels))
        graph.output(loss)
        return GraphModule(
            dict(fc=nn.Linear(2, 2), quant=nn.Identity()), graph)

    assert score_module(traced('fc')) == 'fc'
    assert score_module(traced('quantized')) == 'quant'
    with pytest.raises(ConfigError, match='no module of the network is found'):
        score_module(traced('fc', 'quantized'))


def test_the_sum_of_several_outputs():
    assert class_scores((torch.ones(2, 3), torch.ones(2, 3))).sum() == 12
    assert class_scores([torch.ones(2, 3)]).sum() == 6
    assert class_scores('other') == 'other'


def test_only_a_linear_head_has_the_name_of_before():
    linear = classifier(*HEADS[1])
    assert plain_source(linear, 'logits') == 'head.fc'
    assert plain_source(linear, 'backbone') == 'backbone'
    linear.head.__class__ = type('Scaled', (type(linear.head), ), {})
    assert plain_source(linear, 'logits') == 'logits'
    assert plain_source(classifier(*HEADS[2]), 'logits') == 'logits'
