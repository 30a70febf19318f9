# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Hash what a data set returns: its content and its pipeline."""
import functools
import hashlib
import inspect
import json
import pickle
from typing import Any, List, Tuple

import numpy as np
import torch

from mmdgkd.utils.config import hash_of


def parts_of(dataset: Any) -> List[Any]:
    """List the data sets inside of a wrapper; of any other none.

    Args:
        dataset (Any): The data set.
    """
    parts = [getattr(dataset, 'dataset', None)]
    parts += getattr(dataset, 'datasets', None) or []
    return [part for part in parts if part is not None]


def content_key(dataset: Any) -> str:
    """Hash the content of a data set.

    For data sets of MMEngine it is the list of samples: images in memory by
    their pixels, files by their names. Wrappers are unwrapped.

    Args:
        dataset (Any): The data set, fully initialized.

    Returns:
        str: A sha256, in hex.
    """
    digest = hashlib.sha256()
    if getattr(dataset, 'serialize_data', False) and hasattr(
            dataset, 'data_bytes'):
        digest.update(np.ascontiguousarray(dataset.data_bytes))
        digest.update(np.ascontiguousarray(dataset.data_address))
    elif getattr(dataset, 'data_list', None):
        for info in dataset.data_list:
            digest.update(pickle.dumps(info, protocol=4))
    elif hasattr(dataset, 'dataset') or hasattr(dataset, 'datasets'):
        digest.update(f'{type(dataset).__name__} {len(dataset)}'.encode())
    else:
        rest = {
            key: value
            for key, value in vars(dataset).items() if key != 'pipeline'
        }
        digest.update(type(dataset).__name__.encode())
        digest.update(hash_of(_plain(rest)).encode())
    for part in parts_of(dataset):
        digest.update(content_key(part).encode())
    # What wrappers such as ClassBalancedDataset select.
    for key in ('repeat_indices', 'times', '_indices', 'indices'):
        digest.update(repr(getattr(dataset, key, None)).encode())
    return digest.hexdigest()


def pipeline_of(dataset: Any) -> Any:
    """Describe the transforms of a data set, and of its parts, as plain data.

    Args:
        dataset (Any): The data set.
    """
    found = []
    if getattr(dataset, 'pipeline', None) is not None:
        found.append(_plain(dataset.pipeline))
    return found + [pipeline_of(part) for part in parts_of(dataset)]


def _plain(value: Any, above: Tuple[int, ...] = ()) -> Any:
    """Convert a value to plain data that is the same in every process.

    Args:
        value (Any): An attribute of a transform.
        above (tuple[int]): The ids of the objects that contain it, to end at
            a cycle. Defaults to ().
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if id(value) in above:
        return 'again'
    above = (*above, id(value))
    if isinstance(value, dict):
        return {str(key): _plain(item, above) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, above) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(json.dumps(_plain(item, above)) for item in value)
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().float().numpy()
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return _plain(value.tolist(), above)
        data = hashlib.sha256(np.ascontiguousarray(value))
        return [str(value.dtype), value.shape, data.hexdigest()]
    if isinstance(value, functools.partial):
        return [
            _plain(part, above)
            for part in (value.func, value.args, value.keywords)
        ]
    if inspect.isroutine(value) or inspect.isclass(value):
        return f'{value.__module__}.{value.__qualname__}'
    name = f'{type(value).__module__}.{type(value).__qualname__}'
    if hasattr(value, '__dict__'):
        return [name, _plain(vars(value), above)]
    text = repr(value)
    # An address would differ from process to process.
    return name if ' at 0x' in text else f'{name} {text}'
