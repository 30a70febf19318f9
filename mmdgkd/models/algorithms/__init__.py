# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from .dgkd import DGKD
from .joint_slimmable import JointSlimmable
from .mutual_networks import MutualNetworks, mutual_losses
from .subnet_dmcp import SubnetDMCP
from .subnet_spos import SubnetSPOS
from .target_group_fisher import TargetGroupFisher

__all__ = [
    'DGKD', 'JointSlimmable', 'MutualNetworks', 'SubnetDMCP', 'SubnetSPOS',
    'TargetGroupFisher', 'mutual_losses'
]
