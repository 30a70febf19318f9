# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import glob
import re
from pathlib import Path

import pytest

from mmdgkd import ConfigError
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.methods.gslr.gslr_hook import GSLRHook, soft_share


def shares(cfg, name):
    log, = glob.glob(f'{cfg.work_dir}/{name}/2*/*.log')
    return [
        float(found) for found in re.findall(r'soft_share: ([\d.]+)',
                                             Path(log).read_text())
    ]


@pytest.mark.parametrize('progress, share', [(0, 1), (2, 1), (3, .8), (4, .6),
                                             (6, .2), (9, .2)])
def test_it_shrinks_linearly_from_begin_to_end(progress, share):
    assert soft_share(progress, 2, 6, .2) == pytest.approx(share)


def test_it_is_counted_in_epochs_and_needs_teachers(tiny_cfg):
    """Two iterations an epoch: the third of four begins the second epoch."""
    cfg = tiny_cfg(2)
    cfg.custom_hooks.append(dict(type='mmrazor.GSLRHook', begin=.5))
    # One value a line, not their mean.
    cfg.default_hooks.logger.interval = 1
    cfg.log_processor = dict(window_size=1)
    ChainRunner(cfg).train()
    assert shares(cfg, 'resnet20') == []
    assert shares(cfg, 'resnet8') == pytest.approx([1, 1, 2 / 3, 1 / 3],
                                                   abs=1e-3)


@pytest.mark.parametrize('settings, message', [
    (dict(begin=-1), 'GSLRHook.begin: -1 should be 0 or more'),
    (dict(begin=2, end=2), 'GSLRHook.end: 2 should be after begin, 2'),
    (dict(to=2), 'GSLRHook.to: 2 should be from 0 to 1'),
])
def test_mistakes_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        GSLRHook(**settings)
