# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""How long a stage trains, and schedules that do not fit into that."""
import math
from typing import Any, Dict, List, Mapping, Optional

from mmengine.config import Config
from mmengine.dist import get_world_size

from mmdgkd.utils.config import type_of, typed_parts
from .chain import Chain
from .network import NetworkFacts


def length_in_iterations(stage: Config,
                         samples: Optional[int]) -> Optional[int]:
    """Number of iterations of a stage, or None if it is not known.

    Args:
        stage (Config): Its config.
        samples (int, optional): Length of its training data.
    """
    train_cfg: Mapping[str, Any] = stage.get('train_cfg') or {}
    if 'max_epochs' not in train_cfg and 'max_iters' in train_cfg:
        return train_cfg['max_iters']
    batch = (stage.get('train_dataloader') or {}).get('batch_size')
    if not samples or not batch:
        return None
    return train_cfg.get('max_epochs', 1) * math.ceil(
        samples / batch / get_world_size())


def schedule_lines(chain: Chain, facts: Mapping[str, NetworkFacts],
                   stages: Mapping[str, Config]) -> str:
    """A warning for each schedule that does not fit its training.

    A longer one trains without an error, but with rates that end in the
    middle; and a validation may never come, or be of the training images.

    Args:
        chain (Chain): The chain.
        facts (Mapping[str, NetworkFacts]): What is known of its networks.
        stages (Mapping[str, Config]): The config of each stage.

    Returns:
        str: Empty if there is none.
    """
    found: Dict[str, List[str]] = {}
    notes: Dict[str, List[str]] = {}
    for name in chain.names:
        if chain[name].ckpt_path or chain[name].part_of:
            continue
        stage = stages[name]
        lengths = dict(
            epochs=(stage.get('train_cfg') or {}).get('max_epochs'),
            iters=length_in_iterations(stage, facts[name].samples))
        note = _validation_note(stage)
        if note:
            notes.setdefault(note, []).append(name)
        for part in typed_parts(stage.get('param_scheduler')):
            unit = 'epochs' if part.get('by_epoch', True) else 'iters'
            needed, length = _length_of(part), lengths[unit]
            if None not in (length, needed) and needed > length:
                text = (f'{type_of(part)} needs {needed} {unit}, the training '
                        f'has {length}')
                found.setdefault(text, []).append(name)
    lines = [
        f'warning: param_scheduler: {text}, so that it does not get to its end'
        f' ({", ".join(names)})' for text, names in found.items()
    ]
    lines += [
        f'warning: {text} ({", ".join(names)})'
        for text, names in notes.items()
    ]
    return '\n'.join(lines)


def _validation_note(stage: Config) -> str:
    """What is odd about the validation of a stage; empty if nothing is."""
    train_cfg: Mapping[str, Any] = stage.get('train_cfg') or {}
    data = (stage.get('val_dataloader') or {}).get('dataset')
    if not data:
        return ''
    length = train_cfg.get('max_epochs') or train_cfg.get('max_iters') or 0
    for key in ('val_begin', 'val_interval'):
        if length and train_cfg.get(key, 0) > length:
            return (f'train_cfg.{key}: {train_cfg[key]} is after the end of '
                    f'the training, {length}, so that nothing is validated')
    train: Any = (stage.get('train_dataloader') or {}).get('dataset') or {}
    if type_of(train) == 'ViewDataset':
        train = train.get('dataset') or {}
    if _images_of(train) == _images_of(data):
        return ('val_dataloader.dataset: is that of the training, so that the '
                'metric is of images that the networks have learned from')
    return ''


def _images_of(data: Mapping[str, Any]) -> str:
    return repr(
        sorted((key, repr(value)) for key, value in data.items()
               if key not in ('pipeline', 'test_mode')))


def _length_of(part: Dict) -> Optional[int]:
    """When a schedule is at its end; None where it adapts to the training."""
    begin, end = part.get('begin', 0), part.get('end')
    own = [
        sum(value) if key == 'periods' else
        max(value, default=0) if isinstance(value, (list, tuple)) else value
        for key, value in part.items()
        if key in ('T_max', 'milestones', 'periods', 'total_steps')
    ]
    try:
        known = [end] if end is not None else [begin + value for value in own]
        return int(max(known)) if known and math.isfinite(max(known)) else None
    except TypeError:
        return None
