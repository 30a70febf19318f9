# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The training data of a stage as views, which may be mixed."""
import copy
from typing import Any, Dict, Mapping, Optional, Tuple

from mmengine.config import Config

from mmdgkd.datasets.mixing import Mixing
from mmdgkd.datasets.mixing_config import supports
from mmdgkd.errors import ConfigError
from mmdgkd.models.utils.networks import network_cfg
from mmdgkd.utils.config import refuse_unknown, type_of
from .chain import Chain

# Their train_cfg comes before data_preprocessor.batch_augments; for others it
# comes after it.
_TRAIN_CFG_FIRST = ('TimmClassifier', 'HuggingFaceClassifier')


def set_views(stage: Config, chain: Chain, name: str, seed: int) -> None:
    """Wrap the training data of a stage so that its samples have views.

    MMPretrain's mixing of the images of a batch becomes a part of the views:
    it is taken out of the model.

    Args:
        stage (Config): The config of the stage; it is changed.
        chain (Chain): The chain.
        name (str): The network of the stage.
        seed (int): The seed of the run.

    Raises:
        ConfigError: If the mixing is wrong, or cannot be a part of the views
            and the stage has a logit store.
    """
    loader = stage.get('train_dataloader') or {}
    dataset, views = loader.get('dataset'), chain.views or {}
    if not isinstance(dataset, Mapping):
        return
    if type_of(dataset) != 'ViewDataset':
        # Of the chain, not of the stage: all its stages see the same.
        chosen = views.get('seed')
        loader['dataset'] = dict(
            type='mmpretrain.ViewDataset',
            seed=seed if chosen is None else chosen,
            num_views=views.get('num_views'),
            dataset=dict(dataset))
        for key in ('file_key', 'skip_unreadable'):
            if key in views:
                loader['dataset'][key] = views[key]
    here, mix = _take_mixing(stage, chain, name)
    if mix is not None:
        if loader['dataset'].get('mix') is not None:
            raise ConfigError(f'train_dataloader.dataset.mix: is given beside '
                              f'{here}; leave one out')
        loader['dataset']['mix'] = mix
    sampler = dict(loader.get('sampler') or {})
    if type_of(sampler) != 'ViewSampler':
        loader['sampler'] = dict(
            type='mmpretrain.ViewSampler', sampler=sampler)


def _take_mixing(stage: Config, chain: Chain,
                 name: str) -> Tuple[str, Optional[Dict]]:
    """Take the mixing of images out of a model: its key, and its config."""
    here, owner, key = _find_mixing(stage.model, chain, name)
    if not owner.get(key):
        return here, None
    reason = _why_not(stage, owner[key], here)
    if reason:
        if chain.logit_store is not None and chain.teachers[name]:
            raise ConfigError(f'{reason} and no logits can be cached; leave it'
                              ' out, or set chain.logit_store=None')
        # MMPretrain mixes the images of each batch.
        return here, None
    refuse_unknown(owner[key], ('augments', 'probs'), here)
    Mixing.from_cfg(owner[key], here)
    mix = copy.deepcopy(dict(owner.pop(key)))
    network = network_cfg(stage.model)
    # One that it hid must not come into effect now.
    for part, others in ((network.get('data_preprocessor'),
                          ('batch_augments', )), (network.get('train_cfg'),
                                                  ('augments', 'probs'))):
        for other in others if isinstance(part, dict) else ():
            part.pop(other, None)
    for part in (network.get('data_preprocessor'), network.get('head')):
        if isinstance(part, Mapping) and part.get('num_classes'):
            mix.setdefault('num_classes', part['num_classes'])
    return here, mix


def _find_mixing(model: Mapping, chain: Chain,
                 name: str) -> Tuple[str, Dict, str]:
    """Find the mixing of images that is in effect.

    Returns:
        tuple: Its config key, the part of the config that has it, and its key
        there; that part need not have it.
    """
    owner, here = model, f'chain.networks.{name}.model'
    while not owner.get('data_preprocessor') and isinstance(
            owner.get('architecture'), Mapping):
        owner = owner['architecture']
    preprocessor = owner.get('data_preprocessor')
    if not isinstance(preprocessor, Mapping):
        preprocessor = {}
    train_cfg = owner.get('train_cfg')
    trains = ('architecture' not in owner and isinstance(train_cfg, Mapping)
              and 'augments' in train_cfg)
    if trains and ('batch_augments' not in preprocessor
                   or type_of(owner) in _TRAIN_CFG_FIRST):
        return f'{here}.train_cfg', owner, 'train_cfg'
    own = network_cfg(chain[name].trainer or chain[name].model)
    prefix = f'{here}.' if own.get('data_preprocessor') else ''
    return (f'{prefix}data_preprocessor.batch_augments', preprocessor,
            'batch_augments')


def _why_not(stage: Config, cfg: Any, here: str) -> str:
    """Why the mixing of images cannot be a part of the views; else empty."""
    for hook in stage.get('custom_hooks') or ():
        schedule = hook.get('schedule') if isinstance(hook, Mapping) else ()
        if any('batch_augments' in recipe for recipe in schedule or ()
               if isinstance(recipe, Mapping)):
            return (f'custom_hooks: {type_of(hook)} switches batch_augments '
                    f'in the training, so that {here} is no part of a view')
    if not supports(cfg):
        return (f'{here}: mixes the images of a batch anew in each step by '
                'what is none of Mixup, CutMix and ResizeMix, so that it is '
                'no part of a view')
    return ''
