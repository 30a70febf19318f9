# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""SPOS: a supernet and the search for its subnet."""
from .method import SPOSMethod
from .searchable_resnet_6n2 import SearchableResNet6n2
from .subnet_search_hook import SubnetSearchHook
from .subnet_spos import SubnetSPOS

__all__ = [
    'SPOSMethod', 'SearchableResNet6n2', 'SubnetSPOS', 'SubnetSearchHook'
]
