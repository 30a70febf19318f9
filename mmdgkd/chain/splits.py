# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Which training images a chain holds out, and which its networks leave out.

``chain.holdout`` takes images out of the trainings of all networks, for all
choices that are made before a test. With ``chain.folds`` each network but the
last is trained without another fold of the rest, so that each image has a
teacher that has not seen it.
"""
import contextlib
import copy
from typing import Any, Dict, Mapping, Optional

from mmengine.config import Config
from mmengine.registry import DATASETS

from mmdgkd.errors import ConfigError
from mmdgkd.utils.config import find_type, type_of
from .chain import Chain


def split_of(chain: Chain, name: str) -> Dict[str, Any]:
    """Which images a network of a chain is not trained on.

    Args:
        chain (Chain): The chain.
        name (str): The network.

    Returns:
        dict[str, Any]: The config of a :class:`Split`, with ``fold`` None for
        a network that is trained on all folds; empty without a split.
    """
    split: Dict[str, Any] = {}
    if chain.holdout:
        split.update(holdout=chain.holdout['size'], seed=chain.holdout['seed'])
    if chain.folds:
        split.update(
            folds=chain.folds['num'],
            fold=chain.fold_of(name),
            folds_seed=chain.folds['seed'])
    return split


def split_entry(split: Mapping[str, Any], dataset: Any) -> Dict[str, Any]:
    """What the file of a network says of its split.

    Args:
        split (Mapping): See :func:`split_of`.
        dataset (Dataset): On which it is trained.

    Returns:
        dict[str, Any]: ``split``, with the number (``of``) and the key
        (``images``) of the images of which it is; empty without a split.
    """
    images = getattr(dataset, 'image_set', None)
    of = dict(of=images.count, images=images.key) if images else {}
    return dict(split=dict(split, **of)) if split else {}


def folds_of_teachers(chain: Chain, name: str) -> Optional[Dict[str, Any]]:
    """Which folds the teachers of a stage have not been trained on.

    Args:
        chain (Chain): The chain.
        name (str): The network of the stage.

    Returns:
        dict, optional: As ``DGKD.folds`` takes it; None without folds.
    """
    if chain.folds is None:
        return None
    return dict(
        chain.folds,
        left_out={
            teacher: chain.fold_of(teacher)
            for teacher in chain.teachers[name]
            if chain.fold_of(teacher) is not None
        })


def held_out_loader(cfg: Mapping, chain: Chain) -> Dict[str, Any]:
    """The data loader of the images that are held out.

    Args:
        cfg (Mapping): The whole config, or that of a stage: the images are
            those of its ``train_dataloader``, the rest is as for the
            validation, or the test if there is none.
        chain (Chain): The chain.

    Returns:
        dict[str, Any]: Its config.

    Raises:
        ConfigError: If nothing is held out, or the config has no data loaders
            to make it of.
    """
    if not chain.holdout:
        raise ConfigError('chain.holdout: is not set; it takes images out of '
                          'all trainings, such as chain=dict(holdout=5000)')
    train = (cfg.get('train_dataloader') or {}).get('dataset')
    other = cfg.get('val_dataloader') or cfg.get('test_dataloader') or {}
    if not isinstance(train, Mapping) or not other.get('dataset'):
        raise ConfigError(
            'chain.holdout: is of the images of train_dataloader, with the '
            'pipeline of val_dataloader or test_dataloader; give both')
    if type_of(train) == 'ViewDataset':
        train = train['dataset']
    pipeline = _pipeline_of(other['dataset'])
    loader = copy.deepcopy(dict(other))
    loader['dataset'] = dict(
        type='mmpretrain.HeldOut',
        dataset=_with_pipeline(train, pipeline),
        holdout=chain.holdout['size'],
        seed=chain.holdout['seed'])
    if (chain.views or {}).get('skip_unreadable'):
        loader['dataset']['skip_unreadable'] = True
    return loader


def _pipeline_of(dataset: Mapping) -> Any:
    """The pipeline of a data set, perhaps in wrappers."""
    while 'pipeline' not in dataset:
        parts = dataset.get('datasets') or [dataset.get('dataset')]
        if not isinstance(parts[0], Mapping):
            raise ConfigError('chain.holdout: the data set of val_dataloader '
                              'has no pipeline for the images that are held '
                              'out; give it one')
        dataset = parts[0]
    return dataset['pipeline']


def _with_pipeline(dataset: Mapping, pipeline: Any) -> Dict[str, Any]:
    """A data set with another pipeline, also within wrappers."""
    changed = copy.deepcopy(dict(dataset))
    if isinstance(changed.get('dataset'), Mapping):
        changed['dataset'] = _with_pipeline(changed['dataset'], pipeline)
    elif changed.get('datasets'):
        changed['datasets'] = [
            _with_pipeline(part, pipeline) for part in changed['datasets']
        ]
    else:
        changed['pipeline'] = copy.deepcopy(pipeline)
    return changed


def set_split(stage: Config, cfg: Config, chain: Chain, name: str) -> None:
    """Have a stage leave out what its network is not trained on.

    Args:
        stage (Config): The config of the stage, whose training data has views;
            it is changed.
        cfg (Config): The whole config, of whose training images some are held
            out.
        chain (Chain): The chain.
        name (str): The network of the stage.

    Raises:
        ConfigError: If its data has no views, or as :func:`held_out_loader`.
    """
    split = split_of(chain, name)
    if not split:
        return
    if chain.holdout and chain.holdout['validate'] and stage.get(
            'val_dataloader') is not None:
        stage.val_dataloader = held_out_loader(
            dict(stage, train_dataloader=cfg.get('train_dataloader')), chain)
    loader = stage.get('train_dataloader')
    if loader is None:
        return
    dataset = loader.get('dataset')
    if not isinstance(dataset, dict):
        raise ConfigError(
            'train_dataloader.dataset: must be a config, so that chain.holdout'
            f' and chain.folds can leave images out, not a '
            f'{type(dataset).__name__}')
    if dataset.get('split') not in (None, split):
        raise ConfigError('train_dataloader.dataset.split: is given beside '
                          'chain.holdout and chain.folds; leave it out')
    if not _has_no_images(dataset):
        dataset['split'] = split


def _has_no_images(dataset: Mapping) -> bool:
    """Whether it is a view of a data set that gives no images to learn."""
    inner = (dataset.get('dataset') or {}).get('type')
    with contextlib.suppress(KeyError):
        return getattr(find_type(DATASETS, inner), 'has_images', True) is False
    return False


def split_line(chain: Chain) -> str:
    """What is held out and left out, a line for people; empty if nothing is.

    Args:
        chain (Chain): The chain.
    """
    lines = []
    if chain.holdout:
        use = ', and validate the stages' if chain.holdout['validate'] else ''
        lines.append(f'holdout: {chain.holdout["size"]:,} training images '
                     f'(seed {chain.holdout["seed"]}) are in no training{use}')
    if chain.folds:
        folds = ', '.join(f'{name} {chain.fold_of(name)}'
                          for name in chain.names
                          if chain.fold_of(name) is not None)
        lines.append(f'folds: of {chain.folds["num"]} (seed '
                     f'{chain.folds["seed"]}) each network leaves one out: '
                     f'{folds or "none"}')
        missing = sorted({*range(chain.folds['num'])} -
                         {chain.fold_of(name)
                          for name in chain.names})
        if missing:
            lines.append(
                'warning: every network has seen the images of fold '
                f'{", ".join(map(str, missing))}; chain.folds should be the '
                'number of networks that leave one out')
    return '\n'.join(lines)
