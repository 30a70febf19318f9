# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""One JSON file per trained network: what tables and figures are made of."""
import base64
import dataclasses
import json
import math
import os
import os.path as osp
from typing import Any, Dict, List, NoReturn, Optional, Sequence

import numpy as np

from mmdgkd.errors import ConfigError
from mmdgkd.fileio.files import whole_file
from .record_check import TEST_IMAGES, check_record


@dataclasses.dataclass(frozen=True)
class Record:
    """One trained network.

    Attributes:
        version (int): Of this form, 1.
        dataset (str): Such as ``'cifar100'``.
        networks (list[str]): The chain's, the teacher first.
        recipe (str): ``'released'``, ``'own'`` or ``'short'``.
        augmentation (str): ``'none'`` or ``'crop_flip'``.
        method (str): ``'alone'``, ``'kd'``, ``'takd'``, ``'dgkd'`` or
            ``'dgkd_stochastic'``.
        guidance (str): ``'none'``, ``'direct'``, ``'sequential'`` or
            ``'dense'``, as it belongs to the method.
        guides (list[str]): Who has taught it.
        network (str): Its name in the chain.
        seed (int): Of the training.
        epochs (int): How long it was trained.
        metric (str): What the figures are, ``'accuracy/top1'`` in percent.
        best (float): The best figure of all epochs.
        best_at (int): The epoch of that.
        last (float): The figure after the last epoch.
        history (list): ``[epoch, figure]`` of each validation.
        variant (str, optional): ``'equal_weight'`` (KD or TAKD with the total
            weight of DGKD), ``'tas_<n>'`` (other number of TAs) or
            ``'keep_<p>'`` (survival probability of a guide). Defaults to
            None.
        seconds (float, optional): How long that took. Defaults to None.
        kd_weight (float, optional): Total weight of the KD terms, in units of
            one guide's in that recipe. Defaults to None: no KD.
        objective (dict, optional): ``tau``, ``reduction``, ``form``,
            ``loss_weight`` and ``task_loss_weight``. Defaults to None.
        wrong (str, optional): Which test images the network of the last epoch
            gets wrong, see :func:`pack_errors`. Defaults to None: not noted.
        sha256 (str, optional): Of the trained network. Defaults to None.
        guide_sha256 (dict): Of each guide. Defaults to an empty one.
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

    @property
    def setting(self) -> str:
        """Recipe and augmentation: what is compared is of one setting."""
        return f'{self.recipe}-{self.augmentation}'

    @property
    def is_student(self) -> bool:
        """Whether it is the last network of its chain."""
        return self.network == self.networks[-1]


def record_name(record: Record) -> str:
    """The file name of a record: ``<method>[_<variant>]_<network>_seed<k>``.

    Args:
        record (Record): The record.
    """
    words = [record.method, record.variant, record.network]
    words.append(f'seed{record.seed}')
    return '_'.join(word for word in words if word) + '.json'


def read_record(path: str) -> Record:
    """Read one record and check that its parts agree.

    Args:
        path (str): The file.

    Raises:
        ConfigError: If it is not a record; file and key are named.
    """
    try:
        with open(path, encoding='utf-8') as file:
            data = json.load(file, parse_constant=_no_constant)
    except OSError as error:
        raise ConfigError(f'{path}: {error.strerror}') from None
    except ValueError as error:
        raise ConfigError(f'{path}: is not JSON: {error}') from None
    return _checked(path, data)


def read_records(folder: str) -> List[Record]:
    """Read all records of a folder and of the folders in it.

    Args:
        folder (str): Such as one chain's, with a folder a setting.

    Returns:
        list[Record]: In the order of their paths.

    Raises:
        ConfigError: If a file is not a record, or two are of the same
            training.
    """
    if not osp.isdir(folder):
        raise ConfigError(f'{folder}: there is no such folder; it should hold '
                          'the JSON files of trained networks')
    records: List[Record] = []
    seen: Dict[Any, str] = {}
    for path in _json_files(folder):
        record = read_record(path)
        key = (record.dataset, record.setting, record.method, record.variant,
               record.networks[0], record.network, record.seed)
        if key in seen:
            raise ConfigError(
                f'{path}: seed: {record.seed} of this method and network is '
                f'in {seen[key]} too; one file per training is right')
        seen[key] = path
        records.append(record)
    return records


def write_record(folder: str, record: Record) -> str:
    """Write a record, whole, after checking it like one that is read.

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
    with whole_file(path) as file:
        file.write(f'{{\n{lines}\n}}\n')
    return path


def pack_errors(wrong: Sequence[bool]) -> str:
    """Pack which test images a network gets wrong into text.

    Args:
        wrong (Sequence[bool]): One for each test image, in their order.

    Returns:
        str: The base64 of :func:`numpy.packbits`.
    """
    bits = np.packbits(np.asarray(wrong, dtype=bool))
    return base64.b64encode(bits.tobytes()).decode('ascii')


def errors(record: Record) -> Optional[np.ndarray]:
    """Which test images the network of the last epoch gets wrong.

    Args:
        record (Record): The record.

    Returns:
        np.ndarray, optional: Booleans, one per test image. None if that was
        not noted.
    """
    return None if record.wrong is None else _unpacked(record.wrong)


def _checked(path: str, data: Any) -> Record:
    """The record of what a file holds, or the error that names the file."""
    try:
        check_record(data, dataclasses.fields(Record))
        if data.get('wrong') is not None:
            _check_wrong(data['wrong'], data['last'])
    except ValueError as error:
        raise ConfigError(f'{path}: {error}') from None
    return Record(**data)


def _check_wrong(text: str, last: float) -> None:
    count = int(_unpacked(text).sum())
    accuracy = 100 - 100 * count / TEST_IMAGES
    # One image may tip over by another rounding.
    if not math.isclose(accuracy, last, rel_tol=0, abs_tol=0.011):
        raise ValueError(f'wrong: {count:,} wrong images of {TEST_IMAGES:,} '
                         f'are {accuracy:.2f} %, but last is {last:.2f}; it '
                         'should be of the network of the last epoch')


def _unpacked(text: str) -> np.ndarray:
    try:
        bits = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    except ValueError as error:
        raise ValueError(f'wrong: is not base64: {error}') from None
    if len(bits) * 8 != TEST_IMAGES:
        raise ValueError(f'wrong: has {len(bits) * 8:,} bits, should be '
                         f'{TEST_IMAGES:,}, one per test image')
    return np.unpackbits(bits).astype(bool)


def _json_files(folder: str) -> List[str]:
    return sorted(
        osp.join(place, name) for place, _, names in os.walk(folder)
        for name in names if name.endswith('.json'))


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f'{word} is no number of JSON')
