# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A loss that is not finite on one rank stops the update of all."""
import pytest
import torch

from mmdgkd.fileio.checkpoint import read_checkpoint

SPOIL = """
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class SpoilRank(Hook):
    def before_run(self, runner):
        model = getattr(runner.model, 'module', runner.model)

        def forward(module, args, kwargs):
            if (runner.iter, runner.rank) == (2, 1) and (
                    kwargs.get('mode') == 'loss'):
                kwargs['inputs'] = kwargs['inputs'] * float('nan')
            return args, kwargs

        model.register_forward_pre_hook(forward, with_kwargs=True)
"""

# As if the host learned of it later, as it does from an accelerator.
LATE = """
from mmdgkd.engine.finite_step import StepGuard
end = StepGuard.end

def late(self, ended):
    step = end(self, ended)
    if step is not None:
        step.is_known = False
    return step

StepGuard.end = late
"""


@pytest.mark.slow
@pytest.mark.parametrize('late', [False, True])
def test_no_rank_updates(tmp_path, root, run_ranks, late):
    name = f'spoil_rank_{late}'
    (tmp_path / f'{name}.py').write_text(SPOIL + LATE * late)
    parent = root / 'tests/configs/survivor.py'
    config = tmp_path / 'config.py'
    config.write_text(f'_base_ = {str(parent)!r}\n'
                      f"custom_imports = dict(imports=['mmdgkd', {name!r}])\n"
                      "custom_hooks = [dict(type='mmrazor.FiniteLossHook'), "
                      "dict(type='EMAHook'), dict(type='SpoilRank')]\n")
    work = tmp_path / 'work'
    with pytest.raises(RuntimeError) as info:
        run_ranks(config, work)
    text = str(info.value)
    assert 'TrainingError: resnet20: the loss is not finite in iteration 3 ' \
        '(epoch 1): rank 1: loss=nan' in text
    saved = read_checkpoint(str(work / 'resnet20' / 'iter_2.pth'), 'x')
    assert 'bad_step_3/rank_1.pth repeats the step' in text
    # Its EMA has exchanged the two.
    raw = saved['ema_state_dict']
    for rank in (0, 1):
        dump = read_checkpoint(
            str(work / 'resnet20' / 'bad_step_3' / f'rank_{rank}.pth'), 'x')
        assert dump['rank'] == rank and len(dump['indices']) == 8
        for key, value in dump['state_dict'].items():
            if 'running' not in key:  # each rank has its own
                assert torch.equal(value, raw[f'module.{key}']), (rank, key)
            assert torch.isfinite(value).all(), (rank, key)
