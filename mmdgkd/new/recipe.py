# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""How to train on the images: as MMPretrain's recipes of that size."""
import math
import os
import os.path as osp
import shutil
from dataclasses import dataclass
from typing import Dict, Optional

from mmdgkd.fileio.disk_files import RESERVE
from mmdgkd.logit_store.encoding import RowForm
from mmdgkd.logit_store.piece import store_bytes
from .image_data import ImageData

# Small images are trained longer: MMPretrain has 200 epochs for CIFAR and 100
# for ImageNet. From weights of a zoo it is a fine-tuning.
_EPOCHS = dict(small=200, large=100, pretrained=30, folder=100)
# At least this many images for each of a batch.
_BATCHES = ((10000, 128), (2000, 64), (400, 32), (0, 16))
# The share of the free disk that the logit store may take.
_DISK = 0.5
_TOP_K = 20
_FEW_VIEWS = 8


@dataclass(frozen=True)
class Recipe:
    """The schedule of all stages.

    Attributes:
        epochs (int): Of each stage.
        warmup (int): Of these, how many the learning rate rises in.
        batch_size (int): Images of a step.
        drop_last (bool): Whether the last batch would be a single image,
            which batch normalization cannot take.
        lr (float): Of SGD.
        weight_decay (float): Of SGD.
        adamw_lr (float): Of AdamW, for transformers.
        workers (int): Processes that read images.
    """

    epochs: int
    warmup: int
    batch_size: int
    drop_last: bool
    lr: float
    weight_decay: float
    adamw_lr: float
    workers: int


def recipe_of(data: ImageData, epochs: Optional[int],
              pretrained: bool) -> Recipe:
    """Choose a schedule by the number and the size of the images.

    SGD has 0.1 for 128 small images or 256 large ones, in proportion, as in
    MMPretrain; AdamW 1e-3 for 1024, by the square root (arXiv 2205.10287). A
    fine-tuning has a tenth.

    Args:
        data (ImageData): The images.
        epochs (int, optional): If chosen.
        pretrained (bool): Whether the weights of a zoo are fine-tuned.
    """
    small = data.size <= 96
    if epochs is None:
        kind = 'small' if data.name and small else 'large'
        kind = 'folder' if data.name is None else kind
        epochs = _EPOCHS['pretrained' if pretrained else kind]
    batch_size = next(size for least, size in _BATCHES if data.samples > least)
    batch_size = min(batch_size, data.samples)
    share = 0.1 if pretrained else 1.0
    return Recipe(
        epochs=epochs,
        warmup=min(5, max(1, epochs // 10)) if epochs > 1 else 0,
        batch_size=batch_size,
        drop_last=batch_size > 1 and data.samples % batch_size == 1,
        lr=_rounded(share * 0.1 * batch_size / (128 if small else 256)),
        weight_decay=5e-4 if small else 1e-4,
        adamw_lr=_rounded(share * 1e-3 * math.sqrt(batch_size / 1024)),
        workers=min(4,
                    os.cpu_count() or 1))


def _rounded(value: float) -> float:
    """Round to two digits."""
    return float(f'{value:.1e}')


@dataclass(frozen=True)
class Store:
    """The logit store that fits on the disk.

    Attributes:
        cfg (dict, optional): ``chain.logit_store``; None: nothing fits.
        num_views (int, optional): ``chain.views.num_views``; None: as many as
            epochs.
        num_bytes (int): Of a teacher.
    """

    cfg: Optional[Dict]
    num_views: Optional[int] = None
    num_bytes: int = 0


def store_of(data: ImageData, epochs: int, teachers: int,
             work_dir: str) -> Store:
    """Choose the form of the logit store by the free disk.

    First all logits of each epoch's views, then the largest ``top_k`` of
    them, then fewer views.

    Args:
        data (ImageData): The images.
        epochs (int): Of each stage.
        teachers (int): Number of networks that teach.
        work_dir (str): Where it is.
    """
    free = _free_bytes(work_dir)
    # A store leaves the last of a disk free.
    budget = min(_DISK * free, free - RESERVE) / max(1, teachers)
    full = RowForm(data.classes)
    forms = [full]
    if data.classes > 5 * _TOP_K:
        forms.append(RowForm(data.classes, top_k=_TOP_K))
    for form in forms:
        size = store_bytes(form, epochs, data.samples)
        if size <= budget:
            return Store(_store_cfg(form), None, size)
    form = forms[-1]
    views = int(budget // store_bytes(form, 1, data.samples))
    if views < min(epochs, _FEW_VIEWS):
        return Store(None)
    return Store(
        _store_cfg(form), views, store_bytes(form, views, data.samples))


def _store_cfg(form: RowForm) -> Dict:
    # Above tau = 1 an even rest makes teachers flat.
    top = {} if form.is_full else dict(top_k=form.top_k, others='zero')
    return dict(dtype=form.dtype, **top)


def _free_bytes(folder: str) -> int:
    """Free bytes on the disk of a folder, which need not exist yet."""
    folder = osp.abspath(folder)
    while not osp.exists(folder):
        folder = osp.dirname(folder)
    return shutil.disk_usage(folder).free


def size_text(num_bytes: int) -> str:
    """Such as ``12.8 MB``.

    Args:
        num_bytes (int): The bytes.
    """
    if num_bytes >= 10**9:
        return f'{num_bytes / 1e9:.1f} GB'
    if num_bytes >= 10**6:
        return f'{num_bytes / 1e6:.1f} MB'
    return f'{num_bytes / 1e3:.0f} KB'
