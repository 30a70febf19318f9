# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any

import torch
from mmengine.hooks import Hook
from mmrazor.registry import HOOKS

from mmdgkd.datasets.labels import sample_classes
from mmdgkd.errors import ConfigError
from mmdgkd.models.utils.networks import unwrapped
from .bank_crd_loss import LEFT_OUT


@HOOKS.register_module()
class SampleClassesHook(Hook):
    """Gives the class of each sample to losses with ``learn_classes``.

    A chain adds it for :class:`BankCRDLoss`, whose negatives are of other
    classes.
    """

    def before_train(self, runner: Any) -> None:
        """Read the classes, and pass them on.

        Raises:
            ConfigError: If the data set has none, or does not fit.
        """
        losses = {
            name: module
            for name, module in unwrapped(runner.model).named_modules()
            if hasattr(module, 'learn_classes')
        }
        if losses:
            dataset = runner.train_dataloader.dataset
            labels = torch.tensor(sample_classes(dataset))
            chosen = getattr(dataset, 'chosen', None)
            if chosen is not None:
                left_out = torch.ones(len(labels), dtype=torch.bool)
                left_out[chosen] = False
                labels[left_out] = LEFT_OUT
        for name, loss in losses.items():
            try:
                loss.learn_classes(labels)
            except ConfigError as error:
                raise ConfigError(f'model.{name}.{error}') from None
