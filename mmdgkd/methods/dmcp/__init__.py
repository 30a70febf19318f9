# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""DMCP: numbers of channels that are learned."""
from .method import DMCPMethod
from .subnet_dmcp import SubnetDMCP

__all__ = ['DMCPMethod', 'SubnetDMCP']
