# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Read checkpoints as data: nothing in them is ever executed."""
import argparse
import contextlib
import functools
import io
import json
import os
import os.path as osp
import pickle
import re
import warnings
from typing import Any, Callable, Dict, Mapping

import torch
from mmengine.dist import barrier, get_local_rank
from mmengine.runner.checkpoint import CheckpointLoader
from torch.hub import load_state_dict_from_url
from torch.serialization import add_safe_globals

from mmdgkd.errors import ConfigError
from mmdgkd.utils.random import aside
from .checksum import checksum_matches, write_with_checksum
from .files import atomic_write, parse_json

SAFETENSORS = '.safetensors'
# In front of the name of a model of timm: its published weights.
TIMM = 'timm://'
# Plain data, by which DeiT, Swin and MAE keep their command line.
add_safe_globals([argparse.Namespace])


def read_checkpoint(path: str, key: str) -> Dict:
    """Read a checkpoint onto the CPU, weights and plain data only.

    Args:
        path (str): A file of PyTorch or of safetensors, the URL of one of
            PyTorch, or ``'timm://NAME'``.
        key (str): The config key that names it, for messages.

    Returns:
        dict: Its content; of a safetensors file ``state_dict`` and ``meta``.

    Raises:
        ConfigError: If there is no such file, if it is no checkpoint, if it
            is damaged, or if it would execute something.
    """
    if path.startswith(('http://', 'https://')):
        return _checked(path, key, load_from_http, path, 'cpu')
    if path.startswith(TIMM):
        return _checked(path, key, load_from_timm, path)
    if '://' in path:
        raise ConfigError(f'{key}: {path!r} is neither a file nor an address '
                          'that begins with http:// or https://')
    require_file(path, key)
    if path.endswith(SAFETENSORS):
        return _checked(path, key, _read_safetensors, path)
    try:
        intact = checksum_matches(path)
    except OSError as error:
        raise ConfigError(f'{key}: {path!r} cannot be read '
                          f'({error.strerror})') from None
    if intact is False:
        raise ConfigError(f'{key}: {path!r} is damaged: its checksum, or its '
                          'end, is not what was written')
    return _checked(path, key, _read, path)


def require_file(path: str, key: str) -> None:
    """Check that a file is there.

    Args:
        path (str): The file.
        key (str): The config key that names it, for messages.

    Raises:
        ConfigError: If it is not.
    """
    if not osp.isfile(path):
        where = '' if osp.isabs(path) else f' in {os.getcwd()!r}'
        raise ConfigError(f'{key}: there is no file {path!r}{where}')


def checkpoint_meta(path: str, key: str) -> Dict:
    """Read the meta of a checkpoint file, without its tensors.

    It is cached until the file changes.

    Args:
        path (str): The file.
        key (str): The config key that names it, for messages.

    Raises:
        ConfigError: As :func:`read_checkpoint`.
    """
    return dict(_checked(path, key, _known_meta, path))


def meta_of(path: str, key: str) -> Dict:
    """Read the meta of whatever :func:`read_checkpoint` reads.

    Args:
        path (str): The file, or its address.
        key (str): The config key that names it, for messages.

    Returns:
        dict: Empty if there is none, or if the file cannot be read, which
        whoever reads its weights reports.
    """
    meta = None
    with contextlib.suppress(ConfigError):
        try:
            meta = checkpoint_meta(path, key)
        except ConfigError:
            # An address, or a file as PyTorch had it before 1.6.
            meta = read_checkpoint(path, key).get('meta')
    return meta if isinstance(meta, dict) else {}


def write_weights(path: str, weights: Dict[str, torch.Tensor],
                  meta: Dict[str, Any]) -> None:
    """Write a state dict and plain facts atomically, with a checksum.

    Args:
        path (str): The file. ``.safetensors`` is written as such, any other
            ending by ``torch.save``.
        weights (dict[str, torch.Tensor]): The state dict.
        meta (dict): Facts that JSON can hold.
    """
    if path.endswith(SAFETENSORS):
        from safetensors.torch import save

        # It refuses tensors that share their memory, such as tied weights.
        copies = {name: data.clone() for name, data in weights.items()}
        data = save(copies, dict(format='pt', meta=json.dumps(meta)))
    else:
        with io.BytesIO() as buffer:
            torch.save(dict(state_dict=weights, meta=meta), buffer)
            data = buffer.getvalue()
    with atomic_write(path, 'wb') as file:
        write_with_checksum(file, data)


def plain(value: Any, other: Callable[[Any], Any] = str) -> Any:
    """Copy data so that it has Python's own types alone.

    A checkpoint that holds NumPy's texts cannot be read as weights and plain
    data, and a config that holds NumPy's numbers cannot be written.

    Args:
        value (Any): The data. NumPy's scalars become Python's, arrays and
            tensors become lists, subclasses of dict become dicts.
        other (Callable): What is done with objects of other types.
            Defaults to ``str``.
    """
    if hasattr(value, 'tolist') and not isinstance(value, type):
        return plain(value.tolist(), other)
    if isinstance(value, Mapping):
        return {
            plain(key, other): plain(item, other)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        items = [plain(item, other) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    if value is None or type(value) in (bool, int, float, str):
        return value
    return other(value)


def _read(path: str, **kwargs: Any) -> Any:
    with warnings.catch_warnings():
        # About a bare pickle, which is refused all the same.
        warnings.filterwarnings('ignore', 'Detected pickle protocol')
        return torch.load(
            path, map_location='cpu', weights_only=True, **kwargs)


def _known_meta(path: str) -> Dict:
    stat = os.stat(path)
    return _read_meta(path, stat.st_ino, stat.st_size, stat.st_mtime_ns,
                      stat.st_ctime_ns)


@functools.lru_cache(maxsize=32)
def _read_meta(path: str, *_: int) -> Dict:
    """Weights-only reading walks through the whole file, in Python."""
    if path.endswith(SAFETENSORS):
        checkpoint = _read_safetensors(path)
    else:
        checkpoint = _read(path, mmap=True)
    if not isinstance(checkpoint, dict):
        # An error of _checked.
        return checkpoint
    meta = checkpoint.get('meta')
    return meta if isinstance(meta, dict) else {}


def _read_safetensors(path: str) -> Dict:
    try:
        from safetensors import safe_open
    except ImportError:
        raise ValueError(
            'it needs a package: pip install safetensors ') from None
    with safe_open(path, 'pt') as file:
        meta = parse_json((file.metadata() or {}).get('meta', '{}'))
        state = {name: file.get_tensor(name) for name in file.keys()}
    return dict(state_dict=state, meta=meta if isinstance(meta, dict) else {})


def _checked(path: str, key: str, read: Any, *args: Any,
             **kwargs: Any) -> Dict:
    try:
        checkpoint = read(*args, **kwargs)
    except Exception as error:
        raise ConfigError(f'{key}: {path!r} {_describe(error)}') from None
    if not isinstance(checkpoint, dict):
        raise ConfigError(f'{key}: {path!r} holds a '
                          f'{type(checkpoint).__name__}, not a checkpoint')
    return checkpoint


def _describe(error: Exception) -> str:
    text = str(error).strip()
    # The first line of PyTorch's own message advises to execute it.
    named = re.search(r'GLOBAL ([\w.]+)', text)
    if isinstance(error, pickle.UnpicklingError) and named:
        return (f'is refused: reading it would call {named[1]}, and a '
                'checkpoint is data (weights, numbers, texts), never a '
                'program; save its state_dict alone')
    if isinstance(error, pickle.UnpicklingError):
        return ('is refused: it holds more than data (weights, numbers, '
                'texts), or is no checkpoint; save its state_dict alone')
    reason = (text or type(error).__name__).splitlines()[0]
    return f'does not load as a checkpoint ({reason})'


@CheckpointLoader.register_scheme(prefixes=r'.*\.safetensors$')
def load_safetensors(filename: str, map_location: Any = None) -> Dict:
    """Load a safetensors file wherever MMEngine loads a checkpoint.

    Args:
        filename (str): The file.
        map_location (Any): Ignored: tensors are loaded onto the CPU.
            Defaults to None.
    """
    return read_checkpoint(filename, 'checkpoint')


@CheckpointLoader.register_scheme(prefixes=('http://', 'https://'), force=True)
def load_from_http(filename: str, map_location: Any = None) -> Any:
    """Load a checkpoint from a URL wherever MMEngine loads one.

    MMEngine's own executes what is in the file: weights-only is the default of
    ``torch.load``, but not of PyTorch's downloads.

    Args:
        filename (str): The URL.
        map_location (Any): As for ``torch.load``. Defaults to None.
    """
    # One rank of each machine downloads, the others find the file.
    if get_local_rank() == 0:
        checkpoint = load_state_dict_from_url(
            filename, map_location=map_location, weights_only=True)
    barrier()
    if get_local_rank() != 0:
        checkpoint = load_state_dict_from_url(
            filename, map_location=map_location, weights_only=True)
    return checkpoint


@CheckpointLoader.register_scheme(prefixes=TIMM)
def load_from_timm(filename: str, map_location: Any = None) -> Dict:
    """Load the published weights of a model of timm, which timm downloads.

    Args:
        filename (str): ``'timm://NAME'``.
        map_location (Any): Ignored: tensors are loaded onto the CPU.
            Defaults to None.
    """
    import timm

    def load() -> Dict:
        with aside():
            model = timm.create_model(
                filename.removeprefix(TIMM), pretrained=True)
        return dict(state_dict=model.state_dict())

    # One rank of each machine downloads, the others find the file.
    if get_local_rank() == 0:
        checkpoint = load()
    barrier()
    return checkpoint if get_local_rank() == 0 else load()
