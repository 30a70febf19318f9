# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What reaches the losses when teachers are cached."""
import shutil
from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS
from torch import nn

from mmdgkd import ConfigError
from mmdgkd.logit_store.logit_store import LogitStore
from mmdgkd.models.connectors.standardize_connector import StandardizeConnector
from mmdgkd.models.distillers.ensembles import Ensembles
from mmdgkd.models.teachers.cached_teachers import (check_top_k, kernel_facts,
                                                    teacher_facts)
from mmdgkd.models.utils.weights import weights_sha256
from mmdgkd.structures.views import ViewSource

SOURCE = ViewSource('key', 100, 'a hundred')


def network(depth):
    return dict(
        type='ImageClassifier',
        data_preprocessor=dict(type='ClsDataPreprocessor'),
        backbone=dict(type='ResNet6n2', depth=depth),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=5, in_channels=64))


def make(names=('a', 'b'), num_drop=1, **kwargs):
    torch.manual_seed(0)
    recorder = dict(type='mmrazor.MultiTeacherOutputs', source='head.fc')
    preds_T = dict(recorder='logits', from_student=False, connector='drop')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(
            dict(
                type='mmrazor.DGKD',
                architecture=network(8),
                teachers={
                    name: dict(build_cfg=network(14 if name == 'a' else 8))
                    for name in names
                },
                distiller=dict(
                    type='mmrazor.MultiTeacherDistiller',
                    student_recorders=dict(
                        logits=dict(
                            type='mmrazor.ModuleOutputs', source='head.fc')),
                    teacher_recorders=dict(logits=recorder),
                    connectors=dict(
                        drop=dict(
                            type='mmrazor.StochasticDropConnector',
                            num_drop=num_drop)),
                    distill_losses=dict(
                        loss_kd=dict(type='mmrazor.DenseKDLoss')),
                    loss_forward_mappings=dict(
                        loss_kd=dict(
                            preds_S=dict(recorder='logits', from_student=True),
                            preds_T=preds_T))),
                **kwargs)).train()


def batch(view=0, size=4):
    generator = torch.Generator().manual_seed(view)
    samples = [DataSample().set_gt_label(i % 5) for i in range(size)]
    for index, sample in enumerate(samples):
        sample.set_metainfo(
            dict(view=view, sample_idx=index, view_source=SOURCE))
    return torch.randn(size, 3, 8, 8, generator=generator), samples


def losses(model, *args):
    torch.manual_seed(0)
    return {
        key: value.item()
        for key, value in model(*args, mode='loss').items()
    }


@pytest.fixture
def store(tmp_path):
    return LogitStore(str(tmp_path / 'logits'), 'float32')


@pytest.mark.gpu
def test_losses_are_the_same_and_dropped_teachers_stay_dropped(store):
    live, cached = make(), make()
    cached.use_store(store)
    for step in range(12):
        args = batch(step % 2)
        expected = losses(live, *args)
        assert losses(cached, *args) == expected
        assert sum('.kd.' in key for key in expected) == 1
    counts = store.counts
    assert sum(count['computed'] for count in counts.values()) == 4 * 4
    assert sum(sum(count.values()) for count in counts.values()) == 12 * 4


@pytest.mark.gpu
def test_the_order_of_the_sum_is_that_of_the_teachers(store, tmp_path):
    """Whichever of them were cached: sums depend on the order."""
    names = ('a', 'b', 'c', 'd')
    model = make(names, num_drop=0)
    model.use_store(store)

    def gradients():
        model.zero_grad()
        total, _ = model.parse_losses(model(*batch(), mode='loss'))
        total.backward()
        order = [key for key in model.distiller.recorded_logits()]
        return order, [param.grad.clone() for param in model.parameters()]

    state = {k: v.clone() for k, v in model.state_dict().items()}
    wanted = gradients()
    for gone in (*names, 'bd', ''):
        store.close()
        for name in gone:
            shutil.rmtree(next((tmp_path / 'logits').glob(f'{name}-*')))
        model.load_state_dict(state)
        order, found = gradients()
        assert order == list(names) == wanted[0]
        assert all(map(torch.equal, wanted[1], found))


def test_nothing_waits_for_the_device(store, monkeypatch):
    """Neither when the store is filled nor when it is read."""
    model = make()
    model.use_store(store)
    losses(model, *batch())  # the seed is read once

    def waits(*_):
        raise AssertionError('reads a value off the device')

    for name in ('item', 'tolist', '__bool__', '__float__', '__int__'):
        monkeypatch.setattr(torch.Tensor, name, waits)
    for view in (1, 1, 2, 1):
        total, _ = model.parse_losses(model(*batch(view), mode='loss'))
        total.backward()
    monkeypatch.undo()
    assert store.counts['a']['recalled'] + store.counts['b']['recalled'] > 0


def test_samples_need_views(store):
    model = make()
    model.use_store(store)
    inputs, samples = batch()
    with pytest.raises(ConfigError, match='its samples have no views'):
        model(inputs, [DataSample().set_gt_label(0)] * 4, mode='loss')


def test_mixed_batches_are_refused_also_in_the_middle_of_a_training(store):
    model = make()
    model.use_store(store)
    losses(model, *batch())
    # As MMPretrain's SwitchRecipeHook does it.
    model.data_preprocessor.batch_augments = nn.Identity()
    with pytest.raises(
            ConfigError, match='batch_augments, or .*: mixes the images'):
        losses(model, *batch())


def test_deliveries_are_refused(store):
    model = make()
    model.distiller.deliveries.deliveries['x'] = object()
    with pytest.raises(ConfigError, match='distill_deliveries: a teacher'):
        model.use_store(store)


def test_facts_change_with_the_weights_and_the_config():
    model = make()
    teacher = model.teachers['b']
    facts = teacher_facts(teacher, network(8), 'b.pth')
    assert facts == teacher_facts(teacher, network(8), 'b.pth')
    resized = teacher_facts(teacher, network(8), 'b.pth', dict(size=4))
    assert resized != facts and resized != teacher_facts(
        teacher, network(8), 'b.pth', dict(size=8))
    other = network(8)
    other['backbone']['base_channels'] = 16
    assert teacher_facts(teacher, other)['model'] != facts['model']
    teacher.head.fc.bias.data[0] += 1
    assert teacher_facts(teacher, network(8))['weights'] != facts['weights']


def test_facts_have_the_device_and_tf32():
    """A GPU rounds otherwise than the CPU; stores of a CPU stay valid."""
    assert kernel_facts('cpu') == {}
    base = kernel_facts('cuda')
    assert base['device'] == 'cuda'
    found = [base, kernel_facts('xpu')]
    assert found[1] == dict(device='xpu')
    backends = torch.backends
    for part in (backends.cuda.matmul, backends.cudnn):
        before = part.allow_tf32
        try:
            part.allow_tf32 = not before
            found.append(kernel_facts('cuda'))
        finally:
            part.allow_tf32 = before
    assert kernel_facts('cuda') == base
    assert len({str(facts) for facts in found}) == 4


@pytest.mark.skipif(
    not hasattr(torch.backends.cuda.matmul, 'fp32_precision'),
    reason='of newer PyTorch')
def test_the_newer_names_of_tf32():
    """Where they are used, PyTorch refuses to read the older ones."""
    base, part = kernel_facts('cuda'), torch.backends.cudnn.conv
    before = part.fp32_precision
    try:
        part.fp32_precision = 'ieee' if before == 'tf32' else 'tf32'
        assert kernel_facts('cuda') != base
    finally:
        part.fp32_precision = before
    assert kernel_facts('cuda') == base


def test_lookups_have_the_device(store, monkeypatch):
    model, seen = make(), []
    model.use_store(store)
    monkeypatch.setattr(store, 'lookup', lambda facts, *_: seen.append(facts))
    inputs, samples = batch()
    model._cache.lookup(['a'], inputs, samples)
    on_gpu = SimpleNamespace(device=torch.device('cuda'))
    model._cache.lookup(['a'], on_gpu, samples)
    assert 'device' not in seen[0] and seen[1]['device'] == 'cuda'


def test_weights_sha256():
    state = dict(a=torch.zeros(2, 3), b=torch.ones(2, dtype=torch.bfloat16))
    first = weights_sha256(state)
    assert first == weights_sha256(dict(reversed(state.items())))
    channels = torch.randn(2, 3, 4, 4)
    assert weights_sha256(dict(a=channels)) == weights_sha256(
        dict(a=channels.to(memory_format=torch.channels_last)))
    for other in (dict(state, a=torch.zeros(3,
                                            2)), dict(state, b=torch.ones(2)),
                  dict(a=state['a'])):
        assert weights_sha256(other) != first


@pytest.mark.parametrize(
    'top_k, others, tau, warned, by_logits',
    [
        (20, 'even', 4., True, False),
        # 'zero' would be refused.
        (20, 'even', 4., True, True),
        (20, 'even', 1., False, False),
        # Of a teacher alone.
        (20, 'even', dict(a=4.), True, False),
        (20, 'even', dict(a=.5), False, False),
        (20, 'zero', 4., False, False),
        (None, 'even', 4., False, False),
    ])
def test_a_few_logits_at_a_high_temperature_are_warned_of(
        monkeypatch, top_k, others, tau, warned, by_logits):
    """The others have most of the probability there, all of them the same."""
    found = []
    monkeypatch.setattr('mmdgkd.models.teachers.cached_teachers.print_log',
                        lambda message, **_: found.append(message))
    kd = SimpleNamespace(
        **(dict(tau=1., teacher_tau=tau) if isinstance(tau, dict) else dict(
            tau=tau)))
    distiller = SimpleNamespace(
        by_logits=by_logits,
        by_sigmoid=False,
        distill_losses=dict(loss_kd=kd, loss_at=SimpleNamespace()))
    check_top_k(distiller, top_k, others)
    assert len(found) == warned
    if warned:
        assert found[0].startswith('chain.logit_store.top_k: 20 leaves ')
        assert 'tau = 4 is large' in found[0] and '\n' not in found[0]
        assert ("others='zero'" in found[0]) != by_logits


def test_logits_of_no_probability_are_not_used_as_numbers(tmp_path):
    store = LogitStore(str(tmp_path), top_k=3, others='zero')
    make().use_store(store)
    standardized, averaged = make(), make()
    standardized.distiller.connectors['z'] = StandardizeConnector()
    averaged.distiller._ensembles = Ensembles(dict(both=['a', 'b']), 'ab')
    for model in (standardized, averaged):
        model.use_store(LogitStore(str(tmp_path), top_k=3))
        with pytest.raises(ConfigError, match="others: 'zero' gives .* they "):
            model.use_store(store)
