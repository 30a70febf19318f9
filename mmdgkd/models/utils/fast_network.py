# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from torch import nn

from mmdgkd.errors import ConfigError


def compile_network(network: nn.Module, key: str) -> None:
    """Run the backbone and the neck of a classifier by ``torch.compile``.

    In place, so that the names of the weights stay. The head is left as it is:
    it is small, and recorders look into it.

    Args:
        network (nn.Module): An MMPretrain classifier.
        key (str): Its config key, for the message.

    Raises:
        ConfigError: If it has no backbone.
    """
    backbone = getattr(network, 'backbone', None)
    if not isinstance(backbone, nn.Module):
        raise ConfigError(f'{key}: {type(network).__name__} has no backbone '
                          'that could be compiled; set compile=False')
    backbone.compile()
    if isinstance(getattr(network, 'neck', None), nn.Module):
        network.neck.compile()
