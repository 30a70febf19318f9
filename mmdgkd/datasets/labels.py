# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, List

from mmdgkd.errors import ConfigError


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
