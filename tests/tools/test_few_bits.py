# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Networks of few levels, by several processes."""
import pytest
import torch
from mmengine.config import Config

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
CASES = {
    'fewbit/w2': dict(act_bits=2),
    'speq/w2a2': dict(act_bits=4, step='optimal'),
    'gslr/w2': dict(act_bits=4)
}


@pytest.mark.slow
@pytest.mark.parametrize('case', CASES)
def test_two_processes_with_amp_end_with_the_same_state(
        case, on_digits, run_ranks, tmp_path, root):
    """Each has other images, from which activations get their steps.

    Learned ones, and optimal ones that go on following the batches.
    """
    (tmp_path / 'save_ranks.py').write_text(SAVE_RANKS)
    cfg = Config.fromfile(
        str(root / f'configs/{case}_resnet20_to_resnet8_digits.py'))
    name = f'resnet8_{case.rpartition("/")[2]}'
    on_digits(cfg, 8)
    networks = cfg.chain.networks
    networks.resnet20 = networks.resnet14 = None
    networks[name].model.update(CASES[case])
    cfg.custom_imports.imports.append('save_ranks')
    hook = dict(type='SaveRanks')
    cfg.custom_hooks.append(hook)
    # A list of the stage's own takes the place of the chain's.
    networks[name].stage.get('custom_hooks', []).append(hook)
    cfg.optim_wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic')
    cfg.dump(tmp_path / 'chain.py')
    run_ranks(tmp_path / 'chain.py', tmp_path / 'work')
    folder = tmp_path / 'work' / name
    one, other = (
        torch.load(folder / f'rank{rank}.pt', weights_only=False)
        for rank in (0, 1))
    steps = [data for key, data in one.items() if key.endswith('act.step')]
    assert steps and not any(data == 1 for data in steps)
    file = torch.load(folder / f'{name}.pth')['state_dict']
    for key, value in one.items():
        assert torch.equal(value, other[key]), key
    for key, value in file.items():
        assert torch.equal(value, one[f'architecture.{key}']), key
