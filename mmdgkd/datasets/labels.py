# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, List

from mmdgkd.errors import ConfigError


def sample_class(dataset: Any, index: int) -> int:
    """Get the class of a sample.

    Args:
        dataset (Any): One of MMPretrain's, perhaps in wrappers.
        index (int): Index of the sample.

    Raises:
        ConfigError: If it has none, or several.
    """
    try:
        label, = dataset.get_cat_ids(index)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ConfigError(
            f'train_dataloader.dataset: sample {index} does not have exactly '
            'one class; a loss needs the class of each sample') from None
    return int(label)


def sample_classes(dataset: Any) -> List[int]:
    """Get the class of each sample.

    Args:
        dataset (Any): One of MMPretrain's, perhaps in wrappers.

    Returns:
        list[int]: By index.

    Raises:
        ConfigError: If a sample has none, or several.
    """
    return [sample_class(dataset, index) for index in range(len(dataset))]
