# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Hash what a data set returns: its content, its files, its pipeline."""
import functools
import hashlib
import inspect
import itertools
import json
import os
import pickle
import stat
from typing import Any, Iterable, Iterator, List, Mapping, Optional, Tuple

import numpy as np
import torch

from mmdgkd.utils.config import hash_of
from .generators import GENERATORS, RECORDS, closure_of

# What tells that a file has changed under its name.
FILE_KEYS = ('stat', 'content')
# How many tell data sets apart.
_SAMPLES = 1000


def parts_of(dataset: Any) -> List[Any]:
    """List the data sets inside of a wrapper; of any other none.

    Args:
        dataset (Any): The data set.
    """
    parts = [getattr(dataset, 'dataset', None)]
    parts += getattr(dataset, 'datasets', None) or []
    return [part for part in parts if part is not None]


def content_key(dataset: Any, file_key: str = 'stat') -> str:
    """Hash the content of a data set.

    For data sets of MMEngine it is the list of samples: images in memory by
    their pixels, files by their names, see also :func:`files_key`. Wrappers
    are unwrapped.

    Args:
        dataset (Any): The data set, fully initialized.
        file_key (str): See :func:`files_key`. Defaults to ``'stat'``.

    Returns:
        str: A sha256, in hex.
    """
    digest, texts = hashlib.sha256(), _texts_of(dataset)
    if _is_serialized(dataset):
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
        rest = _plain(rest)
        digest.update(hash_of(rest).encode())
        texts = itertools.chain(texts, texts_in(rest))
    # Nothing for images in memory.
    files = files_key(texts, file_key, _folders_of(dataset))
    digest.update((files or '').encode())
    for part in parts_of(dataset):
        digest.update(content_key(part, file_key).encode())
    # What wrappers such as ClassBalancedDataset select.
    for key in ('repeat_indices', 'times', '_indices', 'indices'):
        digest.update(repr(getattr(dataset, key, None)).encode())
    return digest.hexdigest()


def images_key(dataset: Any) -> str:
    """Hash which images a data set has, in their order.

    It is the same on another machine: of files it takes the names below
    ``data_root``. Wrappers that repeat or choose images have that of the data
    set inside. It looks at 1,000 samples, evenly spaced, which is enough to
    tell other images, or another order, from the same.

    Args:
        dataset (Any): The data set, fully initialized.

    Returns:
        str: A sha256, in hex.
    """
    parts = parts_of(dataset)
    if len(parts) == 1:
        return images_key(parts[0])
    if parts:
        return hash_of([images_key(part) for part in parts])
    found: List[Any] = [len(dataset)]
    if hasattr(dataset, 'get_data_info'):
        root = os.path.join(str(getattr(dataset, 'data_root', None) or ''), '')
        places = np.linspace(0, len(dataset) - 1, min(len(dataset), _SAMPLES))
        for place in places.round().astype(int).tolist():
            info = dict(dataset.get_data_info(place))
            found.append({
                key:
                value.removeprefix(root)
                if isinstance(value, str) else _plain(value)
                for key, value in info.items() if key != 'sample_idx'
            })
    return hash_of(found)


def files_key(texts: Iterable[str],
              file_key: str = 'stat',
              folders: Iterable[str] = ()) -> Optional[str]:
    """Hash the state of those files that texts name.

    Args:
        texts (Iterable[str]): Names of files among other texts. Files in an
            archive or on a server are not looked at.
        file_key (str): ``'stat'``: size and time of change, without reading
            any file; ``'content'``: a sha256 of each.
            Defaults to ``'stat'``.
        folders (Iterable[str]): Where a file may be that is not found by its
            name alone. Defaults to ().

    Returns:
        str, optional: A sha256, in hex; None if no text names a file.
    """
    digest, found = hashlib.sha256(), False
    folders = list(folders)
    for text in texts:
        path, state = text, _stat_of(text)
        for folder in folders if state is None else ():
            path = os.path.join(folder, text)
            state = _stat_of(path)
            if state is not None:
                break
        if state is None:
            continue
        mark = f'{state.st_size} {state.st_mtime_ns}'
        if file_key == 'content':
            mark = _sha256_of(path)
        digest.update(f'{text}\0{mark}\n'.encode(errors='surrogateescape'))
        found = True
    return digest.hexdigest() if found else None


def texts_in(value: Any) -> Iterator[str]:
    """List the texts in a value, which may be names of files.

    Args:
        value (Any): Texts and paths in dicts, lists, sets, arrays or tables.
    """
    if isinstance(value, str):
        yield value
    elif isinstance(value, os.PathLike):
        yield str(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from texts_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from texts_in(item)
    elif isinstance(value, (set, frozenset)):
        yield from sorted(text for item in value for text in texts_in(item))
    elif isinstance(value, np.ndarray):
        if value.dtype.kind in 'OU':
            yield from texts_in(value.tolist())
    elif hasattr(value, 'to_numpy'):  # of pandas
        yield from texts_in(value.to_numpy())


def _texts_of(dataset: Any) -> Iterator[str]:
    """The texts in the records and the attributes of a data set."""
    if not getattr(dataset, 'records_name_files', True):
        pass
    elif _is_serialized(dataset):
        data, start = memoryview(dataset.data_bytes), 0
        for end in dataset.data_address.tolist():
            yield from texts_in(pickle.loads(data[start:end]))
            start = end
    else:
        yield from texts_in(getattr(dataset, 'data_list', None))
    for key, value in getattr(dataset, '__dict__', {}).items():
        if key not in (*RECORDS, 'pipeline', 'dataset', 'datasets'):
            yield from texts_in(value)


def _folders_of(dataset: Any) -> List[str]:
    """The folders that a data set names."""
    texts = [
        text for value in getattr(dataset, '__dict__', {}).values()
        if isinstance(value, (str, os.PathLike, dict))
        for text in texts_in(value)
    ]
    return [text for text in dict.fromkeys(texts) if os.path.isdir(text)]


def _is_serialized(dataset: Any) -> bool:
    """Whether its records are pickled, one after the other, in an array."""
    return bool(getattr(dataset, 'serialize_data', False)) and hasattr(
        dataset, 'data_bytes')


def _stat_of(path: str) -> Optional[os.stat_result]:
    """Of a file, not of a folder; None if there is none."""
    try:
        state = os.stat(path)
    except (OSError, ValueError):
        return None
    return state if stat.S_ISREG(state.st_mode) else None


def _sha256_of(path: str) -> str:
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


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
    if isinstance(value, GENERATORS):
        # Seeded for each sample: its state is no property of the pipeline.
        return f'{type(value).__module__}.{type(value).__qualname__}'
    if inspect.isroutine(value) or inspect.isclass(value):
        module = getattr(value, '__module__', None)
        name = f'{module}.{value.__qualname__}'
        # Functions that one function has made differ in their closures alone,
        # methods in their objects.
        parts = list(closure_of(value).values())
        if inspect.ismethod(value) and not inspect.isclass(value.__self__):
            parts.append(value.__self__)
        return [name, _plain(parts, above)] if parts else name
    name = f'{type(value).__module__}.{type(value).__qualname__}'
    if hasattr(value, '__dict__'):
        return [name, _plain(vars(value), above)]
    text = repr(value)
    # An address would differ from process to process.
    return name if ' at 0x' in text else f'{name} {text}'
