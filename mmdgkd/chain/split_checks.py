# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Refusing files and data that have seen what a chain leaves out."""
import logging
from typing import Mapping, Optional

from mmengine.logging import print_log

from mmdgkd.datasets.splits import ImageSet
from mmdgkd.errors import ConfigError
from .chain import Chain
from .splits import split_of

# What two networks must have in common to be in one chain.
_COMMON = ('holdout', 'seed')
_FOLD = ('folds', 'fold', 'folds_seed')


def check_given_split(chain: Chain, name: str, meta: Mapping) -> None:
    """Refuse a given network that has seen what the chain holds out.

    Args:
        chain (Chain): The chain.
        name (str): The network, which has a ``ckpt_path``.
        meta (Mapping): The meta of its file. That of another package does not
            tell; it may have seen all.

    Raises:
        ConfigError: If it was trained with another split.
    """
    if 'mmdgkd_version' not in meta:
        if chain.holdout:
            print_log(
                f'chain.networks.{name}.ckpt_path: says nothing of its '
                'training images; if it has seen those that chain.holdout '
                'holds out, it looks better on them than it is',
                logger='current',
                level=logging.WARNING)
        if chain.fold_of(name) is not None and chain[name].fold == 'auto':
            raise ConfigError(
                f'chain.networks.{name}.ckpt_path: does not say which fold of'
                ' chain.folds it was trained without; set '
                f'chain.networks.{name}.fold=None, for it has seen all, or to '
                'the number of that fold')
        return
    here = f'chain.networks.{name}.ckpt_path'
    check_holdout(chain, name, meta, here)
    found, wanted = dict(meta.get('split') or {}), split_of(chain, name)
    rest = [[split.get(key) for key in _FOLD] for split in (found, wanted)]
    # That it has seen all is never too much to say.
    if chain.folds and wanted.get('fold') is not None and rest[0] != rest[1]:
        same = [
            found.get(key) == wanted[key] for key in ('folds', 'folds_seed')
        ]
        raise ConfigError(
            f'{here}: was trained with {_format_fold(found)}, not '
            f'{_format_fold(wanted)}, as chain.folds has it; set '
            f'chain.networks.{name}.fold='
            f'{found.get("fold") if all(same) else None}')


def check_beginning(chain: Chain, name: str, meta: Mapping, here: str) -> None:
    """Refuse weights to begin from that have seen what a network leaves out.

    Args:
        chain (Chain): The chain.
        name (str): The network.
        meta (Mapping): The meta of the file. That of another package does not
            tell.
        here (str): The config key of the file, for messages.

    Raises:
        ConfigError: If they have.
    """
    check_holdout(chain, name, meta, here)
    found, wanted = dict(meta.get('split') or {}), split_of(chain, name)
    if (wanted.get('fold') is not None and 'mmdgkd_version' in meta
            and any(found.get(key) != wanted[key] for key in _FOLD)):
        raise ConfigError(
            f'{here}: was trained with {_format_fold(found)}, but "{name}" '
            f'is trained with {_format_fold(wanted)}; set '
            f'chain.networks.{name}.fold=None')


def check_holdout(chain: Chain, name: str, meta: Mapping, here: str) -> None:
    """Refuse a network that was trained on images that a chain holds out.

    Args:
        chain (Chain): The chain.
        name (str): The network.
        meta (Mapping): The meta of its file. That of another package does not
            tell; it may have seen all.
        here (str): The config key of the file, for messages.

    Raises:
        ConfigError: If it was trained with another holdout.
    """
    found, wanted = dict(meta.get('split') or {}), split_of(chain, name)
    for key in _COMMON if chain.holdout and 'mmdgkd_version' in meta else ():
        if found.get(key) != wanted.get(key):
            raise ConfigError(
                f'{here}: was trained with {_format_holdout(found)}, but '
                f'chain.holdout is {_format_holdout(wanted)}; a network of one'
                ' chain has not seen what the others hold out')


def check_same_images(chain: Chain, images: Mapping[str, ImageSet],
                      metas: Mapping[str, Mapping]) -> None:
    """Refuse networks that are trained on different data sets.

    What is held out is known by its index: of another data set it is other
    images.

    Args:
        chain (Chain): The chain.
        images (Mapping[str, ImageSet]): By network that is trained, of which
            images its split is.
        metas (Mapping[str, Mapping]): By given network the meta of its file.

    Raises:
        ConfigError: If there are some.
    """
    if not images:
        return
    first, wanted = next(iter(images.items()))
    for name, each in images.items():
        _refuse_others(f'chain.networks.{name}.stage.train_dataloader', each,
                       wanted, first)
    for name, meta in metas.items():
        # Of one that has seen all nothing is known by an index.
        if chain.holdout or chain.fold_of(name) is not None:
            _refuse_others(f'chain.networks.{name}.ckpt_path',
                           _image_set_in(meta), wanted, first)


def check_held_out(meta: Mapping, images: Optional[ImageSet],
                   here: str) -> None:
    """Refuse a network for which the held-out images are others.

    Args:
        meta (Mapping): The meta of its file.
        images (ImageSet, optional): Of which images they are held out; None
            where they are not of the training images.
        here (str): What names the file, for messages.

    Raises:
        ConfigError: If it was trained on other images than these.
    """
    if images:
        _refuse_others(here, _image_set_in(meta), images, 'train_dataloader')


def _image_set_in(meta: Mapping) -> ImageSet:
    split = meta.get('split') or {}
    return ImageSet(split.get('of') or 0, split.get('images') or '')


def _refuse_others(here: str, found: ImageSet, wanted: ImageSet,
                   of: str) -> None:
    need = ('chain.holdout and chain.folds know an image by its index, and '
            'need the same images in the same order for all')
    # What is not known may be the same.
    if found.count and found.count != wanted.count:
        raise ConfigError(
            f'{here}: is of a training on {found.count:,} images, but "{of}" '
            f'has {wanted.count:,}; {need}')
    if found.key and wanted.key and found.key != wanted.key:
        raise ConfigError(f'{here}: is of a training on other images than '
                          f'"{of}" has, or in another order; {need}')


def _format_holdout(split: Mapping) -> str:
    return (f'{split.get("holdout", 0)} images of seed '
            f'{split.get("seed", 0)} held out')


def _format_fold(split: Mapping) -> str:
    if split.get('fold') is None:
        return 'all folds'
    return (f'fold {split["fold"]} of {split["folds"]} (seed '
            f'{split["folds_seed"]}) left out')
