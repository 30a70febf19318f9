# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, List

import torch
from mmengine.hooks import Hook
from mmrazor.registry import HOOKS

from mmdgkd.errors import ConfigError
from mmdgkd.models.utils.networks import unwrapped


def sample_class(dataset: Any, index: int) -> int:
    """The class of a sample of a data set.

    Args:
        dataset (Any): One of MMPretrain's, perhaps in wrappers.
        index (int): The sample.

    Raises:
        ConfigError: If it does not say it, or has several.
    """
    try:
        label, = dataset.get_cat_ids(index)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ConfigError(
            f'train_dataloader.dataset: does not say the class of sample '
            f'{index}, or not a single one; BankCRDLoss contrasts samples '
            'of different classes') from None
    return int(label)


def sample_classes(dataset: Any) -> List[int]:
    """The class of each sample of a data set.

    Args:
        dataset (Any): One of MMPretrain's, perhaps in wrappers.

    Returns:
        list[int]: By index.

    Raises:
        ConfigError: If it does not say them, or has several of a sample.
    """
    return [sample_class(dataset, index) for index in range(len(dataset))]


@HOOKS.register_module()
class SampleClassesHook(Hook):
    """Tells each loss that asks for it which class each sample is of.

    A chain adds it for :class:`BankCRDLoss`, whose negatives are of other
    classes.
    """

    def before_train(self, runner: Any) -> None:
        """Tell them.

        Raises:
            ConfigError: If the data set does not say it, or does not fit.
        """
        losses = {
            name: module
            for name, module in unwrapped(runner.model).named_modules()
            if hasattr(module, 'learn_classes')
        }
        if losses:
            labels = torch.tensor(
                sample_classes(runner.train_dataloader.dataset))
        for name, loss in losses.items():
            try:
                loss.learn_classes(labels)
            except ConfigError as error:
                raise ConfigError(f'model.{name}.{error}') from None
