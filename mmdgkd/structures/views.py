# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The views of a batch: of which data set, which sample, which number."""
from dataclasses import dataclass
from typing import Any, Iterable, NamedTuple, Optional

import numpy as np


@dataclass(frozen=True)
class ViewSource:
    """The origin of views: all that an image depends on but its numbers.

    Attributes:
        key (str): A hash of the data set's content, the pipeline and the seed
            of the views: the same key, the same images.
        num_samples (int): Length of the data set.
        summary (str): A description for people.
    """

    key: str
    num_samples: int
    summary: str


class BatchViews(NamedTuple):
    """The views of a batch.

    Attributes:
        source (ViewSource): Their origin.
        views (np.ndarray): Number of the view of each sample, int64 of shape
            (N, ).
        indices (np.ndarray): Index of each sample, int64 of shape (N, ).
        partners (np.ndarray, optional): Index of the sample with which each is
            mixed, its own if it is not, likewise. Defaults to None: no views
            are mixed.
    """

    source: ViewSource
    views: np.ndarray
    indices: np.ndarray
    partners: Optional[np.ndarray] = None


class SampleList(list):
    """The data samples of a batch, with their views at hand.

    Args:
        samples (Iterable): The data samples.
        views (BatchViews, optional): Their views. Defaults to None: those of
            the samples, as in the copies that MMEngine makes of a list.
    """

    def __init__(self,
                 samples: Iterable,
                 views: Optional[BatchViews] = None) -> None:
        super().__init__(samples)
        self.views = views


def views_of(data_samples: Any) -> Optional[BatchViews]:
    """Read the views of a batch from its data samples.

    Args:
        data_samples (Sequence[DataSample]): As they come to the model.

    Returns:
        BatchViews, optional: None if a sample has none, or if there are
        several sources.
    """
    if isinstance(data_samples, SampleList) and data_samples.views is not None:
        return data_samples.views
    try:
        # A copy, or a plain list, which DDP of older PyTorch makes of it.
        views = data_samples[0].get('batch_views')
        if views is not None and len(views.indices) == len(data_samples):
            return views
        source = data_samples[0].view_source
        views = np.array([sample.view for sample in data_samples])
        indices = np.array([sample.sample_idx for sample in data_samples])
        partners = [sample.get('partner_idx') for sample in data_samples]
        if any(sample.view_source != source for sample in data_samples):
            return None
    except (AttributeError, IndexError, TypeError):
        return None
    return BatchViews(source, views, indices,
                      None if None in partners else np.array(partners))
