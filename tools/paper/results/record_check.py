# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Checks that the parts of a record agree: no table may rest on a slip."""
import base64
import dataclasses
import math
import re
from typing import Any, Mapping, Sequence

import numpy as np

from mmdgkd.report.methods import METHOD_STYLES

TEST_IMAGES = 10_000
CHOICES = dict(
    version=(1, ),
    recipe=('released', 'own', 'short'),
    augmentation=('none', 'crop_flip'),
    method=tuple(METHOD_STYLES))
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
    if not isinstance(data, dict):
        raise ValueError(f'holds a {type(data).__name__}, should be a mapping '
                         'of the keys of a record')
    known = {field.name for field in fields}
    needed = {
        field.name
        for field in fields
        if field.default is field.default_factory is dataclasses.MISSING
    }
    for key in sorted(needed - set(data)):
        raise ValueError(f'{key}: is missing')
    for key in sorted(set(data) - known):
        raise ValueError(f'{key}: is unknown; the keys are '
                         f'{", ".join(sorted(known))}')
    _check_types(data)
    _check_method(data)
    _check_teachers(data)
    _check_values(data)
    if data.get('wrong') is not None:
        _check_wrong(data['wrong'], data['last'])


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
        for key in keys.split():
            if key in data and not is_right(data[key]):
                text = repr(data[key])
                text = text if len(text) <= 40 else text[:37] + '...'
                raise ValueError(f'{key}: is {text}, should be {what}')


def _check_method(data: Mapping[str, Any]) -> None:
    for key, values in CHOICES.items():
        if data[key] not in values:
            raise ValueError(f'{key}: is {data[key]!r}, should be '
                             f'{" or ".join(map(repr, values))}')
    method, variant = data['method'], data.get('variant')
    guidance = METHOD_STYLES[method].guidance
    if data['guidance'] != guidance:
        raise ValueError(f'guidance: is {data["guidance"]!r}, should be '
                         f'{guidance!r} for the method {method!r}')
    variants = VARIANTS.get(method)
    if variant is not None and not (variants
                                    and re.fullmatch(variants, variant)):
        right = f'null or match {variants}' if variants else 'null'
        raise ValueError(f'variant: is {variant!r}, should be {right} for the '
                         f'method {method!r}')


def _check_teachers(data: Mapping[str, Any]) -> None:
    networks, network = data['networks'], data['network']
    if not networks or len(set(networks)) != len(networks):
        raise ValueError(f'networks: is {networks}, should name each network '
                         'of the chain once')
    if network not in networks:
        raise ValueError(f'network: {network!r} is not in networks, '
                         f'{networks}')
    teachers, guidance = data['guides'], data['guidance']
    for name in teachers:
        if name not in networks[:networks.index(network)]:
            raise ValueError(f'guides: {name!r} is not before {network!r} in '
                             f'networks, {networks}')
    if len(set(teachers)) != len(teachers):
        raise ValueError(f'guides: is {teachers}, should name each teacher '
                         'once')
    many = {'none': not teachers, 'dense': bool(teachers)}
    if not many.get(guidance, len(teachers) == 1):
        right = {'none': 'none', 'dense': 'one or more'}.get(guidance, 'one')
        raise ValueError(f'guides: is {teachers}, should be {right} for the '
                         f'guidance {guidance!r}')
    weight = data.get('kd_weight')
    if weight is not None and not teachers:
        raise ValueError(f'kd_weight: is {weight}, should be null without '
                         'guides')


def _check_values(data: Mapping[str, Any]) -> None:
    best, last, history = data['best'], data['last'], data['history']
    if data['epochs'] < 1:
        raise ValueError('epochs: is 0, should be 1 or more')
    for key in ('best', 'last'):
        if not 0 <= data[key] <= 100:
            raise ValueError(f'{key}: is {data[key]}, should be in percent')
    if best < last - SAME:
        raise ValueError(f'best: {best} is less than last, {last}; it should '
                         'be the best of all epochs')
    epochs = [epoch for epoch, _ in history]
    if not epochs or epochs != sorted(set(epochs)):
        raise ValueError('history: should have each validated epoch once, in '
                         'their order')
    if epochs[-1] != data['epochs']:
        raise ValueError(f'history: ends at epoch {epochs[-1]}, should be at '
                         f'{data["epochs"]}, the last of epochs')
    values = dict(history)
    for key, wanted in (('best', max(values.values())), ('last',
                                                         history[-1][1])):
        if abs(data[key] - wanted) > SAME:
            raise ValueError(f'{key}: is {data[key]}, should be {wanted} as '
                             'in history')
    if abs(values.get(data['best_at'], math.inf) - best) > SAME:
        raise ValueError(f'best_at: is {data["best_at"]}, should be an epoch '
                         f'of history with {best}')


def _check_wrong(text: str, last: float) -> None:
    try:
        wrong = unpack_errors(text)
    except ValueError as error:
        raise ValueError(f'wrong: is not base64: {error}') from None
    if len(wrong) != TEST_IMAGES:
        raise ValueError(f'wrong: has {len(wrong):,} bits, should be '
                         f'{TEST_IMAGES:,}, one per test image')
    accuracy = 100 - 100 * wrong.sum() / TEST_IMAGES
    # One image may differ by another rounding.
    if not math.isclose(accuracy, last, rel_tol=0, abs_tol=0.011):
        raise ValueError(
            f'wrong: {wrong.sum():,} wrong images of {TEST_IMAGES:,} are '
            f'{accuracy:.2f} %, but last is {last:.2f}; it should be of the '
            'network of the last epoch')
