# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Find the generators of its own that a pipeline draws from, and seed them.

The generators of Python, NumPy and PyTorch are seeded before each sample; a
transform may hold another one. To sample some images does not find it: with a
small probability it mostly draws nothing. So this module looks: into
attributes, containers, closures, default arguments, and the globals that
functions name.
"""
import contextlib
import functools
import gc
import hashlib
import os.path as osp
import random
import sysconfig
import types
from collections import deque
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import numpy as np
import torch

from mmdgkd.errors import ConfigError
from mmdgkd.utils.random import generator_seed

GENERATORS = (np.random.Generator, np.random.RandomState,
              np.random.BitGenerator, random.Random, torch.Generator)
# Seeded before each sample by seed_all().
_GLOBAL = (random._inst, np.random.mtrand._rand, torch.default_generator)
_PLAIN = (type(None), bool, int, float, complex, str, bytes, bytearray, range,
          np.generic, torch.Tensor, torch.dtype, torch.device,
          types.ModuleType)
# Of the functions there, only generators among the globals are looked at.
_LIBRARIES = ('<frozen', sysconfig.get_path('stdlib'),
              sysconfig.get_path('purelib'), sysconfig.get_path('platlib'),
              osp.dirname(osp.dirname(osp.abspath(__file__))))
# Records of a data set: many, and plain.
RECORDS = ('data_list', 'data_bytes', 'data_address')
_LONG, _DEEP = 10_000, 30


def find_generators(dataset: Any) -> List[Tuple[str, Any]]:
    """Find the generators that a data set and its transforms hold.

    Args:
        dataset (Any): The data set, perhaps a wrapper of others.

    Returns:
        list[tuple[str, Any]]: Each with where it is, such as
        ``RandomNoise.draws``, in the same order in every process. The global
        ones are not among them.
    """
    return [(path, value) for path, value in _walk(dataset)
            if isinstance(value, GENERATORS) and not any(value is each
                                                         for each in _GLOBAL)]


def code_of(dataset: Any) -> List[str]:
    """Hash the functions that a data set and its transforms may call.

    Only those of the user: installed packages have versions.

    Args:
        dataset (Any): The data set, perhaps a wrapper of others.

    Returns:
        list[str]: A sha256 of each, sorted. The same in every process of one
        version of Python; comments do not count.
    """
    return sorted({
        hashlib.sha256(_text_of(value.__code__).encode()).hexdigest()
        for _, value in _walk(dataset)
        if isinstance(value, types.FunctionType) and not _is_library(value)
    })


def _walk(dataset: Any) -> Iterator[Tuple[str, Any]]:
    """All that a data set refers to, each once, with where it is."""
    seen: Dict[int, Any] = {}
    todo = deque([('', dataset, 0)])
    while todo:
        path, value, depth = todo.popleft()
        if isinstance(value, _PLAIN) or id(value) in seen or depth > _DEEP:
            continue
        seen[id(value)] = value  # keep it: ids are used again
        yield path, value
        if not isinstance(value, GENERATORS):
            todo.extend(
                (name, part, depth + 1) for name, part in _parts(path, value))


def seed_generators(generators: Sequence[Tuple[str, Any]], seed: int) -> None:
    """Seed generators in place, each with a seed of its own.

    Args:
        generators (Sequence[tuple[str, Any]]): See :func:`find_generators`.
        seed (int): That of the view, 32 bits.

    Raises:
        ConfigError: If one cannot be seeded.
    """
    for number, (path, generator) in enumerate(generators):
        try:
            _seed(generator, generator_seed(seed, number))
        except (AttributeError, RuntimeError, TypeError, ValueError):
            raise ConfigError(
                f'train_dataloader.dataset.pipeline: {path} is a '
                f'{type(generator).__name__}, which cannot be seeded, so that '
                'no image could be repeated; use np.random.default_rng() or a '
                'global generator, or set chain.views=None and '
                'chain.logit_store=None') from None


def closure_of(function: Any) -> Dict[str, Any]:
    """The values that a function has from the one around it, by name.

    Args:
        function (Any): Any callable; one that is not of Python has none.
    """
    code = getattr(function, '__code__', None)
    found = {}
    for name, cell in zip(
            getattr(code, 'co_freevars', ()),
            getattr(function, '__closure__', None) or ()):
        with contextlib.suppress(ValueError):  # not assigned yet
            found[name] = cell.cell_contents
    return found


def _seed(generator: Any, seed: int) -> None:
    if isinstance(generator, random.SystemRandom):
        raise TypeError('its seed() does nothing')
    if isinstance(generator, torch.Generator):
        generator.manual_seed(seed)
    elif isinstance(generator, (random.Random, np.random.RandomState)):
        generator.seed(seed)
    else:
        bits = getattr(generator, 'bit_generator', generator)
        bits.state = type(bits)(seed).state


def _parts(path: str, value: Any) -> Iterator[Tuple[str, Any]]:
    """What a value refers to, by a name for people."""
    if isinstance(value, np.ndarray):
        if value.dtype == object and value.size <= _LONG:
            yield from ((path, item) for item in value.ravel().tolist())
    elif isinstance(value, dict):
        if len(value) <= _LONG:
            yield from ((f'{path}.{key}', item) for key, item in value.items())
    elif isinstance(value, (list, tuple, set, frozenset, deque)):
        if len(value) <= _LONG:
            yield from ((path, item) for item in value)
    elif isinstance(value, types.FunctionType):
        yield from _of_function(path, value)
    elif isinstance(value, types.MethodType):
        yield from ((path, value.__self__), (path, value.__func__))
    elif isinstance(value, (staticmethod, classmethod)):
        yield path, value.__func__
    elif isinstance(value, property):
        yield from ((path, part) for part in (value.fget, value.fset))
    elif isinstance(value, functools.partial):
        yield from ((path, part)
                    for part in (value.func, value.args, value.keywords))
    elif isinstance(value, types.GeneratorType):
        if value.gi_frame is not None:
            yield path, dict(value.gi_frame.f_locals)
    elif isinstance(value, type):
        if value.__module__.split('.')[0] != 'builtins':
            yield from ((f'{value.__name__}.{key}', item)
                        for key, item in vars(value).items()
                        if key not in ('__dict__', '__weakref__'))
    else:
        yield from _of_object(value)


def _of_object(value: Any) -> Iterator[Tuple[str, Any]]:
    kind = type(value)
    attributes: List[Tuple[str, Any]] = list(
        getattr(value, '__dict__', {}).items())
    for cls in kind.__mro__:
        slots = vars(cls).get('__slots__', ())
        attributes += [
            (name, getattr(value, name, None))
            for name in ([slots] if isinstance(slots, str) else slots)
        ]
    for name, item in attributes:
        if name not in RECORDS:
            yield f'{kind.__name__}.{name}', item
    if callable(value) or hasattr(kind, '__next__'):
        # Such as a method of a generator, or map(): objects in C.
        if not hasattr(value, '__dict__'):
            yield from ((kind.__name__, item)
                        for item in gc.get_referents(value)
                        if not isinstance(item, type))
    for cls in kind.__mro__:
        yield cls.__name__, cls


def _of_function(path: str,
                 function: types.FunctionType) -> Iterator[Tuple[str, Any]]:
    """Its closure, its default arguments, and the globals that it names."""
    for name, item in closure_of(function).items():
        yield f'{path}.{name}', item
    yield path, function.__defaults__
    yield path, function.__kwdefaults__
    yield path, function.__dict__
    is_library = _is_library(function)
    names = _names_in(function.__code__)
    owners = [function.__globals__]
    for _ in range(3):  # RNG, module.RNG, package.module.RNG
        inner = []
        for owner in owners:
            for name in names:
                item = owner.get(name)
                if isinstance(item, (types.ModuleType, type)):
                    inner.append(vars(item))
                if _is_generator(item) or not is_library and (
                        owner is function.__globals__
                        or isinstance(item, types.FunctionType)):
                    yield f'{path}.{name}', item
        owners = inner


def _is_library(function: types.FunctionType) -> bool:
    """Whether it is of this, an installed, or a built-in package."""
    return function.__code__.co_filename.startswith(_LIBRARIES)


def _text_of(code: types.CodeType) -> str:
    """A compiled function as text, without its name, lines and addresses."""
    consts = []
    for item in code.co_consts:
        if isinstance(item, types.CodeType):
            consts.append(_text_of(item))
        elif isinstance(item, frozenset):  # of any order
            consts.append(repr(sorted(map(repr, item))))
        else:
            consts.append(repr(item))
    return repr((code.co_code, code.co_names, code.co_varnames, consts))


def _is_generator(value: Any) -> bool:
    """Whether it is a generator, or a method of one."""
    if isinstance(value, (types.MethodType, types.BuiltinMethodType)):
        value = value.__self__
    return isinstance(value, GENERATORS)


def _names_in(code: types.CodeType) -> List[str]:
    """The names in a function, and in the functions inside of it."""
    names = list(code.co_names)
    for item in code.co_consts:
        if isinstance(item, types.CodeType):
            names += _names_in(item)
    return list(dict.fromkeys(names))
