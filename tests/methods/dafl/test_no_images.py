# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest

from mmdgkd import ConfigError
from mmdgkd.datasets.view_dataset import ViewDataset
from mmdgkd.methods.dafl.no_images import NoImages


def test_it_has_a_length_and_a_shape():
    dataset = NoImages(5, (1, 4, 6), metainfo=dict(classes=['a', 'b']))
    assert len(dataset) == 5
    sample = dataset[4]
    assert sample['inputs'].shape == (1, 4, 6)
    assert not sample['inputs'].any()
    assert sample['data_samples'].gt_label == 0
    assert dataset.metainfo == dict(classes=['a', 'b'])
    # It has one view.
    views = ViewDataset(dataset)
    assert views.num_views == 1
    assert views[3, 2]['data_samples'].sample_idx == 2


@pytest.mark.parametrize('kwargs,message', [
    (dict(length=0), 'length: 0 must be an integer'),
    (dict(length=1.5), 'length: 1.5 must be an integer'),
    (dict(length=1, shape=(8, 8)), r'shape: \(8, 8\) must be \(C, H, W\)'),
    (dict(length=1, shape=(3, 8, 0)), 'shape: .* must be'),
])
def test_mistakes_are_refused(kwargs, message):
    with pytest.raises(
            ConfigError, match=f'^train_dataloader.dataset.{message}'):
        NoImages(**kwargs)
