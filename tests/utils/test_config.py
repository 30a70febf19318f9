# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest

from mmdgkd import ConfigError
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.utils.config import refuse_misspelt


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


def test_other_names_are_a_users_own():
    refuse_misspelt(dict(my_pipeline=1, chain=2, batch=3), ('chain', ))
