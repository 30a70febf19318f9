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
    """A warning for each schedule that is longer than its training.

    It trains without an error, but with rates that end in the middle.

    Args:
        chain (Chain): The chain.
        facts (Mapping[str, NetworkFacts]): What is known of its networks.
        stages (Mapping[str, Config]): The config of each stage.

    Returns:
        str: Empty if there is none.
    """
    found: Dict[str, List[str]] = {}
    for name in chain.names:
        if chain[name].ckpt_path or chain[name].part_of:
            continue
        stage = stages[name]
        lengths = dict(
            epochs=(stage.get('train_cfg') or {}).get('max_epochs'),
            iters=length_in_iterations(stage, facts[name].samples))
        for part in typed_parts(stage.get('param_scheduler')):
            unit = 'epochs' if part.get('by_epoch', True) else 'iters'
            needed, length = _length_of(part), lengths[unit]
            if None not in (length, needed) and needed > length:
                text = (f'{type_of(part)} needs {needed} {unit}, the training '
                        f'has {length}')
                found.setdefault(text, []).append(name)
    return '\n'.join(
        f'warning: param_scheduler: {text}, so that it does not get to its end'
        f' ({", ".join(names)})' for text, names in found.items())


def _length_of(part: Dict) -> Optional[int]:
    """When a schedule is at its end; None where it adapts to the training."""
    begin, end = part.get('begin', 0), part.get('end')
    own = [
        sum(value) if key == 'periods' else
        max(value, default=0) if isinstance(value, (list, tuple)) else value
        for key, value in part.items()
        if key in ('T_max', 'milestones', 'periods', 'total_steps')
    ]
    known = [end] if end is not None else [begin + value for value in own]
    try:
        return int(max(known)) if known and math.isfinite(max(known)) else None
    except TypeError:
        return None
