# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The images with which a program is made and checked."""
from dataclasses import dataclass
from typing import Any, Dict, List

import torch
from mmengine.config import Config
from mmengine.registry import DATASETS
from torch import nn

from mmdgkd.errors import ConfigError
from mmdgkd.utils.config import reason_of, type_of
from .preprocessing import (FlipChannels, has_order_of_files, is_neutral,
                            preprocessing_of)

# Number of images on which program and network are compared.
_IMAGES = 16


@dataclass(frozen=True)
class ProgramImages:
    """Some images as the data gives them, and as people have them.

    Attributes:
        given (Tensor): Shape (N, C, H, W), N at least 2, after the pipeline.
        taken (list[Tensor]): The same images, as the program takes them, in
            batches of one size.
        front (nn.Module): From the latter to the former.
        any_size (bool): Whether images of any size are taken.
        inputs (dict): What is known of the latter: ``channels``, ``classes``
            and ``steps``, the pipeline that is left to be done, where it
            is known.
    """

    given: torch.Tensor
    taken: List[torch.Tensor]
    front: nn.Module
    any_size: bool
    inputs: Dict[str, Any]


def program_images(cfg: Config, channels: str,
                   preprocess: bool) -> ProgramImages:
    """Take some images of the test data.

    Args:
        cfg (Config): The config of a network, with a ``test_dataloader``.
        channels (str): ``'RGB'`` or ``'BGR'``: in which order a program takes
            the channels of images that are read from files. Of other data,
            and of files that the pipeline does more to than to resize and
            crop them, it takes what the data set gives.
        preprocess (bool): Whether it resizes and crops.

    Raises:
        ConfigError: If there are no images of one size, or if a program cannot
            do what the pipeline does.
    """
    loader = cfg.get('test_dataloader')
    if loader is None:
        raise ConfigError('test_dataloader: is missing; some of its images '
                          'are needed to check the program')
    pipeline = list(loader.dataset.get('pipeline') or ())
    if preprocess and not pipeline:
        raise ConfigError('test_dataloader.dataset: has no pipeline of its '
                          'own, of which --preprocess could put steps into '
                          'the program; leave it out')
    front = preprocessing_of(pipeline) if preprocess else []
    try:
        dataset = DATASETS.build(loader.dataset)
        count = min(_IMAGES, len(dataset))
        given = torch.stack([dataset[i]['inputs'] for i in range(count)])
        taken = [given]
        if preprocess:
            read = [step for step in pipeline if is_neutral(step)]
            unchanged = DATASETS.build(dict(loader.dataset, pipeline=read))
            taken = [unchanged[i]['inputs'][None] for i in range(count)]
    except Exception as error:
        raise ConfigError('test_dataloader.dataset: gives no images of one '
                          f'size ({reason_of(error)})') from None
    inputs: Dict[str, Any] = dict(channels='as the data set has them')
    if has_order_of_files(pipeline) and given.shape[1] == 3:
        inputs['channels'] = channels
        if channels == 'RGB':
            front.append(FlipChannels())
            taken = [images.flip(1) for images in taken]
    if pipeline:
        # Without one at its top, such as in a ConcatDataset, it is not known.
        inputs['steps'] = [] if preprocess else [
            dict(step, type=type_of(step)) for step in pipeline
            if not is_neutral(step)
        ]
    names = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    inputs['classes'] = [] if names is None else [str(name) for name in names]
    return ProgramImages(given, taken, nn.Sequential(*front), preprocess,
                         inputs)
