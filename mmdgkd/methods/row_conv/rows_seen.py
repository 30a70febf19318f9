# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Which rows of the image each row of a feature map depends on."""
import copy
from functools import partial
from typing import Any, Dict, Optional, Sequence

import torch
from torch import nn

from mmdgkd.errors import ConfigError


@torch.no_grad()
def rows_seen(network: nn.Module,
              shape: Sequence[int]) -> Dict[str, torch.Tensor]:
    """Which rows of the image each row of each feature map depends on.

    One row of each image is NaN: outputs that depend on it are NaN, too, for
    any weights. So no tolerance is needed. It runs in float64, in which
    convolutions compute one output at a time.

    Args:
        network (nn.Module): A backbone or a classifier. A copy of it runs in
            eval mode: in training batch normalization depends on all rows.
        shape (Sequence[int]): Shape (C, H, W) of an image.

    Returns:
        dict[str, torch.Tensor]: For each module whose output is a feature map,
        by name and in the order of their calls, a boolean mask of shape
        (rows of the map, H); '' is the network itself. The mask of a module
        that is called several times is that of all calls.

    Raises:
        ConfigError: If the network outputs NaN for an image without any, or
            mixes the images of a batch.
    """
    channels, height, width = shape
    network = copy.deepcopy(network).cpu().double()
    # Not chained: train() of MMPretrain's backbones returns None.
    network.eval()
    # The last image is without NaN.
    images = torch.zeros(height + 1, channels, height, width).double()
    for row in range(height):
        images[row, :, row] = torch.nan
    seen: Dict[str, torch.Tensor] = {}

    def record(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        found = _map_of(output, len(images))
        if found is None:
            return
        reached = found.isnan().any(3).any(1)
        if reached[-1].any():
            raise ConfigError(
                f'{name or type(module).__name__}: outputs NaN for an image '
                'without any, or mixes the images of a batch; its rows cannot '
                'be traced')
        mask = reached[:-1].T
        before = seen.pop(name, None)
        if before is not None and before.shape == mask.shape:
            mask = mask | before
        seen[name] = mask

    for name, module in network.named_modules():
        module.register_forward_hook(partial(record, name))
    network(images)
    return seen


def check_single_rows(seen: Dict[str, torch.Tensor]) -> None:
    """Refuse a network in which a row depends on several rows of the image.

    Args:
        seen (dict[str, torch.Tensor]): Of its backbone, from
            :func:`rows_seen`.

    Raises:
        ConfigError: It names the first such module.
    """
    for name, mask in seen.items():
        most = int(mask.sum(1).max())
        if most > 1:
            row = int(mask.sum(1).argmax())
            raise ConfigError(
                f'backbone.{name}: row {row} of its output depends on {most} '
                'rows of the image; each may depend on one, as with conv_cfg='
                "dict(type='mmrazor.RowConv') and, in SmallVGG, "
                'pool_size=(1, 2)')


def _map_of(output: Any, images: int) -> Optional[torch.Tensor]:
    """The feature map of an output, the last of several."""
    if isinstance(output, (list, tuple)) and output:
        output = output[-1]
    if (isinstance(output, torch.Tensor) and output.ndim == 4
            and len(output) == images):
        return output
    return None
