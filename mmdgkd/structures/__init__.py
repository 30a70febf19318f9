# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The views and the images of a batch."""
from .image_batch import ImageBatch
from .mixes import Mixes, refuse_mixed_labels
from .views import BatchViews, SampleList, ViewSource, views_of

__all__ = [
    'BatchViews', 'ImageBatch', 'Mixes', 'SampleList', 'ViewSource',
    'refuse_mixed_labels', 'views_of'
]
