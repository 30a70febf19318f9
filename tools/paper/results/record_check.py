# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Whether the parts of a record agree: tables must not rest on a slip."""
import dataclasses
import math
import re
from typing import Any, Mapping, Sequence

VERSION = 1
TEST_IMAGES = 10_000
RECIPES = ('released', 'own', 'short')
AUGMENTATIONS = ('none', 'crop_flip')
# Each method's guidance, and the variants of it that there may be.
METHODS = {
    'alone': ('none', ''),
    'kd': ('direct', 'equal_weight'),
    'takd': ('sequential', r'equal_weight|tas_[1-9]\d*'),
    'dgkd': ('dense', r'tas_[1-9]\d*'),
    'dgkd_stochastic': ('dense', r'keep_0\.\d*[1-9]'),
}
# Two figures are one if they differ by less than half an image of the test
# set: 0.01 is one.
SAME = 0.005

_WORDS = ('dataset', 'recipe', 'augmentation', 'method', 'guidance', 'network',
          'metric')
_COUNTS = ('version', 'seed', 'epochs', 'best_at')
_LISTS = ('networks', 'guides')
_MAPPINGS = ('guide_sha256', 'versions')
_TEXTS = ('variant', 'wrong', 'sha256')


def check_record(data: Any, fields: Sequence[dataclasses.Field]) -> None:
    """Check what a file holds, but for its ``wrong``.

    Args:
        data (Any): What was in the JSON file.
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
    _check_guides(data)
    _check_figures(data)


def _check_types(data: Mapping[str, Any]) -> None:
    for keys, right, what in (
        (_WORDS, _is_word, 'a word'),
        (_COUNTS, _is_count, 'an integer, 0 or larger'),
        (('best', 'last'), _is_number, 'a number'),
        (('seconds', 'kd_weight'), _is_number_or_none, 'a number or null'),
        (_LISTS, _is_words, 'a list of words'),
        (_TEXTS, lambda value: value is None or isinstance(value, str),
         'a text or null'),
        (('objective', ), lambda value: value is None or isinstance(
            value, dict), 'a mapping or null'),
        (_MAPPINGS, lambda value: isinstance(value, dict), 'a mapping'),
        (('history', ), _is_history, 'a list of [epoch, figure]'),
    ):  # yapf: disable
        for key in keys:
            if key in data and not right(data[key]):
                raise ValueError(f'{key}: is {_short(data[key])}, should be '
                                 f'{what}')


def _check_method(data: Mapping[str, Any]) -> None:
    for key, values in (('version', (VERSION, )), ('recipe', RECIPES),
                        ('augmentation', AUGMENTATIONS), ('method', METHODS)):
        if data[key] not in values:
            raise ValueError(f'{key}: is {data[key]!r}, should be '
                             f'{" or ".join(map(repr, values))}')
    method, variant = data['method'], data.get('variant')
    guidance, variants = METHODS[method]
    if data['guidance'] != guidance:
        raise ValueError(f'guidance: is {data["guidance"]!r}, should be '
                         f'{guidance!r} for the method {method!r}')
    if variant is not None and not re.fullmatch(variants or r'(?!)', variant):
        right = {'': 'null'}.get(variants, f'null or match {variants}')
        raise ValueError(f'variant: is {variant!r}, should be {right} for the '
                         f'method {method!r}')


def _check_guides(data: Mapping[str, Any]) -> None:
    networks, network = data['networks'], data['network']
    if not networks or len(set(networks)) != len(networks):
        raise ValueError(f'networks: is {networks}, should name each network '
                         'of the chain once')
    if network not in networks:
        raise ValueError(f'network: {network!r} is not in networks, '
                         f'{networks}')
    before = networks[:networks.index(network)]
    guides = data['guides']
    strangers = [guide for guide in guides if guide not in before]
    if strangers:
        raise ValueError(f'guides: {strangers[0]!r} is not before {network!r} '
                         f'in networks, {networks}')
    if len(set(guides)) != len(guides):
        raise ValueError(f'guides: is {guides}, should name each guide once')
    many = {'none': len(guides) == 0, 'dense': len(guides) > 0}
    if not many.get(data['guidance'], len(guides) == 1):
        right = {'none': 'none', 'dense': 'one or more'}
        raise ValueError(
            f'guides: is {guides}, should be '
            f'{right.get(data["guidance"], "one")} for the guidance '
            f'{data["guidance"]!r}')
    weight = data.get('kd_weight')
    if weight is not None and not guides:
        raise ValueError(f'kd_weight: is {weight}, should be null without '
                         'guides')


def _check_figures(data: Mapping[str, Any]) -> None:
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
    figures = dict(history)
    for key, figure, wanted in (('best', best, max(figures.values())),
                                ('last', last, history[-1][1])):
        if abs(figure - wanted) > SAME:
            raise ValueError(f'{key}: is {figure}, should be {wanted} as in '
                             'history')
    if abs(figures.get(data['best_at'], math.inf) - best) > SAME:
        raise ValueError(f'best_at: is {data["best_at"]}, should be an epoch '
                         f'of history with {best}')


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_word, value))


def _is_count(value: Any) -> bool:
    return isinstance(value,
                      int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(
        value,
        (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_number_or_none(value: Any) -> bool:
    return value is None or _is_number(value)


def _is_history(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(
        isinstance(point, (list, tuple)) and len(point) == 2
        and _is_count(point[0]) and _is_number(point[1]) for point in value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + '...'
