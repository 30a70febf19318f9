# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Keys of a Runner with another name, or with a value of another form."""
import pytest

from mmdgkd import ConfigError
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.chain.runner_keys import check_runner_keys


@pytest.mark.parametrize('key, value, right', [
    ('train_dataloader', [1, 'x'], 'a dict or None'),
    ('train_dataloader.sampler', 1, 'a dict or None'),
    ('val_dataloader.dataset', 'x', 'a dict or None'),
    ('train_cfg', True, 'a dict or None'),
    ('train_cfg.val_begin', [], 'an integer or None'),
    ('val_dataloader.batch_size', '8', 'an integer or None'),
    ('optim_wrapper.optimizer', 0.1, 'a dict or None'),
    ('param_scheduler', 3, 'a list or a dict or None'),
    ('default_hooks.logger', 2.5, 'a dict or None'),
    ('custom_hooks', 'EMAHook', 'a list or None'),
    ('custom_hooks', ['EMAHook'], 'a dict'),
    ('visualizer.vis_backends', True, 'a list or a dict or None'),
    ('custom_imports.imports', 0, 'a string or a list'),
    ('custom_imports.imports', None, 'a string or a list'),
    ('randomness.seed', 'x', 'an integer or None'),
    ('env_cfg.mp_cfg', 'fork', 'a dict or None'),
    ('env_cfg.peer_timeout', 'soon', 'a number or None'),
    ('default_scope', 1, 'a string or None'),
    ('find_unused_parameters', 'yes', 'True or False or None'),
])
def test_another_form_than_a_runner_takes(tiny_cfg, key, value, right):
    wrong = value[0] if right == 'a dict' else value
    place = f'{key}[0]' if right == 'a dict' else key
    line = f'{place}: {wrong!r} must be {right}'
    cfg = tiny_cfg()
    with pytest.raises(ConfigError) as error:
        check_runner_keys(_nested(cfg.to_dict(), key, value))
    assert str(error.value) == line
    cfg.chain.networks.resnet14.stage = _nested({}, key, value)
    with pytest.raises(ConfigError) as error:
        assert ChainRunner(cfg).facts
    here = 'chain.networks.resnet14.stage'
    assert str(error.value) == f'{here}.{line}' or str(
        error.value).startswith(f'{here}: does not merge into the config')


def _nested(cfg, key, value):
    part = cfg
    *parents, last = key.split('.')
    for parent in parents:
        part[parent] = part.get(parent) or {}
        part = part[parent]
    part[last] = value
    return cfg


def test_what_is_left_out_and_tuples_have_the_right_form():
    check_runner_keys(
        dict(
            val_cfg=None,
            custom_hooks=(dict(type='EMAHook'), ),
            default_hooks=dict(checkpoint=None),
            val_evaluator=dict(type='Accuracy'),
            custom_imports=dict(imports='mmdgkd')))


@pytest.mark.parametrize('key, meant', [
    ('train_dataloder', 'train_dataloader'),
    ('param_schedulers', 'param_scheduler'),
    ('optim_wraper', 'optim_wrapper'),
])
def test_what_looks_like_a_key_is_refused(tiny_cfg, key, meant):
    cfg = tiny_cfg()
    cfg[key] = dict(batch_size=8)
    with pytest.raises(ConfigError, match=f'^{key}: .* "{meant}" is meant'):
        ChainRunner(cfg)


def test_other_names_are_a_users_own(tiny_cfg):
    cfg = tiny_cfg()
    cfg.my_pipeline = [1]
    assert ChainRunner(cfg).cfg.my_pipeline == [1]
