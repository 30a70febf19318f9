# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Dict, Optional, Tuple, Union

import torch
import torch.nn.functional as F
from mmrazor.models.architectures.connectors.base_connector import \
    BaseConnector
from mmrazor.registry import MODELS

from mmdgkd.errors import ConfigError


@MODELS.register_module()
class ResizeConnector(BaseConnector):
    """Brings feature maps to another height and width.

    MMRazor's connectors change channels; with one of them in a list it aligns
    maps that differ in both::

        connectors=dict(align=[
            dict(type='mmrazor.ConvModuleConnector', in_channel=16,
                 out_channel=64),
            dict(type='mmrazor.ResizeConnector', size=8)])

    A smaller map is the mean over the parts of the larger one, a larger one is
    interpolated bilinearly.

    Args:
        size (int | tuple[int, int]): Height and width, in pixels.
        init_cfg (dict, optional): As in every MMEngine module.

    Raises:
        ConfigError: For a wrong size; or, in use, if the input is no feature
            map.
    """

    def __init__(self,
                 size: Union[int, Tuple[int, int]],
                 init_cfg: Optional[Dict] = None) -> None:
        super().__init__(init_cfg)
        pair = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
        if len(pair) != 2 or not all(
                type(side) is int and side > 0 for side in pair):
            raise ConfigError(f'ResizeConnector.size: is {size}, should be one'
                              ' or two integers above 0')
        self.size = pair

    def forward_train(self, feature: torch.Tensor) -> torch.Tensor:
        """Resize.

        Args:
            feature (torch.Tensor): Shape (N, C, H, W).

        Returns:
            torch.Tensor: Shape ``(N, C, *size)``.
        """
        if feature.ndim != 4:
            raise ConfigError('ResizeConnector: resizes feature maps of shape '
                              f'(N, C, H, W), not {tuple(feature.shape)}')
        if tuple(feature.shape[2:]) == self.size:
            return feature
        if all(new <= old for new, old in zip(self.size, feature.shape[2:])):
            return F.adaptive_avg_pool2d(feature, self.size)
        return F.interpolate(
            feature, self.size, mode='bilinear', align_corners=False)
