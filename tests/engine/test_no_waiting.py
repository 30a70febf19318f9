# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A step lets an accelerator run on: the host reads nothing that is computed
in it. On the CPU the same operators are called, and are watched here; on a GPU
PyTorch also raises an error wherever the host would wait."""
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch.utils._python_dispatch import TorchDispatchMode

from mmdgkd.chain.runner import ChainRunner
from mmdgkd.engine.finite_step.step_guard import StepGuard

READS = (torch.ops.aten._local_scalar_dense, torch.ops.aten.is_nonzero,
         torch.ops.aten.nonzero, torch.ops.aten.equal,
         torch.ops.aten.masked_select, torch.ops.aten.unique_dim,
         torch.ops.aten._unique2)


class Reads(TorchDispatchMode):
    """Counts reads of what is computed."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.overloadpacket in READS
        return func(*args, **(kwargs or {}))


@HOOKS.register_module(force=True)
class CountReads(Hook):
    """Those of each step but the first and the last, which are logged."""

    priority = 'LOWEST'
    found = {}

    def before_train_iter(self, runner, batch_idx, **kwargs):
        self.mode = Reads()
        if 0 < batch_idx < len(runner.train_dataloader) - 1:
            self._watch('error')
            self.mode.__enter__()

    def after_train_iter(self, runner, batch_idx, **kwargs):
        if 0 < batch_idx < len(runner.train_dataloader) - 1:
            self.mode.__exit__(None, None, None)
            self._watch('default')
            counts = self.found.setdefault(runner.experiment_name, [])
            counts.append(self.mode.count)

    def _watch(self, mode):
        if torch.cuda.is_available():
            torch.cuda.set_sync_debug_mode(mode)


@pytest.mark.gpu
@pytest.mark.parametrize('store', [True, False])
def test_a_step_reads_one_flag(tiny_cfg, monkeypatch, store):
    """That of an older step, whether it was bad."""
    CountReads.found = {}
    init = StepGuard.__init__

    def as_on_a_device(guard, *args, **kwargs):
        init(guard, *args, **kwargs)
        guard.on_host = False

    monkeypatch.setattr(StepGuard, '__init__', as_on_a_device)
    cfg = tiny_cfg()
    if not store:
        cfg.chain.logit_store = None
    cfg.custom_hooks.append(dict(type='mmengine.CountReads'))
    cfg.train_dataloader.batch_size = 8
    ChainRunner(cfg).train()
    assert len(CountReads.found) == 3
    # The flag of the step two before: none in the first of them.
    assert all(counts == [0, 1, 1, 1, 1, 1]
               for counts in CountReads.found.values()), CountReads.found
