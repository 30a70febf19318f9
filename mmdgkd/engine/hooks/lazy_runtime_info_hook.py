# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, Dict, List, Optional

import torch
from mmengine.hooks import LoggerHook, RuntimeInfoHook
from mmrazor.registry import HOOKS


@HOOKS.register_module()
class LazyRuntimeInfoHook(RuntimeInfoHook):
    """MMEngine's ``RuntimeInfoHook`` without a device sync in each step.

    MMEngine reads every logged value off the device in every iteration. This
    hook keeps them there and reads them all at once when they are about to be
    logged or saved. The message hub then holds the same values in the same
    order.

    Put it into ``default_hooks`` under ``runtime_info``.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pending: List[Dict[str, Any]] = []

    def after_train_iter(self,
                         runner: Any,
                         batch_idx: int,
                         data_batch: Any = None,
                         outputs: Optional[Dict] = None) -> None:
        """Keep the values; read them if this iteration is logged."""
        if outputs:
            # Detached, or the graphs of all these steps would stay.
            self._pending.append({
                key:
                value.detach() if isinstance(value, torch.Tensor) else value
                for key, value in outputs.items()
            })
        interval = next(
            (hook.interval
             for hook in runner.hooks if isinstance(hook, LoggerHook)), 1)
        if (self.every_n_inner_iters(batch_idx, interval)
                or self.every_n_train_iters(runner, interval)
                or self.end_of_epoch(runner.train_dataloader, batch_idx)
                or self.is_last_train_iter(runner)):
            self.flush(runner)

    def before_val(self, runner: Any) -> None:
        """Read the values before another loop begins."""
        self.flush(runner)
        super().before_val(runner)

    def before_save_checkpoint(self, runner: Any, checkpoint: Dict) -> None:
        """Read the values: the checkpoint contains the message hub."""
        if self._pending:
            self.flush(runner)
            checkpoint['message_hub'] = runner.message_hub.state_dict()

    def flush(self, runner: Any) -> None:
        """Read all pending values off the device, in one go.

        Args:
            runner (Runner): The runner of the training process.
        """
        pending, self._pending = self._pending, []
        tensors = [
            value.float().reshape(()) for outputs in pending
            for value in outputs.values() if isinstance(value, torch.Tensor)
        ]
        numbers = iter(torch.stack(tensors).tolist() if tensors else ())
        for outputs in pending:
            for key, value in outputs.items():
                if isinstance(value, torch.Tensor):
                    value = next(numbers)
                runner.message_hub.update_scalar(f'train/{key}', value)
