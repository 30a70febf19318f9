# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Deep mutual learning."""
from .method import Mutual
from .mutual_networks import MutualNetworks, mutual_losses

__all__ = ['Mutual', 'MutualNetworks', 'mutual_losses']
