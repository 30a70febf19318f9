# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The tiny chain of each method, trained once in a process."""
from types import SimpleNamespace

import mmdgkd  # noqa: F401  isort: skip  (repairs MMRazor for what follows)
import pytest
from trials import TRIALS, trial_config

from mmdgkd.chain.runner import ChainRunner

_TRIED = {}


@pytest.fixture
def trial_cfg(digits_cfg, trained_resnet8, tmp_path_factory):
    """A function that gives the chain of a trial by its key."""

    def make(key, epochs=None, **kwargs):
        trial = TRIALS[key]
        cfg = digits_cfg(trial.config, epochs=epochs or trial.epochs, **kwargs)
        cfg.work_dir = str(tmp_path_factory.mktemp(key) / 'work')
        return trial_config(trial, cfg, trained_resnet8)

    return make


@pytest.fixture
def tried(trial_cfg):
    """A function that gives the trained chain of a trial by its key.

    A test that uses it should be in the group ``contract_<key>`` of xdist,
    where it is trained already.
    """

    def get(key):
        if key not in _TRIED:
            cfg, name = trial_cfg(key), TRIALS[key].name
            runner = ChainRunner(cfg)
            before = runner.facts[name]
            ledger = runner.train()
            cfg.resume = True
            _TRIED[key] = SimpleNamespace(
                cfg=cfg, before=before, ledger=ledger, name=name)
        return _TRIED[key]

    return get
