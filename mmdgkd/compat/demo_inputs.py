# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from types import SimpleNamespace
from typing import Any, Dict, Optional, Sequence

from .repair import Repair


def _get_mm_data(self: Any,
                 model: Any,
                 input_shape: Sequence[int],
                 training: bool = False) -> Dict:
    """Replacement of ``DefaultMMClsDemoInput._get_mm_data``.

    Args:
        model (ImageClassifier): A classifier of MMPretrain.
        input_shape (Sequence[int]): Shape (N, C, H, W).
        training (bool): Whether the data is to be prepared for training.
            Defaults to False.

    Returns:
        dict: ``inputs`` and ``data_samples``, of class 0.
    """
    import torch
    from mmpretrain.structures import DataSample
    samples = [
        DataSample(metainfo=dict(
            img_shape=tuple(input_shape[2:]))).set_gt_label(0)
        for _ in range(input_shape[0])
    ]
    data = dict(inputs=torch.rand(*input_shape), data_samples=samples)
    return model.data_preprocessor(data, training)


def _diagnose() -> Optional[str]:
    from mmrazor.models.task_modules.demo_inputs import DefaultMMClsDemoInput
    probe = SimpleNamespace(data_preprocessor=lambda data, training: data)
    try:
        DefaultMMClsDemoInput()._get_mm_data(probe, (1, 1, 1, 1))
    except ImportError as error:
        return f'the demo inputs of classifiers: {error}'
    return None


def _fix() -> None:
    from mmrazor.models.task_modules.demo_inputs import DefaultMMClsDemoInput
    DefaultMMClsDemoInput._get_mm_data = _get_mm_data


REPAIR = Repair(
    name='demo inputs',
    cause='MMRazor traces a classifier with a demo input whose labels are of '
    'mmcls, so that none of its channel mutators, and with them no pruning, '
    'takes a classifier of mmpretrain',
    diagnose=_diagnose,
    fix=_fix)
