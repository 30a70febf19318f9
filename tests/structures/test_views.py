# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from mmpretrain.structures import DataSample

from mmdgkd.models.distillers.records import detached
from mmdgkd.structures.views import SampleList, ViewSource, views_of

SOURCE = ViewSource('key', 10, 'ten')


def sample(view, index, source=SOURCE):
    data = DataSample()
    data.set_metainfo(dict(view=view, sample_idx=index, view_source=source))
    return data


def test_views_of_samples():
    views = views_of([sample(1, 4), sample(2, 3)])
    assert views.source == SOURCE
    assert views.views.tolist() == [1, 2]
    assert views.indices.tolist() == [4, 3]
    assert views.partners is None
    mixed = [sample(1, 4), sample(2, 3)]
    for each, partner in zip(mixed, (3, 0)):
        each.set_metainfo(dict(partner_idx=partner))
    assert views_of(mixed).partners.tolist() == [3, 0]
    assert views_of(SampleList([None], views)) is views
    # DDP of older PyTorch makes a plain list of a SampleList.
    first = DataSample()
    first.set_metainfo(dict(batch_views=views))
    assert views_of([first, DataSample()]).indices.tolist() == [4, 3]
    # And MMEngine a copy, on its way to a loss.
    copied = detached(SampleList([first, DataSample()], views))
    assert views_of(copied).indices.tolist() == [4, 3]


def test_samples_without_views():
    other = ViewSource('other', 10, 'ten')
    assert views_of([DataSample()]) is None
    assert views_of([sample(0, 0), DataSample()]) is None
    assert views_of([sample(0, 0), sample(0, 1, other)]) is None
    assert views_of([]) is None
    assert views_of(None) is None
