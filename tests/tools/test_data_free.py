# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A chain that is distilled without data, by two processes."""
from pathlib import Path

import pytest
import torch

CONFIG = Path(__file__).resolve(
).parents[2] / 'configs/dafl/resnet20_to_resnet8_digits.py'
SAVE_RANKS = """
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class SaveDataFreeRanks(Hook):
    priority = 'LOWEST'

    def after_train_iter(self, runner, batch_idx, outputs=None, **kwargs):
        model = runner.model.module
        if runner.iter == 1 and hasattr(model, 'images'):
            model.said = (model.images.clone(), sorted(outputs))

    def after_train(self, runner):
        model = runner.model.module
        torch.save((model.state_dict(), *getattr(model, 'said', ())),
                   f'{runner.work_dir}/rank{runner.rank}.pt')
"""

# A config that MMEngine writes has its networks in alphabetical order.
CHILD = f"""
_base_ = {str(CONFIG)!r}
custom_imports = dict(imports=['mmdgkd', 'save_ranks'])
custom_hooks = [*_base_.custom_hooks, dict(type='SaveDataFreeRanks')]
train_dataloader = dict(batch_size=4, dataset=dict(indices=8))
val_dataloader = dict(dataset=dict(indices=8))
train_cfg = dict(max_epochs=1)
visualizer = None
model = dict(generator=dict(hidden_channels=8))
loader = dict(batch_size=8, dataset=dict(length=48))
drop = dict(type='mmrazor.StochasticDropConnector')
chain = dict(
    networks=dict(
        resnet14=dict(stage=dict(train_dataloader=loader)),
        resnet8=dict(
            stage=dict(
                train_dataloader=loader,
                model=dict(distiller=dict(connectors=dict(drop=drop)))))))
"""


@pytest.mark.slow
def test_two_processes_end_with_the_same_weights(run_ranks, tmp_path):
    (tmp_path / 'save_ranks.py').write_text(SAVE_RANKS)
    (tmp_path / 'chain.py').write_text(CHILD)
    run_ranks(tmp_path / 'chain.py', tmp_path / 'work')
    for name in ('resnet14', 'resnet8'):
        one, other = (
            torch.load(
                tmp_path / 'work' / name / f'rank{rank}.pt',
                weights_only=False) for rank in (0, 1))
        assert any(key.startswith('generator') for key in one[0])
        for key, value in one[0].items():
            assert torch.equal(value, other[0][key]), key
        # Each made images of its own, of which the same teachers spoke.
        assert not torch.equal(one[1], other[1])
        assert one[2] == other[2]
        assert sum('kd.' in key for key in one[2]) == 1
        file = torch.load(tmp_path / 'work' / name / f'{name}.pth')
        for key, value in file['state_dict'].items():
            assert torch.equal(value, one[0][f'architecture.{key}']), key
