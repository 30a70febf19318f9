# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from collections import Counter

import numpy as np
import pytest
from sklearn.datasets import load_digits

from mmdgkd.datasets.digits import Digits


def test_all_images_are_in_one_of_the_splits():
    splits = [Digits(split) for split in ('train', 'test')]
    assert [len(split) for split in splits] == [1442, 355]
    keys = [[
        split.get_data_info(i)['img'].tobytes() for i in range(len(split))
    ] for split in splits]
    assert not set(keys[0]) & set(keys[1])
    pixels = load_digits().images
    assert len(keys[0]) + len(keys[1]) == len(pixels)
    counts = Counter(splits[1].get_gt_labels())
    assert set(counts) == set(range(10)) and min(counts.values()) >= 34


def test_images_are_what_scikit_learn_has():
    image = Digits().get_data_info(0)['img']
    assert image.shape == (8, 8, 3) and image.dtype == np.uint8
    first = load_digits().images[0]
    assert np.abs(image[..., 0] * (16 / 255) - first).max() < 0.04
    assert image.max() > 200


def test_size_and_pipeline():
    dataset = Digits('test', size=32, pipeline=[dict(type='PackInputs')])
    sample = dataset[3]
    assert sample['inputs'].shape == (3, 32, 32)
    assert sample['data_samples'].gt_label.item() in range(10)
    assert dataset.metainfo['classes'] == tuple('0123456789') or \
        list(dataset.metainfo['classes']) == list('0123456789')


def test_another_split_is_refused():
    with pytest.raises(ValueError, match="'val' is neither"):
        Digits('val')
