# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Checks that the parts of a record agree: no table may rest on a slip."""
import base64
import dataclasses
import math
import re
import reprlib
from typing import Any, Mapping, Sequence

import numpy as np
from _experiments import METHODS

from mmdgkd.report.methods import METHOD_STYLES

TEST_IMAGES = 10_000
CHOICES = dict(
    version=(1, ),
    recipe=('released', 'own', 'short'),
    augmentation=('none', 'crop_flip'),
    method=METHODS)
# The variants of a method, as a regular expression.
VARIANTS = dict(
    kd='equal_weight',
    takd=r'equal_weight|tas_[1-9]\d*',
    dgkd=r'tas_[1-9]\d*',
    dgkd_stochastic=r'keep_0\.\d*[1-9]')
# Two values are one if they differ by less than half an image of the test
# set: 0.01 is one.
SAME = 0.005


def pack_errors(wrong: Sequence[bool]) -> str:
    """Pack which test images a network gets wrong into text.

    Args:
        wrong (Sequence[bool]): One for each test image, in their order.

    Returns:
        str: The base64 of :func:`numpy.packbits`.
    """
    bits = np.packbits(np.asarray(wrong, dtype=bool))
    return base64.b64encode(bits.tobytes()).decode('ascii')


def unpack_errors(text: str) -> np.ndarray:
    """Undo :func:`pack_errors`.

    Args:
        text (str): Its result.

    Returns:
        np.ndarray: Booleans, one per test image.

    Raises:
        ValueError: If it is not base64.
    """
    bits = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    return np.unpackbits(bits).astype(bool)


def check_record(data: Any, fields: Sequence[dataclasses.Field]) -> None:
    """Check the content of a file.

    Args:
        data (Any): The content of the JSON file.
        fields (Sequence[dataclasses.Field]): Of the record.

    Raises:
        ValueError: Names the key, what is wrong and what would be right.
    """
    _need(
        isinstance(data, dict), f'holds a {type(data).__name__}, should be a '
        'mapping of the keys of a record')
    known = {field.name: field for field in fields}
    for key, field in sorted(known.items()):
        is_optional = (field.default,
                       field.default_factory) != (dataclasses.MISSING,
                                                  dataclasses.MISSING)
        _need(key in data or is_optional, f'{key}: is missing')
    for key in sorted(data):
        _need(
            key in known, f'{key}: is unknown; the keys are '
            f'{", ".join(sorted(known))}')
    _check_types(data)
    _check_method(data)
    _check_teachers(data)
    _check_values(data)
    if data.get('wrong') is not None:
        _check_wrong(data['wrong'], data['last'])


def _need(is_right: Any, text: str) -> None:
    if not is_right:
        raise ValueError(text)


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and value != ''


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_history(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(point, list) and len(point) == 2 and _is_count(point[0])
        and _is_number(point[1]) for point in value)


_TYPES = (
    ('dataset recipe augmentation method guidance network metric', _is_word,
     'a word'),
    ('version seed epochs best_at', _is_count, 'an integer, 0 or larger'),
    ('best last', _is_number, 'a number'),
    ('seconds kd_weight', lambda value: value is None or _is_number(value),
     'a number or null'),
    ('networks guides',
     lambda value: isinstance(value, list) and all(map(_is_word, value)),
     'a list of words'),
    ('variant wrong sha256', lambda value: value is None or isinstance(
        value, str), 'a text or null'),
    ('objective', lambda value: value is None or isinstance(value, dict),
     'a mapping or null'),
    ('guide_sha256 versions', lambda value: isinstance(value, dict),
     'a mapping'),
    ('history', _is_history, 'a list of [epoch, value]'),
)  # yapf: disable


def _check_types(data: Mapping[str, Any]) -> None:
    for keys, is_right, what in _TYPES:
        for key in set(keys.split()) & set(data):
            _need(
                is_right(data[key]),
                f'{key}: is {reprlib.repr(data[key])}, should be {what}')


def _check_method(data: Mapping[str, Any]) -> None:
    for key, values in CHOICES.items():
        _need(
            data[key] in values, f'{key}: is {data[key]!r}, should be '
            f'{" or ".join(map(repr, values))}')
    method, variant = data['method'], data.get('variant')
    guidance = METHOD_STYLES[method].guidance
    _need(
        data['guidance'] == guidance, f'guidance: is {data["guidance"]!r}, '
        f'should be {guidance!r} for the method {method!r}')
    variants = VARIANTS.get(method)
    right = f'null or match {variants}' if variants else 'null'
    _need(
        variant is None or variants and re.fullmatch(variants, variant),
        f'variant: is {variant!r}, should be {right} for the method '
        f'{method!r}')


def _check_teachers(data: Mapping[str, Any]) -> None:
    networks, network = data['networks'], data['network']
    _need(
        networks and len(set(networks)) == len(networks),
        f'networks: is {networks}, should name each network of the chain '
        'once')
    _need(network in networks,
          f'network: {network!r} is not in networks, {networks}')
    teachers, guidance = data['guides'], data['guidance']
    for name in teachers:
        _need(
            name in networks[:networks.index(network)], f'guides: {name!r} '
            f'is not before {network!r} in networks, {networks}')
    _need(
        len(set(teachers)) == len(teachers),
        f'guides: is {teachers}, should name each teacher once')
    right, is_right = dict(
        none=('none', not teachers),
        dense=('one or more', teachers)).get(guidance,
                                             ('one', len(teachers) == 1))
    _need(
        is_right, f'guides: is {teachers}, should be {right} for the '
        f'guidance {guidance!r}')
    weight = data.get('kd_weight')
    _need(weight is None or teachers,
          f'kd_weight: is {weight}, should be null without guides')


def _check_values(data: Mapping[str, Any]) -> None:
    best, last, history = data['best'], data['last'], data['history']
    _need(data['epochs'] > 0, 'epochs: is 0, should be 1 or more')
    for key in ('best', 'last'):
        _need(0 <= data[key] <= 100,
              f'{key}: is {data[key]}, should be in percent')
    _need(
        best >= last - SAME, f'best: {best} is less than last, {last}; it '
        'should be the best of all epochs')
    epochs = [epoch for epoch, _ in history]
    _need(epochs and epochs == sorted(set(epochs)),
          'history: should have each validated epoch once, in their order')
    _need(
        epochs[-1] == data['epochs'],
        f'history: ends at epoch {epochs[-1]}, should be at '
        f'{data["epochs"]}, the last of epochs')
    values = dict(history)
    for key, wanted in (('best', max(values.values())), ('last',
                                                         history[-1][1])):
        _need(
            abs(data[key] - wanted) <= SAME,
            f'{key}: is {data[key]}, should be {wanted} as in history')
    _need(
        abs(values.get(data['best_at'], math.inf) - best) <= SAME,
        f'best_at: is {data["best_at"]}, should be an epoch of history with '
        f'{best}')


def _check_wrong(text: str, last: float) -> None:
    try:
        wrong = unpack_errors(text)
    except ValueError as error:
        raise ValueError(f'wrong: is not base64: {error}') from None
    _need(
        len(wrong) == TEST_IMAGES, f'wrong: has {len(wrong):,} bits, should '
        f'be {TEST_IMAGES:,}, one per test image')
    accuracy = 100 - 100 * wrong.sum() / TEST_IMAGES
    # One image may differ by another rounding.
    _need(
        abs(accuracy - last) <= 0.011,
        f'wrong: {wrong.sum():,} wrong images of {TEST_IMAGES:,} are '
        f'{accuracy:.2f} %, but last is {last:.2f}; it should be of the '
        'network of the last epoch')
