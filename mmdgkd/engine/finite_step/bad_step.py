# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What is known of a step whose losses or gradients are not finite."""
import math
import os.path as osp
from typing import Any, Dict, List, Tuple

import torch
from mmengine.dist import get_rank, get_world_size

from mmdgkd.models.utils.networks import unwrapped
from mmdgkd.structures.views import views_of

_SHOWN = 8


def facts_of(runner: Any, forwards: List[Dict[str, Any]]) -> Dict[str, Any]:
    """Collect what tells people which step it is, as plain data.

    Args:
        runner (Runner): The runner of the training process.
        forwards (list[dict]): The forwards of a :class:`Step`.
    """
    forward = _first_bad(forwards)
    samples = forward.get('data_samples')
    views, indices = views_of(samples), None
    if views is not None:
        indices = [int(index) for index in views.indices]
    elif all(hasattr(sample, 'sample_idx') for sample in samples or [None]):
        indices = [int(sample.sample_idx) for sample in samples]
    return dict(
        network=osp.basename(runner.work_dir),
        iter=forward['iter'],
        epoch=forward['epoch'],
        rank=get_rank(),
        terms=terms_of(forward),
        indices=indices)


def dump_of(runner: Any, forwards: List[Dict[str, Any]]) -> Dict[str, Any]:
    """Collect all that it takes to repeat a step, as plain data.

    Args:
        runner (Runner): The runner; its model is as before the step.
        forwards (list[dict]): The forwards of a :class:`Step`.
    """
    forward = _first_bad(forwards)
    samples, inputs = forward.get('data_samples'), forward.get('inputs')
    views = views_of(samples)
    labels = [{
        key: sample.get(key).cpu()
        for key in ('gt_label', 'gt_score') if sample.get(key) is not None
    } for sample in samples or ()]
    state = unwrapped(runner.model).state_dict()
    return dict(
        facts_of(runner, forwards),
        seed=runner.seed,
        world_size=get_world_size(),
        state_dict={
            name: value.cpu()
            for name, value in state.items()
        },
        inputs=inputs.cpu() if isinstance(inputs, torch.Tensor) else None,
        labels=labels,
        rng_state=forward.get('rng_state'),
        device_rng_state=forward.get('device_rng_state'),
        views=None if views is None else [int(view) for view in views.views],
        view_source=None if views is None else vars(views.source))


def _first_bad(forwards: List[Dict[str, Any]]) -> Dict[str, Any]:
    """The first forward whose loss is not finite, or else the last."""
    bad = [each for each in forwards if not _is_finite(terms_of(each))]
    return (bad or forwards[-1:])[0]


def describe(facts: List[Dict[str, Any]]) -> Tuple[str, int]:
    """Describe a bad step in one line.

    Args:
        facts (list[dict]): Of each rank what :func:`facts_of` has found.

    Returns:
        tuple[str, int]: The line, and the first rank whose loss is not finite;
        0 if only a gradient is.
    """
    bad = [each for each in facts if not _is_finite(each['terms'])]
    parts = []
    for each in bad or facts[:1]:
        rank = f'rank {each["rank"]}: ' if len(facts) > 1 else ''
        terms = ', '.join(f'{name}={value:.6g}'
                          for name, value in each['terms'].items())
        samples, indices = 'samples without an index', each['indices']
        if indices is not None:
            samples = 'samples ' + ', '.join(map(str, indices[:_SHOWN]))
            if len(indices) > _SHOWN:
                samples += f' and {len(indices) - _SHOWN} more'
        parts.append(f'{rank}{terms or "losses not seen"} ({samples})')
    first = (bad or facts)[0]
    return (
        f'{first["network"]}: {"the loss" if bad else "a gradient"} is not '
        f'finite in iteration {first["iter"] + 1} (epoch '
        f'{first["epoch"] + 1}): {"; ".join(parts)}', first['rank'])


def terms_of(forward: Dict[str, Any]) -> Dict[str, float]:
    """The losses of a forward by name, summed over lists of layers.

    Args:
        forward (dict): One of the forwards of a :class:`Step`.
    """
    return {
        name: float(value.float().sum())
        for name, value in forward.get('terms', {}).items()
    }


def _is_finite(terms: Dict[str, float]) -> bool:
    """Whether all that is trained with is finite."""
    return all(
        math.isfinite(value) for name, value in terms.items()
        if 'loss' in name)
