# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Made-up records of trained networks, and trainings of seconds."""
import pickle
import runpy
import sys

import numpy as np
import pytest
from mmpretrain.datasets import CIFAR100
from results.record import Record
from results.record_check import pack_errors
from sklearn.datasets import load_digits

from mmdgkd.report.methods import METHOD_STYLES

NETWORKS = ['plain10', 'plain8', 'plain6', 'plain4', 'plain2']


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
        guidance = METHOD_STYLES[method].guidance
        before = NETWORKS[:NETWORKS.index(network)]
        teachers = dict(
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
            guides=teachers,
            network=network,
            seed=seed,
            epochs=epochs,
            metric='accuracy/top1',
            best=best,
            best_at=1,
            last=last,
            history=[[1, best], [epochs, last]],
            kd_weight=float(len(teachers)) or None,
            wrong=pack_errors(wrong))
        return Record(**{**values, **kwargs})

    return make


@pytest.fixture
def small_cifar100(tmp_path, monkeypatch):
    """The folder of a tiny CIFAR-100: 256 images for training, 64 for tests.

    They are digits. A record has as many test images then.
    """
    digits, labels = load_digits(return_X_y=True)
    images = digits.reshape(-1, 1, 8, 8).repeat(4, 2).repeat(4, 3)
    images = (15 * images).astype(np.uint8).repeat(3, 1).reshape(-1, 3072)
    folder = tmp_path / 'cifar100' / CIFAR100.base_folder
    folder.mkdir(parents=True)
    for split, part in (('train', slice(0, 256)), ('test', slice(256, 320))):
        data = dict(data=images[part], fine_labels=labels[part].tolist())
        (folder / split).write_bytes(pickle.dumps(data))
    monkeypatch.setattr(CIFAR100, '_check_integrity', lambda self: True)
    monkeypatch.setattr('results.record_check.TEST_IMAGES', 64)
    return folder.parent


@pytest.fixture
def trainings(monkeypatch):
    """The commands of trainings, which run in this process."""
    commands = []

    def finish(command, seconds):
        commands.append(command)
        assert command[0] == sys.executable
        limit = sys.getrecursionlimit()
        with monkeypatch.context() as patch:
            patch.setattr(sys, 'argv', command[1:])
            # As MMRazor sets it in a process of its own.
            sys.setrecursionlimit(max(limit, 10000))
            try:
                runpy.run_path(command[1], run_name='__main__')
            except SystemExit as stop:
                return stop.code or 0
            finally:
                sys.setrecursionlimit(limit)
        return 0

    monkeypatch.setattr('_reproduction.finish', finish)
    return commands
