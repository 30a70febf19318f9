# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest
import torch
from mmengine.logging import MessageHub
from mmrazor.registry import MODELS

from mmdgkd import ConfigError
from mmdgkd.models.connectors.keep_mask import keep_mask
from mmdgkd.models.connectors.stochastic_drop_connector import \
    StochasticDropConnector

NAMES = ['a', 'b', 'c']


def record():
    return {name: torch.full((2, ), float(i)) for i, name in enumerate(NAMES)}


def test_it_is_in_mmrazors_registry():
    built = MODELS.build(dict(type='mmrazor.StochasticDropConnector'))
    assert isinstance(built, StochasticDropConnector)


def test_alone_it_filters_as_the_algorithm_would_drop():
    alone, stepped = (StochasticDropConnector(seed=5) for _ in range(2))
    for step in range(20):
        mask = stepped.begin_step(NAMES, step)
        assert mask == keep_mask(5, step, NAMES)
        # The algorithm has not run the dropped ones: they are not recorded.
        ran = {name: data for name, data in record().items() if mask[name]}
        assert list(stepped(ran)) == list(ran)
        # Outside of a Runner it counts the steps itself.
        assert list(alone(record())) == list(ran)


def test_every_rank_drops_the_same():
    masks = []
    for rank in range(2):
        hub = MessageHub.get_instance(f'rank {rank}')
        hub.update_info('seed', 5)
        hub.update_info('rank', rank)
        connector = StochasticDropConnector()
        masks.append([connector.begin_step(NAMES, step) for step in range(20)])
    assert masks[0] == masks[1]


def test_it_changes_no_data():
    connector = StochasticDropConnector(num_drop=0)
    data = record()
    assert all(out is data[name] for name, out in connector(data).items())


@pytest.mark.parametrize('settings, message', [
    (dict(num_drop=3), 'num_drop: 3 must be at most 2: the stage has 3'),
    (dict(num_drop=2,
          min_keep=2), 'num_drop: 2 must be at most 1: .* at least 2'),
    (dict(num_drop=2, protect=('a', 'b')), 'num_drop: 2 must be at most 1'),
    (dict(protect='z'), 'protect: "z" is no teacher here; there are: a, b, c'),
    (dict(mode='bernoulli', min_keep=4), 'min_keep: 4 is more than the 3'),
])
def test_a_policy_that_these_teachers_cannot_meet(settings, message):
    with pytest.raises(ConfigError, match=message):
        StochasticDropConnector(**settings).check_teachers(NAMES)


@pytest.mark.parametrize('settings, message', [
    (dict(mode='often'), "mode: 'often' is none of"),
    (dict(num_drop=0.5), 'num_drop: 0.5 must be an integer'),
    (dict(min_keep=-1), 'min_keep: -1 must be an integer'),
    (dict(keep_prob=75), 'keep_prob: 75 must be between 0 and 1'),
])
def test_bad_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        StochasticDropConnector(**settings)
