# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""One JSON file per trained network: the data of all tables and figures."""
import dataclasses
import json
import os.path as osp
from pathlib import Path
from typing import Any, Dict, List, NoReturn, Optional

from mmdgkd.errors import ConfigError
from mmdgkd.fileio.files import atomic_write
from .record_check import check_record


@dataclasses.dataclass(frozen=True)
class Record:
    """One trained network. The attributes are the keys of its file.

    Attributes:
        version (int): Of this format, 1.
        dataset (str): Such as ``'cifar100'``.
        networks (list[str]): Those of the chain, the teacher first.
        recipe (str): ``'released'``, ``'own'`` or ``'short'``.
        augmentation (str): ``'none'`` or ``'crop_flip'``.
        method (str): A key of :data:`mmdgkd.report.methods.METHOD_STYLES`.
        guidance (str): The ``chain.guidance`` of the method.
        guides (list[str]): The teachers of its stage.
        network (str): Its name in the chain.
        seed (int): Of the training.
        epochs (int): The length of the training.
        metric (str): ``'accuracy/top1'``, in percent.
        best (float): The best value of all epochs.
        best_at (int): The epoch of that.
        last (float): The value after the last epoch.
        history (list): ``[epoch, value]`` of each validation.
        variant (str, optional): ``'equal_weight'`` (KD or TAKD with the total
            weight of DGKD), ``'tas_<n>'`` (another number of TAs) or
            ``'keep_<p>'`` (another survival probability of a teacher).
            Defaults to None.
        seconds (float, optional): The time of the training. Defaults to None.
        kd_weight (float, optional): Total weight of the KD terms, in units of
            one teacher's in that recipe. Defaults to None: no KD.
        objective (dict, optional): ``tau``, ``reduction``, ``form``,
            ``loss_weight`` and ``task_loss_weight``. Defaults to None.
        wrong (str, optional): Which test images the network of the last epoch
            gets wrong, by :func:`~results.record_check.pack_errors`. Defaults
            to None: unknown.
        sha256 (str, optional): Of the trained network. Defaults to None.
        guide_sha256 (dict): Of each teacher. Defaults to an empty one.
        versions (dict): Of the libraries. Defaults to an empty one.
    """

    version: int
    dataset: str
    networks: List[str]
    recipe: str
    augmentation: str
    method: str
    guidance: str
    guides: List[str]
    network: str
    seed: int
    epochs: int
    metric: str
    best: float
    best_at: int
    last: float
    history: List[List[float]]
    variant: Optional[str] = None
    seconds: Optional[float] = None
    kd_weight: Optional[float] = None
    objective: Optional[Dict[str, Any]] = None
    wrong: Optional[str] = None
    sha256: Optional[str] = None
    guide_sha256: Dict[str, str] = dataclasses.field(default_factory=dict)
    versions: Dict[str, str] = dataclasses.field(default_factory=dict)


def record_name(record: Record) -> str:
    """The file name of a record: ``<method>[_<variant>]_<network>_seed<k>``.

    Args:
        record (Record): The record.
    """
    parts = (record.method, record.variant, record.network,
             f'seed{record.seed}')
    return '_'.join(filter(None, parts)) + '.json'


def read_records(folder: str) -> List[Record]:
    """Read all records of a folder and of the folders in it.

    Args:
        folder (str): Such as one chain's, with a folder a setting.

    Returns:
        list[Record]: In the order of their paths.

    Raises:
        ConfigError: If a file is not a record, or two are of the same
            training. File and key are named.
    """
    if not osp.isdir(folder):
        raise ConfigError(f'{folder}: there is no such folder; it should hold '
                          'the JSON files of trained networks')
    records: List[Record] = []
    seen: Dict[Any, str] = {}
    for path in sorted(map(str, Path(folder).rglob('*.json'))):
        record = _read(path)
        key = (record.dataset, record.recipe, record.augmentation,
               record.method, record.variant, record.networks[0],
               record.network, record.seed)
        if key in seen:
            raise ConfigError(
                f'{path}: seed: {record.seed} of this method and network is '
                f'in {seen[key]} too; one file per training is right')
        seen[key] = path
        records.append(record)
    return records


def write_record(folder: str, record: Record) -> str:
    """Check a record as if it was read, and write it atomically.

    Args:
        folder (str): Of the setting. It is made if need be.
        record (Record): The record.

    Returns:
        str: The file.

    Raises:
        ConfigError: If the parts of the record do not agree.
    """
    path = osp.join(folder, record_name(record))
    data = dataclasses.asdict(record)
    _checked(path, data)
    # A line a key: diffs stay readable, and a history does not fill a page.
    lines = ',\n'.join(f' {json.dumps(key)}: {json.dumps(value)}'
                       for key, value in data.items())
    with atomic_write(path) as file:
        file.write(f'{{\n{lines}\n}}\n')
    return path


def _read(path: str) -> Record:
    try:
        with open(path, encoding='utf-8') as file:
            data = json.load(file, parse_constant=_no_constant)
    except OSError as error:
        raise ConfigError(f'{path}: {error.strerror}') from None
    except ValueError as error:
        raise ConfigError(f'{path}: is not JSON: {error}') from None
    return _checked(path, data)


def _checked(path: str, data: Any) -> Record:
    """The record of a file's content, or the error that names the file."""
    try:
        check_record(data, dataclasses.fields(Record))
    except ValueError as error:
        raise ConfigError(f'{path}: {error}') from None
    return Record(**data)


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f'{word} is no number of JSON')
