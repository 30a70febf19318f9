# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from .dgkd import DGKD
from .subnet_spos import SubnetSPOS

__all__ = ['DGKD', 'SubnetSPOS']
