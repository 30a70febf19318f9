# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import codecs
import io
from typing import Any, Callable, Optional

from .repair import Repair


def _history_buffer_method(owner: Any, name: str) -> Any:
    """Stand-in for ``getattr`` while a checkpoint is read.

    A ``HistoryBuffer`` pickles a table of its own public methods, and that is
    all that a checkpoint may look up.

    Args:
        owner (Any): The object that the checkpoint names.
        name (str): The attribute that it asks for.

    Raises:
        ValueError: For anything but a public method of ``HistoryBuffer``.
    """
    from mmengine.logging import HistoryBuffer
    if owner is not HistoryBuffer or name.startswith('_'):
        raise ValueError(f'a checkpoint may not look up {name!r} of {owner!r}')
    return getattr(owner, name)


def _called(function: Callable, module: str, name: str) -> Callable:
    """A function under the name that checkpoints have for it.

    PyTorch takes a pair of both, but only since 2.6.
    """

    def alias(*args: Any) -> Any:
        return function(*args)

    alias.__module__, alias.__name__, alias.__qualname__ = module, name, name
    return alias


def _diagnose() -> Optional[str]:
    import torch
    from mmengine.logging import HistoryBuffer
    file = io.BytesIO()
    torch.save(HistoryBuffer([1.], [1]), file)
    file.seek(0)
    try:
        # Before PyTorch 2.6 only mmdgkd asks for it.
        torch.load(file, weights_only=True)
    except Exception as error:
        return f'torch.load of a HistoryBuffer: {type(error).__name__}'
    return None


def _fix() -> None:
    import numpy as np
    from mmengine.logging import HistoryBuffer
    from torch.serialization import add_safe_globals
    core = np._core if hasattr(np, '_core') else np.core
    safe = [
        HistoryBuffer,
        np.ndarray,
        np.dtype,
        _called(_history_buffer_method, 'builtins', 'getattr'),
        # How NumPy writes bytes; newer PyTorch allows it by itself.
        _called(codecs.encode, '_codecs', 'encode')
    ]
    # NumPy 2 moved numpy.core to numpy._core: files of both are about.
    for package in ('numpy.core', 'numpy._core'):
        for name in ('_reconstruct', 'scalar'):
            safe.append(
                _called(
                    getattr(core.multiarray, name), f'{package}.multiarray',
                    name))
    for kind in (np.bool_, np.uint8, np.int32, np.int64, np.float16,
                 np.float32, np.float64):
        safe.append(type(np.dtype(kind)))
    add_safe_globals(safe)


REPAIR = Repair(
    name='checkpoints',
    cause='torch.load reads weights only since 2.6, and the checkpoints of '
    'mmengine hold HistoryBuffer and NumPy objects; these few types are '
    'allowed, so that weights-only stays on',
    diagnose=_diagnose,
    fix=_fix)
