# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from .dgkd import DGKD

__all__ = [
    'DGKD', 'JointSlimmable', 'SubnetDMCP', 'SubnetSPOS', 'TargetGroupFisher'
]
