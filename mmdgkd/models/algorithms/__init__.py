# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from .dense_dafl import DenseDAFL
from .dgkd import DGKD
from .few_bit_network import FewBitNetwork
from .joint_slimmable import JointSlimmable
from .mean_of_networks import MeanOfNetworks, mean_prediction
from .mutual_networks import MutualNetworks, mutual_losses
from .speq import SPEQ
from .subnet_dmcp import SubnetDMCP
from .subnet_spos import SubnetSPOS
from .target_group_fisher import TargetGroupFisher

__all__ = [
    'DGKD', 'DenseDAFL', 'FewBitNetwork', 'JointSlimmable', 'MeanOfNetworks',
    'MutualNetworks', 'SPEQ', 'SubnetDMCP', 'SubnetSPOS', 'TargetGroupFisher',
    'mean_prediction', 'mutual_losses'
]
