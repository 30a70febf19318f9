# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Which outputs are kept, and in which order."""
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpretrain.structures import DataSample

from mmdgkd.engine.hooks import predictions_hook
from mmdgkd.engine.hooks.predictions_hook import PredictionsHook, data_key


def outputs(*indices, several=False):
    """The index is the class, and 3 is taken for 0."""
    samples = []
    for i in indices:
        scores = torch.full((4, ), .1)
        scores[i % 3] = .7
        sample = DataSample().set_gt_label([1, 2] if several else i)
        sample.set_pred_score(scores).set_pred_label(scores.argmax())
        samples.append(sample)
    return samples


def with_index(samples, *indices):
    for sample, i in zip(samples, indices):
        sample.set_metainfo(dict(sample_idx=i))
    return samples


def run(hook, *batches, size=4):
    """A test by a Runner that trains nothing."""
    runner = SimpleNamespace(
        _train_loop=None,
        val_dataloader=SimpleNamespace(dataset=[0] * size),
        cfg=Config(dict(val_dataloader=dict(dataset=dict(type='X')))))
    hook.before_val_epoch(runner)
    for i, batch in enumerate(batches):
        hook.after_val_iter(runner, i, outputs=batch)
    hook.after_val_epoch(runner)
    return hook.found


def test_numbers_of_each_image():
    found = run(PredictionsHook(), outputs(0, 1), outputs(2, 3))
    assert found.indices.tolist() == found.labels.tolist() == [0, 1, 2, 3]
    assert found.preds.tolist() == [0, 1, 2, 0]
    assert found.label_scores.tolist() == pytest.approx([.7, .7, .7, .1], 1e-3)
    assert found.pred_scores.tolist() == pytest.approx([.7] * 4, 1e-3)
    assert found.data == data_key(dict(type='X', data_root='anywhere'))
    assert found.labels.dtype == np.int16


def test_images_of_ranks_are_put_in_order(monkeypatch):
    """Of three images on two ranks the first is seen twice."""
    other = with_index(outputs(1, 0), 1, 0)
    for known in (True, False):
        mine = outputs(0, 2)
        rows = predictions_hook._rows_of(other)
        if known:
            with_index(mine, 0, 2)
        else:
            rows[:, 0] = -1
        monkeypatch.setattr(predictions_hook, 'get_world_size', lambda: 2)
        monkeypatch.setattr(predictions_hook, 'all_gather_object',
                            lambda one: [one, ('', rows)])
        found = run(PredictionsHook(), mine, size=3)
        assert found.labels.tolist() == [0, 1, 2]
        assert found.indices.tolist() == [0, 1, 2]


def test_indices_of_joined_data_sets_are_no_indices():
    """Each part counts from 0."""
    batch = with_index(outputs(0, 1, 2, 3), 0, 1, 0, 1)
    found = run(PredictionsHook(), batch)
    assert found.labels.tolist() == found.indices.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize('batch, note', [
    (outputs(0, several=True), 'several labels'),
    ([DataSample().set_gt_label(1)], 'no scores of classes'),
    (torch.zeros(3), 'no scores of classes'),
])
def test_other_outputs_are_left_alone(batch, note):
    found = run(PredictionsHook(), outputs(0), batch)
    assert note in found.note and not len(found.labels)


def test_what_cannot_be_read_ends_no_training():
    """A label that no score belongs to, and indices that are no numbers."""
    for batch in (with_index(outputs(0, 7), 0,
                             1), with_index(outputs(0, 1), 'a', 'b')):
        found = run(PredictionsHook(), outputs(2), batch)
        assert found.note.startswith('its outputs cannot be read (')
        assert not len(found.indices)


def test_the_last_validation_counts():
    hook = PredictionsHook()
    runner = SimpleNamespace(
        _train_loop=1, train_loop=SimpleNamespace(), iter=3, max_iters=5)
    hook.before_val_epoch(runner)
    hook.after_val_iter(runner, 0, outputs=outputs(0))
    hook.after_val_epoch(runner)
    assert hook.found is None
    runner.iter = 5
    hook.before_val_epoch(runner)
    assert hook._rows == []
