# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Records on their way to connectors and losses: checks, conversions."""
import contextlib
from typing import Any, Iterator, Mapping

import torch
from mmengine.utils import apply_to

from mmdgkd.errors import ConfigError


@contextlib.contextmanager
def refused_records(place: str) -> Iterator[None]:
    """Name the mapping that does not fit the records.

    Args:
        place (str): The loss and its argument.

    Raises:
        ConfigError: In place of the errors of MMRazor and PyTorch.
    """
    try:
        yield
    except (AssertionError, IndexError, KeyError, RuntimeError,
            TypeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        # Not errors of devices and kernels.
        if isinstance(error, RuntimeError) and not any(
                word in reason
                for word in ('channel', 'reduction dim', 'shape', 'size')):
            raise
        raise ConfigError('model.distiller.loss_forward_mappings.'
                          f'{place}: {reason}') from None


def check_shapes(loss_name: str, records: Mapping[str, Any]) -> None:
    """Name the inputs of a failed loss whose shapes differ.

    Args:
        loss_name (str): The loss.
        records (Mapping[str, Any]): Its arguments, by name.

    Raises:
        ConfigError: If two maps or matrices differ in shape.
    """
    shapes = {
        key: tuple(item.shape)
        for key, item in records.items()
        if isinstance(item, torch.Tensor) and item.ndim > 1
    }
    if len(set(shapes.values())) > 1:
        pairs = ' and '.join(f'{key} {shape}' for key, shape in shapes.items())
        raise ConfigError(
            f'model.distiller.loss_forward_mappings.{loss_name}: {pairs} do '
            'not fit; align them by connectors, such as '
            'mmrazor.ConvModuleConnector for the channels and '
            'mmrazor.ResizeConnector for height and width') from None


def check_labels(loss_name: str, records: Mapping[str, Any]) -> None:
    """Name the labels of a failed loss that needs one class an image.

    Args:
        loss_name (str): The loss.
        records (Mapping[str, Any]): Its arguments, by name.

    Raises:
        ConfigError: If some are scores, as those of mixed images are.
    """
    for key, item in records.items():
        if 'label' in key and torch.is_tensor(item) and (
                item.ndim == 2 and item.is_floating_point()):
            raise ConfigError(
                f'model.distiller.loss_forward_mappings.{loss_name}.{key}: '
                'are scores of shape '
                f'{tuple(item.shape)}, as of mixed images, but '
                f'{loss_name} needs one class an image; leave out augments of '
                'model.train_cfg, or data_preprocessor.batch_augments'
            ) from None


def detached(record: Any) -> Any:
    """Detach a record from its graph.

    Args:
        record (Any): A tensor, or tensors in tuples, lists and dicts.
    """
    return apply_to(record, torch.is_tensor, torch.Tensor.detach)


def in_float32(record: Any) -> Any:
    """Convert half-precision tensors of a record to float32.

    Sums over feature maps need more than half precision, and connectors have
    weights in float32 (MMRazor's issue 190).

    Args:
        record (Any): A tensor, or tensors in tuples, lists and dicts.
    """

    def is_half(item: Any) -> bool:
        return torch.is_tensor(item) and item.dtype in (torch.float16,
                                                        torch.bfloat16)

    return apply_to(record, is_half, torch.Tensor.float)
