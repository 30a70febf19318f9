# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What recorders have taken down, on its way to connectors and losses."""
import contextlib
from typing import Any, Iterator, Mapping

import torch

from mmdgkd.errors import ConfigError


@contextlib.contextmanager
def refused_records(place: str) -> Iterator[None]:
    """Say which mapping does not fit what was recorded.

    Args:
        place (str): The loss and its argument.

    Raises:
        ConfigError: In place of what MMRazor and PyTorch say.
    """
    try:
        yield
    except (AssertionError, IndexError, KeyError, RuntimeError,
            TypeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        # Not what a device or a kernel has to say.
        if isinstance(error, RuntimeError) and not any(
                word in reason
                for word in ('channel', 'reduction dim', 'shape', 'size')):
            raise
        raise ConfigError('model.distiller.loss_forward_mappings.'
                          f'{place}: {reason}') from None


def check_shapes(loss_name: str, records: Mapping[str, Any]) -> None:
    """Say which inputs of a loss have not the same shape, if some have not.

    Args:
        loss_name (str): The loss, which has failed.
        records (Mapping[str, Any]): What it was given, by argument.

    Raises:
        ConfigError: If two maps or matrices differ in shape.
    """
    shapes = {
        key: tuple(item.shape)
        for key, item in records.items()
        if isinstance(item, torch.Tensor) and item.ndim > 1
    }
    if len(set(shapes.values())) > 1:
        said = ' and '.join(f'{key} {shape}' for key, shape in shapes.items())
        raise ConfigError(
            f'model.distiller.loss_forward_mappings.{loss_name}: {said} do '
            'not fit; align them by connectors, such as '
            'mmrazor.ConvModuleConnector for the channels and '
            'mmrazor.ResizeConnector for height and width') from None


def detached(record: Any) -> Any:
    """Take what was recorded out of its graph.

    Args:
        record (Any): A tensor, or tensors in tuples, lists and dicts.
    """
    if isinstance(record, torch.Tensor):
        return record.detach()
    if isinstance(record, dict):
        return {key: detached(item) for key, item in record.items()}
    if type(record) in (tuple, list):
        return type(record)(map(detached, record))
    return record


def in_float32(record: Any) -> Any:
    """Take what was recorded out of half precision.

    That is enough for a network, not for a sum over its maps; and connectors
    have weights in float32 (MMRazor's issue 190).

    Args:
        record (Any): A tensor, or tensors in tuples, lists and dicts.
    """
    if isinstance(record, torch.Tensor):
        is_half = record.dtype in (torch.float16, torch.bfloat16)
        return record.float() if is_half else record
    if isinstance(record, dict):
        return {key: in_float32(item) for key, item in record.items()}
    if type(record) in (tuple, list):
        return type(record)(map(in_float32, record))
    return record
