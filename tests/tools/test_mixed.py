# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks of other algorithms of MMRazor, by several processes."""
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

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


@pytest.mark.slow
@pytest.mark.parametrize(
    'config',
    CONFIGS,
    ids=lambda path: '/'.join(path.with_suffix('').parts[-2:]))
def test_two_processes_with_amp_end_with_the_same_state(
        config, on_digits, trained, states_of_ranks, tmp_path):
    """All of it: masks, ranges, chosen blocks, connectors of each teacher.

    What is an ordinary network before the last one is not trained again.
    """
    cfg = Config.fromfile(str(config))
    on_digits(cfg, 8)
    name = [
        name for name, entry in cfg.chain.networks.items()
        if entry and 'model' in entry
    ][-1]
    for teacher, entry in list(cfg.chain.networks.items())[:-1]:
        known = trained[0].chain.networks.get(teacher)
        if entry and known and entry.get('model') == known.model:
            entry.ckpt_path = trained[1].work.file_of(teacher)
    one, other = states_of_ranks(cfg, name)
    assert 'feed' not in config.stem or any('ntl_resnet20' in key
                                            for key in one)
    for key, value in one.items():
        if torch.is_tensor(value):
            assert torch.equal(value, other[key]), key
    work_dir = tmp_path / 'work'
    file = torch.load(work_dir / name / f'{name}.pth')['state_dict']
    assert file
    # What trains it with heads is no part of its file.
    prefix = 'architecture.' * (1 + (config.parent.name == 'byot'))
    for key, value in file.items():
        # Observers are off in the file, and on again in the next epoch.
        if not key.endswith('observer_enabled'):
            assert torch.equal(value, one[prefix + key]), key
    assert (work_dir / 'chain.json').exists()
