# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest

from mmdgkd import ConfigError
from mmdgkd.chain.runner import ChainRunner


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
