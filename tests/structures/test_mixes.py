# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample

from mmdgkd import ConfigError
from mmdgkd.structures.mixes import Mixes, refuse_mixed_labels

# Left as it is; mixed; a box of its partner; its partner in a box.
MIXES = Mixes(
    np.array([0, 7, 8, 9]), np.array([1, .25, 1, 1]),
    np.array([[0, 0, 0, 0], [0, 0, 0, 0], [1, 3, 0, 2], [0, 2, 2, 4]]),
    np.array([1, .25, .75, .75]), [None, None, None, 'bilinear'])


def test_weights_boxes_and_resized_partners():
    own = torch.zeros(4, 1, 4, 4, dtype=torch.uint8)
    others = torch.full((4, 1, 4, 4), 8, dtype=torch.uint8)
    others[3] = torch.arange(16).view(1, 4, 4)
    mixed = MIXES.images(own, others)
    assert mixed.dtype == torch.float32
    assert mixed[:2].unique(dim=0).flatten(1).mean(1).tolist() == [0, 6]
    assert mixed[2, 0].tolist() == [[0] * 4, [8, 8, 0, 0], [8, 8, 0, 0],
                                    [0] * 4]
    assert mixed[3, 0, :2, 2:].tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert mixed[3].sum() == 30 and own.sum() == 0
    assert MIXES.mixed.tolist() == [False, True, True, True]
    labels = torch.eye(2)[[0, 0, 0, 0]], torch.eye(2)[[1, 1, 1, 1]]
    assert MIXES.scores(*labels)[:, 0].tolist() == [1, .25, .75, .75]


def test_losses_of_one_class_an_image_refuse_mixed_ones():
    samples = [DataSample().set_gt_label(i) for i in range(3)]
    refuse_mixed_labels(samples, 'labels')
    for sample in samples:
        sample.set_gt_score(torch.eye(3)[0])
    refuse_mixed_labels(samples, 'labels')
    samples[1].set_gt_score(torch.tensor([.5, .5, 0]))
    with pytest.raises(ConfigError, match='labels: needs one class an image'):
        refuse_mixed_labels(samples, 'labels')
