# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks of few levels, by several processes."""
import pytest
import torch
from mmengine.config import Config

CASES = {
    'fewbit/w2': dict(act_bits=2),
    'speq/w2a2': dict(act_bits=4, step='optimal'),
    'gslr/w2': dict(act_bits=4)
}


@pytest.mark.slow
@pytest.mark.parametrize('case', CASES)
def test_two_processes_with_amp_end_with_the_same_state(
        case, on_digits, states_of_ranks, tmp_path, root):
    """Each has other images, from which activations get their steps.

    Learned ones, and optimal ones that go on following the batches.
    """
    cfg = Config.fromfile(
        str(root / f'configs/{case}_resnet20_to_resnet8_digits.py'))
    name = f'resnet8_{case.rpartition("/")[2]}'
    on_digits(cfg, 8)
    networks = cfg.chain.networks
    networks.resnet20 = networks.resnet14 = None
    networks[name].model.update(CASES[case])
    one, other = states_of_ranks(cfg, name)
    steps = [data for key, data in one.items() if key.endswith('act.step')]
    assert steps and not any(data == 1 for data in steps)
    file = torch.load(tmp_path / 'work' / name / f'{name}.pth')['state_dict']
    for key, value in one.items():
        assert torch.equal(value, other[key]), key
    for key, value in file.items():
        assert torch.equal(value, one[f'architecture.{key}']), key
