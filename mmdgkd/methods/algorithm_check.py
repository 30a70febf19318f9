# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Which algorithms of MMRazor may train a network of a chain."""
from mmengine.model import BaseModel
from mmrazor.models.algorithms import (BaseAlgorithm, ItePruneAlgorithm,
                                       MMArchitectureQuant)
from torch import nn

from mmdgkd.errors import ConfigError
from mmdgkd.methods.dmcp.subnet_dmcp import SubnetDMCP
from mmdgkd.methods.group_fisher.target_group_fisher import TargetGroupFisher
from mmdgkd.methods.low_bit.few_bit_network import FewBitNetwork
from mmdgkd.methods.mutual.mutual_networks import MutualNetworks
from mmdgkd.methods.slimmable.joint_slimmable import JointSlimmable
from mmdgkd.methods.spos.subnet_spos import SubnetSPOS

KNOWN = (ItePruneAlgorithm, FewBitNetwork, JointSlimmable, MMArchitectureQuant,
         MutualNetworks, SubnetDMCP, SubnetSPOS, TargetGroupFisher)


def check_algorithm(name: str, model: nn.Module) -> None:
    """See whether a network of a chain is trained by what guides reach.

    Args:
        name (str): The network.
        model (nn.Module): Its model.

    Raises:
        ConfigError: If it is another algorithm that takes something away from
            a network, of which nothing would be chosen, or that has a
            ``train_step`` of its own, which would not run.
    """
    if not isinstance(model, BaseAlgorithm) or isinstance(model, KNOWN):
        return
    mutates = getattr(model, 'mutator', None) is not None
    if mutates or type(model).train_step is not BaseModel.train_step:
        names = ', '.join(known.__name__ for known in KNOWN)
        raise ConfigError(
            f'chain.networks.{name}.model.type: {type(model).__name__} cannot '
            f'train a network of a chain; those that can are {names}')
