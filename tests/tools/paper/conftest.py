# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Made-up records of trained networks."""
import numpy as np
import pytest
from results.record import Record, pack_errors

NETWORKS = ['plain10', 'plain8', 'plain6', 'plain4', 'plain2']
GUIDANCE = dict(alone='none', kd='direct', takd='sequential')


@pytest.fixture
def make_record():
    """A function that makes a record, the student's by default."""

    def make(method='dgkd',
             best=50.,
             seed=0,
             network='plain2',
             last=None,
             epochs=2,
             wrong=None,
             setting='released-none',
             **kwargs):
        guidance = GUIDANCE.get(method, 'dense')
        before = NETWORKS[:NETWORKS.index(network)]
        guides = dict(
            none=[], direct=before[:1], sequential=before[-1:],
            dense=before)[guidance]
        last = best if last is None else last
        if wrong is None:
            wrong = np.arange(10000) < round(100 * (100 - last))
        recipe, augmentation = setting.split('-')
        values = dict(
            version=1,
            dataset='cifar100',
            networks=NETWORKS,
            recipe=recipe,
            augmentation=augmentation,
            method=method,
            guidance=guidance,
            guides=guides,
            network=network,
            seed=seed,
            epochs=epochs,
            metric='accuracy/top1',
            best=best,
            best_at=1,
            last=last,
            history=[[1, best], [epochs, last]],
            kd_weight=float(len(guides)) or None,
            wrong=pack_errors(wrong))
        return Record(**{**values, **kwargs})

    return make
