# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A list of hooks in a config adds to those that every stage has."""
import pytest
import torch
from mmengine.config import Config

from mmdgkd import ConfigError
from mmdgkd.chain.chain import Chain
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.chain.stage_config import stage_config

SYNC = dict(type='SyncBuffersHook')
SEED = dict(type='mmrazor.StepSeedHook')
FINITE = dict(type='mmrazor.FiniteLossHook', max_skips=0)
EMA = dict(type='EMAHook', momentum=0.1)


def hooks_of(cfg, name='resnet20'):
    stage = stage_config(cfg, Chain.from_cfg(cfg.chain), name, {}, '/w')
    return [dict(hook) for hook in stage.custom_hooks]


def test_a_shipped_list_stays_as_it_is(tiny_cfg, root):
    cfg = tiny_cfg()
    assert hooks_of(cfg) == cfg.custom_hooks
    shipped = Config.fromfile(root / 'configs/_base_/default_runtime.py')
    assert cfg.custom_hooks == shipped.custom_hooks
    assert [SYNC, SEED, FINITE] == [
        hook for hook in shipped.custom_hooks if 'FastNetwork' not in hook.type
    ]


@pytest.mark.parametrize(
    'own, stage, expected',
    [
        (None, None, [SYNC, SEED, FINITE]),
        ([EMA], None, [SYNC, SEED, FINITE, EMA]),
        ([EMA, dict(SEED, type='StepSeedHook')
          ], None, [SYNC, FINITE, EMA,
                    dict(SEED, type='StepSeedHook')]),
        # That of a stage has what the whole config says of the three.
        ([dict(FINITE, max_skips=3)
          ], [EMA], [SYNC, SEED, dict(FINITE, max_skips=3), EMA]),
        ([SYNC, FINITE, SEED], [EMA, dict(FINITE, max_skips=1)],
         [SYNC, SEED, EMA, dict(FINITE, max_skips=1)]),
        # One that is added counts instead of the one before.
        ([SYNC, FINITE, SEED, EMA,
          dict(FINITE, max_skips=2)
          ], None, [SYNC, dict(FINITE, max_skips=2), SEED, EMA]),
        # To leave one out is said.
        ([dict(SEED, enabled=False), EMA], None, [SYNC, FINITE, EMA]),
        ([SYNC, SEED, FINITE, dict(SEED, enabled=False)], None, [SYNC, FINITE
                                                                 ]),
        ([dict(SEED, enabled=False)], [EMA], [SYNC, FINITE, EMA]),
        ([dict(SEED, enabled=False)], [SEED], [SYNC, FINITE, SEED]),
        ([dict(SEED, enabled=True)], None, [SYNC, FINITE, SEED]),
    ])
def test_the_hooks_of_a_stage(tiny_cfg, own, stage, expected):
    cfg = tiny_cfg()
    cfg.custom_hooks = own
    if stage is not None:
        cfg.chain.networks.resnet20.stage = dict(custom_hooks=stage)
    assert hooks_of(cfg) == expected
    # The config itself stays as it was.
    assert cfg.custom_hooks == own


@pytest.mark.parametrize('hooks, message', [
    (EMA, 'custom_hooks: .* must be a list or None'),
    (['EMAHook'], r"custom_hooks\[0\]: 'EMAHook' must be a dict"),
    ([dict(SEED, enabled='no')
      ], "custom_hooks: StepSeedHook.enabled: 'no' must be True or False"),
])
def test_what_is_no_list_of_hooks(tiny_cfg, hooks, message):
    cfg = tiny_cfg()
    cfg.custom_hooks = hooks
    with pytest.raises(ConfigError, match=message):
        ChainRunner(cfg).plan()


def test_dropout_is_the_same_whatever_hooks_are_listed(tiny_cfg, weights_of):

    def train(work_dir, hooks):
        cfg = tiny_cfg(work_dir=work_dir)
        cfg.chain.networks = dict(resnet8=cfg.chain.networks.resnet8)
        cfg.chain.networks.resnet8.model.backbone.drop_path_rate = 0.5
        cfg.custom_hooks = hooks or cfg.custom_hooks
        ChainRunner(cfg).train()
        return weights_of(cfg, 'resnet8')['head.fc.weight']

    fast = dict(type='mmrazor.FastNetworkHook', channels_last=True)
    listed = train('all', None)
    assert torch.equal(train('some', [fast]), listed)
    off = train('off', [fast, dict(SEED, enabled=False)])
    assert not torch.equal(off, listed)
