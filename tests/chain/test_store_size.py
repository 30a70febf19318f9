# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What a logit store needs on disk, and what is proposed where it is too much.
"""
import copy
import os
from types import SimpleNamespace

import pytest
from mmengine.config import Config

from mmdgkd import ConfigError
from mmdgkd.chain.chain import Chain
from mmdgkd.chain.network import NetworkFacts
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.chain.store_size import StoreSize, excess_lines, refuse_excess

IMAGES = 1281167


@pytest.fixture
def disk(monkeypatch):
    """A function that sets the free bytes of all disks."""

    def limit(free, total=10**13):
        monkeypatch.setattr('mmdgkd.chain.store_size.shutil.disk_usage',
                            lambda _: SimpleNamespace(free=free, total=total))

    return limit


def imagenet(epochs=100,
             views=None,
             work_dir='work',
             classes=1000,
             mixed=None,
             loss=None,
             distiller=None,
             **store):
    """ResNet-34, given, and two networks that are distilled from it."""
    networks = dict(t=dict(model={}, ckpt_path='t.pth'))
    networks.update({name: dict(model={}) for name in ('ta', 's')})
    chain = Chain.from_cfg(dict(networks=networks, logit_store=store))
    facts = {
        name: NetworkFacts(1, macs, classes, IMAGES, IMAGES, views)
        for name, macs in (('t', 3600), ('ta', 2800), ('s', 1800))
    }
    loss = dict(dict(type='mmrazor.DenseKDLoss', tau=1.), **loss or {})
    distiller = dict(distiller or {}, distill_losses=dict(loss_kd=loss))
    model = dict(distiller=distiller, teachers=dict(t={}, u={}))
    stage = Config(dict(train_cfg=dict(max_epochs=epochs), model=model))
    stages = {name: copy.deepcopy(stage) for name in ('t', 'ta', 's')}
    if mixed:
        stages[mixed].train_dataloader = dict(dataset=dict(mix='Mixup'))
    return StoreSize(chain, facts, stages, str(work_dir))


def test_the_sizes_of_imagenet():
    full = imagenet().at()
    assert {*full.sizes} == {'t', 'ta'}
    assert full.sizes['t'] == pytest.approx(256.2e9, rel=1e-3)
    assert imagenet(top_k=20).at().sizes['t'] == pytest.approx(
        15.6e9, rel=4e-3)
    assert imagenet(views=10).at().sizes['t'] == pytest.approx(
        25.6e9, rel=2e-3)
    assert imagenet().at(top_k=20).sizes == imagenet(top_k=20).at().sizes


def test_a_teacher_has_a_file_for_each_recipe_of_views():
    size, whole = imagenet(mixed='s').at(), imagenet().at()
    assert size.sizes == dict(t=2 * whole.sizes['t'], ta=whole.sizes['ta'])
    assert (size.passes, whole.passes) == (300, 200)
    assert size.operations == 1


def test_a_teacher_above_tau_1_is_not_made_flat():
    size = imagenet(loss=dict(tau=4.))
    assert str(size.at(top_k=20)) == (
        'chain.logit_store.top_k=20 chain.logit_store.others=zero')
    assert str(size.at(num_views=9)) == 'chain.views.num_views=9'
    size = imagenet(loss=dict(tau=4.), top_k=50, others='even')
    assert str(size.at(top_k=20)) == 'chain.logit_store.top_k=20'
    probs = dict(ensembles=dict(both=dict(members=['t', 'u'], mean='probs')))
    size = imagenet(loss=dict(tau=4.), distiller=probs)
    assert 'others=zero' in str(size.at(top_k=20))


@pytest.mark.parametrize('loss, distiller', [
    (dict(form='stacked'), None),
    (dict(gate=dict(type='label')), None),
    ({}, dict(connectors=dict(z=dict(type='mmrazor.StandardizeConnector')))),
    ({}, dict(ensembles=dict(both=['t', 'u']), edges=dict(both=None))),
])
def test_where_zero_is_refused_it_is_no_advice(loss, distiller):
    size = imagenet(loss=dict(loss, tau=4.), distiller=distiller)
    assert str(size.at(top_k=20)) == 'chain.logit_store.top_k=20'


def test_what_they_cost_in_time():
    """Passes over the images, and the operations of the whole chain."""
    size = imagenet()
    # The teacher runs in the first stage, the TA in the second.
    assert size.at().passes == 200 and size.at(num_views=10).passes == 20
    assert size.without().passes == 300
    own = 100 * 3 * (2800 + 1800)
    live = own + 100 * (3600 + 3600 + 2800)
    assert size.at().operations == (own + 100 * (3600 + 2800)) / live
    assert size.at(num_views=10).operations == (own + 10 * 6400) / live
    # Rows of another form are made by the same passes.
    assert size.at(top_k=20).operations == size.at().operations
    assert size.without().operations == 1


TOP_K, VIEWS = 'chain.logit_store.top_k', 'chain.views.num_views'


@pytest.mark.parametrize('room', [250e9, 100e9, 36e9])
def test_each_setting_fits_and_the_next_larger_one_does_not(room):
    size = imagenet()
    found = size.settings_within(room)
    assert all(each.total <= room for each in found)
    assert [[*each.options] for each in found] == [[TOP_K], [VIEWS],
                                                   [TOP_K, VIEWS]]
    top_k, views, both = found
    k, count = top_k.options[TOP_K], views.options[VIEWS]
    assert size.at(num_views=count + 1).total > room
    following = {20: 50, 50: 100, 100: 200, 200: 500}
    assert size.at(top_k=following[k]).total > room
    # Between the two.
    assert both.options[TOP_K] > k and count < both.options[VIEWS] < 100


def test_settings_where_hardly_anything_fits():
    size = imagenet()
    # Not even five logits of all views.
    for room in (8e9, 1e9):
        found = size.settings_within(room)
        assert found and all(each.total <= room for each in found)
        assert all(VIEWS in each.options for each in found)
    assert size.settings_within(0) == []


def test_settings_of_a_store_that_is_small_already():
    """What is proposed is less than what there is."""
    size = imagenet(top_k=20, views=30)
    for each in size.settings_within(4e9):
        assert each.total <= 4e9
        assert each.options.get(TOP_K, 0) < 20
        assert each.options.get(VIEWS, 0) < 30
    # Ten logits of ten classes are no less than all of them.
    few = imagenet(classes=10).settings_within(1e9)
    assert [*map(str, few)] == ['chain.views.num_views=19']


def test_the_table_is_in_the_plan_where_it_does_not_fit(disk, tmp_path):
    size = imagenet(work_dir=tmp_path)
    disk(600e9)
    assert excess_lines(size) == '' and refuse_excess(size) is None
    disk(101e9)
    text = excess_lines(size)
    first, *table = text.splitlines()
    assert first.startswith('warning: chain.logit_store: 512.5 GB are more '
                            'than the 100.0 GB that there is room for')
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in table
            if line.startswith('| ')]  # yapf: disable
    assert rows == [
        ['setting', 'a teacher', 'in all', 'teacher passes', 'operations'],
        ['as it is', '256.2 GB', '512.5 GB', '200', '85%'],
        ['chain.logit_store.top_k=50', '38.7 GB', '77.4 GB', '200', '85%'],
        ['chain.views.num_views=19', '48.7 GB', '97.4 GB', '38', '63%'],
        [
            'chain.logit_store.top_k=100 chain.views.num_views=44', '33.9 GB',
            '67.9 GB', '88', '70%'
        ],
        ['chain.logit_store=None', '0.0 MB', '0.0 MB', '300', '100%'],
    ]
    with pytest.raises(ConfigError) as error:
        refuse_excess(size)
    assert str(error.value) == (
        'chain.logit_store: needs 512.5 GB, but there is room for 100.0 GB in '
        f'{str(tmp_path / "logits")!r}; set chain.logit_store.top_k=50, or '
        'chain.views.num_views=19, or chain.logit_store.top_k=100 '
        'chain.views.num_views=44, or chain.logit_store=None (--dry-run '
        'compares them), or another chain.logit_store.store_dir')


def test_what_is_there_already_needs_no_room(disk, tmp_path):
    size = imagenet(work_dir=tmp_path)
    disk(515e9, 515e9)
    # The last gigabyte is left free; the folder need not be there.
    assert imagenet(work_dir='not/there').room() == size.room()
    assert size.room() == 514e9
    os.makedirs(os.path.join(size.folder, 't-0'))
    path = os.path.join(size.folder, 't-0', 'view_00000_1-0.npz')
    with open(path, 'wb') as file:
        file.write(bytes(10**6))
    assert size.room() == pytest.approx(514e9 + 1e6, abs=1e4)


def test_a_chain_that_has_begun_goes_on(tiny_cfg, disk, refused, tmp_path):
    cfg = tiny_cfg()
    cfg.chain.networks.resnet14 = None
    disk(100)
    refused(cfg, 'chain.logit_store: needs 0.0 MB, but there is room for 0.0 ')
    assert 'warning: chain.logit_store: ' in ChainRunner(cfg).plan()
    # Nor is one stage alone refused, of which not all need the store.
    ChainRunner(cfg, only='resnet20').train()
    cfg.resume = True
    ChainRunner(cfg).train()
