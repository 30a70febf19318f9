# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks of other algorithms of MMRazor, by several processes."""
import os.path as osp
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmdgkd.engine import Chain

MIXED = Path(__file__).resolve().parents[2] / 'configs/mixed'
PACEMAKER = MIXED.parent.glob('onthefly/*_digits.py')
# Group Fisher and DMCP are refused by several processes.
CONFIGS = sorted([
    *MIXED.glob('*_feed_*'), *MIXED.glob('joint_at_*'), *PACEMAKER,
    *MIXED.parent.glob('mutual/*digits.py'),
    *MIXED.parent.glob('born_again/*digits.py'),
    *MIXED.parent.glob('student_guided/*digits.py'),
    *MIXED.parent.glob('byot/*digits.py')
])
SAVE_RANKS = """
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class SaveRanks(Hook):
    priority = 'LOWEST'

    def after_train(self, runner):
        torch.save(runner.model.module.state_dict(),
                   f'{runner.work_dir}/rank{runner.rank}.pt')
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    'config',
    CONFIGS,
    ids=lambda path: '/'.join(path.with_suffix('').parts[-2:]))
def test_two_processes_with_amp_end_with_the_same_state(
        config, on_digits, trained, run_ranks, tmp_path):
    """All of it: masks, ranges, chosen blocks, connectors of each guide.

    What is an ordinary network before the last one is not trained again.
    """
    (tmp_path / 'save_ranks.py').write_text(SAVE_RANKS)
    cfg = Config.fromfile(str(config))
    on_digits(cfg, 8)
    cfg.custom_imports.imports.append('save_ranks')
    hook = dict(type='SaveRanks')
    cfg.custom_hooks.append(hook)
    name = [
        name for name, entry in cfg.chain.networks.items()
        if entry and 'model' in entry
    ][-1]
    hooks = cfg.chain.networks[name].get('stage', {}).get('custom_hooks')
    if hooks:
        hooks.append(hook)
    for guide, entry in list(cfg.chain.networks.items())[:-1]:
        known = trained[0].chain.networks.get(guide)
        if entry and known and entry.get('model') == known.model:
            entry.ckpt_path = trained[1].work.file_of(guide)
    cfg.optim_wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic')
    # A list of networks: MMEngine sorts the keys of a dict that it writes.
    cfg.chain = Chain.from_cfg(cfg.chain).to_cfg()
    cfg.dump(tmp_path / 'chain.py')
    run_ranks(tmp_path / 'chain.py', tmp_path / 'work')
    folder = tmp_path / 'work' / name
    one, other = (
        torch.load(folder / f'rank{rank}.pt', weights_only=False)
        for rank in (0, 1))
    assert 'feed' not in config.stem or any('ntl_resnet20' in key
                                            for key in one)
    for key, value in one.items():
        if torch.is_tensor(value):
            assert torch.equal(value, other[key]), key
    file = torch.load(folder / f'{name}.pth')['state_dict']
    assert file
    # What trains it with heads is no part of its file.
    prefix = 'architecture.' * (1 + (config.parent.name == 'byot'))
    for key, value in file.items():
        # Observers are off in the file, and on again in the next epoch.
        if not key.endswith('observer_enabled'):
            assert torch.equal(value, one[prefix + key]), key
    assert osp.exists(tmp_path / 'work' / 'chain.json')
