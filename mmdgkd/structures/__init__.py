# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from .image_batch import ImageBatch
from .views import BatchViews, SampleList, ViewSource, views_of

__all__ = ['BatchViews', 'ImageBatch', 'SampleList', 'ViewSource', 'views_of']
