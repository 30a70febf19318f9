# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Chains of networks: what declares, checks and trains them."""
from .chain import Chain, Network, teachers_of
from .hooks.init_from_hook import InitFromHook
from .hooks.ledger_hook import LedgerHook
from .ledger import Ledger
from .runner import ChainRunner

__all__ = [
    'Chain', 'ChainRunner', 'InitFromHook', 'Ledger', 'LedgerHook', 'Network',
    'teachers_of'
]
