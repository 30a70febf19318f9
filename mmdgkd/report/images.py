# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Images of a validation, as they are loaded, small enough for a page."""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS

from mmdgkd.datasets.identity import parts_of
from mmdgkd.engine.hooks.predictions_hook import data_key
from mmdgkd.models.utils.networks import network_cfg
from mmdgkd.utils.config import type_of
from .records import Run

_WIDTH = 112  # CSS pixels, of the longer side


@dataclass(frozen=True)
class Thumbnail:
    """A small picture: its width in CSS pixels, its PNG."""

    width: int
    png: bytes


def load_thumbnails(
        run: Run, key: str,
        chosen: Sequence[tuple[int, int]]) -> list[Thumbnail] | str:
    """Load images from the data set that predictions are of.

    It is built by the config of the run; nothing is downloaded.

    Args:
        run (Run): The work dir.
        key (str): The :func:`data_key` of the data set.
        chosen (Sequence[tuple[int, int]]): Of each image its index and class.

    Returns:
        list[Thumbnail] | str: One each, or why there are none.
    """
    source = next((one for one in run.images if data_key(one.dataset) == key),
                  None)
    if source is None:
        return 'config.py names other data than those of the predictions'
    try:
        with DefaultScope.overwrite_default_scope(source.scope):
            dataset = _build(source.dataset)
        places = [index for index, _ in chosen]
        if hasattr(dataset, 'place_of'):
            places = [dataset.place_of(index) for index in places]
        pictures = []
        for place, (_, label) in zip(places, chosen):
            data = dataset[place]
            if int(data['data_samples'].gt_label) != label:
                return 'the data have other classes by now'
            pictures.append(_thumbnail(to_pixels(data['inputs'], source)))
        return pictures
    # A data set and its transforms may fail with anything.
    except Exception as error:
        # The reason may name files of this machine.
        return (f'the data are not at hand ({type(error).__name__}); run '
                'mmdgkd report where they are')


def _build(cfg: Mapping[str, Any]) -> Any:
    try:
        dataset = DATASETS.build(_lazy(cfg))
    except TypeError:
        return DATASETS.build(dict(cfg))
    _stay_offline(dataset)
    dataset.full_init()
    return dataset


def _lazy(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a data set that loads nothing yet, in wrappers either."""
    changed = dict(cfg, lazy_init=True)
    if isinstance(cfg.get('dataset'), Mapping):
        changed['dataset'] = _lazy(cfg['dataset'])
    if cfg.get('datasets'):
        changed['datasets'] = [_lazy(part) for part in cfg['datasets']]
    return changed


def _stay_offline(dataset: Any) -> None:
    # Of MMPretrain's CIFAR and MNIST.
    if hasattr(dataset, 'download'):
        dataset.download = False
    for part in parts_of(dataset):
        _stay_offline(part)


def to_pixels(inputs: Any, source: Any) -> np.ndarray:
    """The image that a pipeline has packed, as OpenCV has it.

    Args:
        inputs (torch.Tensor): Of shape (3 or 1, H, W), uint8, or float where
            the pipeline normalizes.
        source (ImageSource): What is known of the pipeline.

    Returns:
        np.ndarray: uint8 of shape (H, W, 3), BGR.
    """
    image = inputs.numpy().transpose(1, 2, 0)
    if image.shape[2] == 1:
        image = image.repeat(3, 2)
    is_bgr = source.is_bgr
    if image.dtype != np.uint8:
        norm = source.normalize
        if norm is not None:
            image = image * np.asarray(norm['std'], np.float32) + np.asarray(
                norm['mean'], np.float32)
            is_bgr = is_bgr and not norm.get('to_rgb', True)
        else:
            low, high = image.min(), image.max()
            image = (image - low) * (255 / max(high - low, 1e-6))
        image = image.round().clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(image if is_bgr else image[..., ::-1])


@dataclass(frozen=True)
class ImageSource:
    """Where images of a run come from.

    Attributes:
        dataset (Mapping): The config of the data set.
        scope (str): In which its types are looked up.
        is_bgr (bool): Whether loaded images are in this order.
        normalize (Mapping, optional): The transform of the pipeline that
            normalizes them.
    """

    dataset: Mapping[str, Any]
    scope: str
    is_bgr: bool
    normalize: Mapping[str, Any] | None


def sources_of(cfg: Mapping[str, Any]) -> list[ImageSource]:
    """The data sets of the validation and the test of a stage.

    Args:
        cfg (Mapping): Its config.
    """
    found = []
    preprocessor = network_cfg(cfg['model']).get('data_preprocessor') or {}
    for key in ('val_dataloader', 'test_dataloader'):
        dataset = (cfg.get(key) or {}).get('dataset')
        if not isinstance(dataset, Mapping):
            continue
        steps = [
            step for step in _pipeline_of(dataset)
            if isinstance(step, Mapping)
        ]
        kinds = {type_of(step): step for step in steps}
        # A loaded file is BGR by default; what a data preprocessor turns
        # into RGB is, too. The small data sets in memory are RGB.
        is_bgr = bool(preprocessor.get('to_rgb')) or kinds.get(
            'LoadImageFromFile', dict(channel_order='rgb')).get(
                'channel_order', 'bgr') == 'bgr'
        found.append(
            ImageSource(dataset,
                        cfg.get('default_scope') or 'mmpretrain', is_bgr,
                        kinds.get('Normalize')))
    return found


def _pipeline_of(dataset: Mapping[str, Any]) -> Sequence[Any]:
    """That of a data set, or of the first one in its wrappers."""
    while 'pipeline' not in dataset:
        parts = dataset.get('datasets') or [dataset.get('dataset')]
        if not isinstance(parts[0], Mapping):
            return ()
        dataset = parts[0]
    return dataset['pipeline'] or ()


def _thumbnail(image: np.ndarray) -> Thumbnail:
    height, width = image.shape[:2]
    scale = _WIDTH / max(height, width)
    shown = max(1, round(scale * width))
    if scale < 1:
        size = (shown, max(1, round(scale * height)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    # Smaller ones are enlarged by the page: their pixels stay pixels.
    done, data = cv2.imencode('.png', image)
    if not done:
        raise ValueError('an image cannot be encoded')
    return Thumbnail(shown, data.tobytes())
