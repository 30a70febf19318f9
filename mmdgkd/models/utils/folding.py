# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from mmcv.cnn import fuse_conv_bn
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Fold batch normalization into the convolutions before it, in place.

    By MMCV, which leaves out a normalization as a whole. timm's have an
    activation in them, which stays.

    Args:
        network (nn.Module): The network.

    Returns:
        nn.Module: The network.
    """
    with_act = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, _BatchNorm)
        and isinstance(getattr(module, 'act', None), nn.Module)
    }
    network = fuse_conv_bn(network)
    for name, norm in with_act.items():
        if type(network.get_submodule(name)) is nn.Identity:
            parts = (getattr(norm, 'drop', None), norm.act)
            network.set_submodule(
                name,
                nn.Sequential(*(part for part in parts
                                if isinstance(part, nn.Module))))
    return network
