# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What is known of the images that a chain is to be trained on."""
import difflib
import os
import os.path as osp
import statistics
import time
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from mmpretrain.datasets.custom import find_folders, get_samples
from PIL import Image

from mmdgkd.errors import ConfigError

Samples = List[Tuple[str, int]]  # the file below its root, its class

# What MMPretrain's CustomDataset reads.
EXTENSIONS = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif')
# Images that it does not read: they would be left out without a word.
_UNREAD = ('.gif', '.webp', '.tiff', '.avif', '.heic', '.jp2')
_VAL_NAMES = ('val', 'valid', 'validation', 'test')
# Pixels. Larger images are cropped to what models of ImageNet are made for.
_SIZES = (32, 48, 64, 96, 128, 160, 192, 224)
_READING = 10.0  # seconds
_NAMED = dict(cifar10=(10, 50000, 32), cifar100=(100, 50000, 32),
              imagenet=(1000, 1281167, 224))  # yapf: disable


@dataclass(frozen=True)
class ImageData:
    """Images of classes, for training and for validation.

    Attributes:
        classes (int): Number of classes.
        samples (int): Number of images for training.
        size (int): Edge of the images in pixels, as they are trained on.
        as_they_are (bool): Whether all are small squares of that size.
        name (str, optional): That of a known data set.
        root (str): The folder.
        prefixes (tuple[str]): The folders in it for training and validation.
        lists (dict[str, Samples]): What each part has, if the folders do not
            tell that; they are written into files.
        names (tuple[str]): The classes.
        facts (str): A line of what was found.
    """

    classes: int
    samples: int
    size: int
    as_they_are: bool
    name: Optional[str] = None
    root: str = ''
    prefixes: Tuple[str, str] = ('', '')
    lists: Dict[str, Samples] = field(default_factory=dict)
    names: Tuple[str, ...] = ()
    facts: str = ''


def find_data(data: str, size: Optional[int], seed: int,
              val_share: float) -> ImageData:
    """Find out about a folder of images, or a known data set.

    Args:
        data (str): The folder, or its name.
        size (int, optional): Edge of the images; None: by the images.
        seed (int): Of the split, and of which images are read.
        val_share (float): The share that validates, if the folder has no
            images for that.

    Raises:
        ConfigError: If there is no such folder, or it has no classes of
            images; see :func:`read_folder`.
    """
    if data in _NAMED and not osp.isdir(data):
        classes, samples, own = _NAMED[data]
        if size not in (None, own):
            raise ConfigError(
                f'--size: is {size}, but {data} is read at {own} px; give a '
                'folder of its images, or change the pipelines of the config')
        facts = f'{data}: {classes} classes, {samples:,} images for training'
        return ImageData(classes, samples, own, own < 224, data, facts=facts)
    if not osp.isdir(data):
        near = difflib.get_close_matches(data.lower().replace('-', ''), _NAMED,
                                         1)
        hint = f'; did you mean {near[0]}?' if near else ''
        raise ConfigError(
            f'--data: there is no folder {data!r}{hint or ""}'
            f'{"" if hint else "; or give " + ", ".join(_NAMED)}')
    return read_folder(data, size, seed, val_share)


def read_folder(data: str, size: Optional[int], seed: int,
                val_share: float) -> ImageData:
    """Find out about a folder of images: ``[train/, val/]<class>/<image>``.

    Nothing in it is copied, moved or written. Without images for validation
    a share of each class is taken, a function of the seed and of the sorted
    names.

    Args:
        data (str): The folder.
        size (int, optional): Edge of the images; None: by the images.
        seed (int): Of the split, and of which images are read.
        val_share (float): The share that validates.

    Raises:
        ConfigError: If there are no classes, only one, or others for
            validation; if a class has no image, or one and needs two; or if
            one of the images that are read is damaged.
    """
    root = osp.abspath(osp.expanduser(data))
    inside = {name for name in os.listdir(root) if osp.isdir(f'{root}/{name}')}
    val_name = next((name for name in _VAL_NAMES if name in inside), None)
    if 'train' not in inside:
        if val_name and len(inside) < 3:
            raise ConfigError(f'--data: {data!r} has {val_name}/, but no '
                              'train/; put the images for training there')
        names, samples, listed = _read_part(root, data)
        prefixes = ('', '')
        lists = _split(names, samples, seed, val_share, data)
    else:
        names, samples, listed = _read_part(f'{root}/train', f'{data}/train')
        prefixes = ('train', 'train')
        if val_name is None:
            lists = _split(names, samples, seed, val_share, data)
        else:
            others = _read_part(f'{root}/{val_name}', f'{data}/{val_name}')
            _check_same_classes(names, others[0], f'{data}/{val_name}')
            _check_several(names, data)
            prefixes = ('train', val_name)
            lists = dict(train=samples, val=others[1])
            if not (listed or others[2]):
                # The folders tell it.
                return _as_data(data, root, names, prefixes, lists, size, seed,
                                False)
    return _as_data(data, root, names, prefixes, lists, size, seed, True)


def _as_data(data: str, root: str, names: Sequence[str],
             prefixes: Tuple[str, str], lists: Dict[str, Samples],
             size: Optional[int], seed: int, written: bool) -> ImageData:
    """Read the sizes of the images."""
    files = [
        osp.join(root, prefix, name)
        for prefix, part in zip(prefixes, ('train', 'val'))
        for name, _ in lists[part]
    ]
    read = _read_images(files, seed)
    edges = {*read}
    small = len(edges) == 1 and len({*read[0]}) == 1
    edge = int(statistics.median(map(min, read)))
    if small and edge <= 96 and size in (None, edge):
        size, as_they_are = edge, True
    else:
        fitting = [each for each in _SIZES if each <= edge]
        size, as_they_are = size or max(fitting, default=_SIZES[0]), False
    found = ('{}x{} px'.format(
        *read[0]) if len(edges) == 1 else f'short edges of about {edge} px')
    facts = (f'{data}: {len(names)} classes, {len(lists["train"]):,} images '
             f'for training, {len(lists["val"]):,} for validation; {found}; '
             f'{len(read):,} of them are readable')
    return ImageData(
        len(names), len(lists['train']), size, as_they_are, None, root,
        prefixes, lists if written else {}, tuple(names), facts)


def _read_part(folder: str, shown: str) -> Tuple[List[str], Samples, bool]:
    """The classes of a folder and their images, as MMPretrain finds them.

    Returns:
        tuple: Names, samples, and whether MMPretrain would find more classes:
        it takes folders without images, and hidden ones.
    """
    folders, numbers = find_folders(folder)
    samples, _ = get_samples(folder, numbers,
                             lambda name: name.lower().endswith(EXTENSIONS))
    _refuse_other_files(folder, folders, shown)
    used = {number for _, number in samples}
    names = [
        name for name in folders
        if numbers[name] in used and not name.startswith('.')
    ]
    if not names:
        loose = any(name.lower().endswith(EXTENSIONS)
                    for name in os.listdir(folder))
        raise ConfigError(
            f'--data: {shown!r} has no images in folders of their classes'
            f'{", only images beside each other" if loose else ""}; it should '
            'be <class>/<image>, one of ' + ' '.join(EXTENSIONS))
    new = {numbers[name]: i for i, name in enumerate(names)}
    samples = [(file, new[number]) for file, number in samples
               if number in new]
    return names, samples, len(names) < len(folders)


def _refuse_other_files(folder: str, names: Sequence[str], shown: str) -> None:
    """Refuse files that no image of a class is, and that would be left out."""
    for name in names:
        found = [
            osp.splitext(file)[1].lower()
            for _, _, files in os.walk(osp.join(folder, name))
            for file in files if osp.splitext(file)[1].lower() in _UNREAD
        ]
        if found and not name.startswith('.'):
            raise ConfigError(
                f'--data: the class {name!r} of {shown!r} has {len(found)} '
                f'files {found[0]}, which MMPretrain does not read; convert '
                f'them, to one of {" ".join(EXTENSIONS)}, or take them out')


def _check_same_classes(train: List[str], val: List[str], shown: str) -> None:
    for mine, theirs, what in ((train, val, 'has no images of'),
                               (val, train, 'has what train/ has not:')):
        other = [name for name in mine if name not in theirs]
        if other:
            more = f' and {len(other) - 1} more' if len(other) > 1 else ''
            raise ConfigError(f'--data: {shown!r} {what} the class '
                              f'{other[0]!r}{more}; both need the same '
                              'classes')


def _check_several(names: List[str], shown: str) -> None:
    if len(names) == 1:
        raise ConfigError(f'--data: {shown!r} has one class, {names[0]!r}; '
                          'a classifier needs two')


def _split(names: List[str], samples: Samples, seed: int, share: float,
           shown: str) -> Dict[str, Samples]:
    """Split each class, by the seed and the sorted names alone."""
    _check_several(names, shown)
    rng = np.random.default_rng(seed)
    parts: Dict[str, Samples] = dict(train=[], val=[])
    by_class: List[Samples] = [[] for _ in names]
    for sample in samples:
        by_class[sample[1]].append(sample)
    for name, own in zip(names, by_class):
        if len(own) < 2:
            raise ConfigError(f'--data: the class {name!r} of {shown!r} has '
                              'one image; a split into train and val needs '
                              'two')
        order = rng.permutation(len(own))
        count = min(max(1, round(share * len(own))), len(own) - 1)
        parts['val'] += [own[i] for i in sorted(order[:count])]
        parts['train'] += [own[i] for i in sorted(order[count:])]
    return parts


def _read_images(files: List[str], seed: int) -> List[Tuple[int, int]]:
    """Decode images, in a random order, for some seconds.

    Returns:
        list[tuple[int]]: Width and height of each.
    """
    sizes = []
    end = time.monotonic() + _READING
    for i in np.random.default_rng(seed).permutation(len(files)):
        try:
            with Image.open(files[i]) as image:
                image.load()
                sizes.append(image.size)
        except (OSError, SyntaxError, ValueError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise ConfigError(f'--data: {files[i]!r} cannot be read '
                              f'({reason}); replace it or take it '
                              'out') from None
        if time.monotonic() > end:
            break
    return sizes
