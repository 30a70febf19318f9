# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Arrays as one file: written atomically, with a checksum, read as data."""
import io
import os.path as osp
from typing import Any, Callable, Dict, Mapping, Sequence

import numpy as np

from .checksum import checksum_matches, write_with_checksum
from .files import atomic_write


def write_arrays(path: str,
                 arrays: Mapping[str, Any],
                 save: Callable = np.savez_compressed) -> None:
    """Write arrays, atomically and with a checksum.

    Args:
        path (str): The file.
        arrays (Mapping): Arrays, or what can be one.
        save (Callable): ``np.savez`` where compression does not pay.
            Defaults to ``np.savez_compressed``.
    """
    file = io.BytesIO()
    save(file, **{name: np.asarray(array) for name, array in arrays.items()})
    with atomic_write(path, 'wb') as target:
        write_with_checksum(target, file.getvalue())


def read_arrays(path: str,
                names: Sequence[str]) -> Dict[str, np.ndarray] | None:
    """Read arrays; nothing in the file is executed.

    Args:
        path (str): The file.
        names (Sequence[str]): Those that it must hold.

    Returns:
        dict[str, np.ndarray], optional: None if there is no file.

    Raises:
        ValueError: If it is damaged or holds anything else.
    """
    if not osp.isfile(path):
        return None
    try:
        if checksum_matches(path) is False:
            raise ValueError('its checksum does not match')
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except (OSError, KeyError, ValueError, EOFError) as error:
        reason = str(error).splitlines()[0] if str(error) else 'it is empty'
        raise ValueError(
            f'{osp.basename(path)} cannot be read ({reason})') from None
