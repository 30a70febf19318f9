# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""One-shot pruning of single weights, with teachers as the context."""
from .method import OneShot
from .one_shot_prune_hook import OneShotPruneHook
from .one_shot_pruned import OneShotPruned, context_kd_loss
from .sparse_weights import dense_weights, sparse_weights

__all__ = [
    'OneShot', 'OneShotPruneHook', 'OneShotPruned', 'context_kd_loss',
    'dense_weights', 'sparse_weights'
]
