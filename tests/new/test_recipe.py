# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The schedule by the images, the logit store by the free disk."""
import shutil
from types import SimpleNamespace

import pytest

from mmdgkd.new.image_data import ImageData
from mmdgkd.new.recipe import recipe_of, store_of


def images(samples=1000, classes=10, size=32, **kwargs):
    return ImageData(classes, samples, size, size <= 96, **kwargs)


@pytest.mark.parametrize('samples, batch_size', [(50000, 128), (5000, 64),
                                                 (1000, 32), (100, 16),
                                                 (5, 5)])
def test_fewer_images_have_smaller_batches(samples, batch_size):
    recipe = recipe_of(images(samples), None, False)
    assert recipe.batch_size == batch_size
    assert recipe.lr == pytest.approx(0.1 * batch_size / 128, rel=0.05)


def test_a_last_batch_of_one_image_is_left_out():
    """Batch normalization cannot take it."""
    assert recipe_of(images(1025), None, False).drop_last
    assert not recipe_of(images(1026), None, False).drop_last


def test_a_fine_tuning_is_shorter_and_of_a_tenth():
    plain, tuned = (recipe_of(images(), None, each) for each in (False, True))
    assert tuned.epochs < plain.epochs
    assert tuned.lr == pytest.approx(plain.lr / 10, rel=0.05)


@pytest.mark.parametrize('epochs, warmup', [(1, 0), (2, 1), (10, 1), (60, 5)])
def test_the_warmup_is_within_the_training(epochs, warmup):
    assert recipe_of(images(), epochs, False).warmup == warmup


@pytest.mark.parametrize('free, cfg, views', [
    (10**12, dict(dtype='float16'), None),
    (10**11, dict(dtype='float16', top_k=20, others='zero'), None),
    (10**10, dict(dtype='float16', top_k=20, others='zero'), 20),
    (10**9, None, None),
])
def test_the_store_fits_on_half_of_the_disk(monkeypatch, free, cfg, views):
    monkeypatch.setattr(shutil, 'disk_usage',
                        lambda path: SimpleNamespace(free=free))
    store = store_of(images(10**6, 1000), 100, 2, 'work_dirs/x')
    assert (store.cfg, store.num_views) == (cfg, views)
    assert 2 * store.num_bytes <= free / 2
