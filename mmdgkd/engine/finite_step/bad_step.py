# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A training step that may have gone wrong: what is known of it."""
import io
import math
import os.path as osp
from typing import Any, Dict, List, Optional

import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.fileio import put

from mmdgkd.models.utils.networks import unwrapped
from mmdgkd.structures.views import views_of

_SHOWN = 8


class BadStep:
    """A step and whether it is bad, which an accelerator says later.

    Args:
        verdict (torch.Tensor): A number, not 0 if it is bad.
        is_known (bool): Whether reading it waits for nothing.
        forwards (list[dict]): ``iteration`` and ``epoch``, and if they were
            seen ``args``, ``kwargs``, ``terms`` and ``rng_state``, of the
            model's forwards for this step.
    """

    def __init__(self, flag: torch.Tensor, is_known: bool,
                 forwards: List[Dict[str, Any]]) -> None:
        self.forwards = forwards
        self.is_known = is_known
        self._event: Any = None
        self._flag = flag
        if flag.is_cuda:
            self._flag = torch.empty((), pin_memory=True)
            self._flag.copy_(flag, non_blocking=True)
            self._event = torch.cuda.current_stream(flag.device).record_event()

    def is_bad(self) -> bool:
        """Whether it is; the same on all ranks."""
        if self._event is not None:
            self._event.synchronize()
        return bool(self._flag)

    @property
    def forward(self) -> Dict[str, Any]:
        """The first forward whose loss is not finite, or else the last."""
        for forward in self.forwards:
            if not _finite(_numbers(forward)):
                return forward
        return self.forwards[-1]

    @property
    def iteration(self) -> int:
        """Its iteration, from 0."""
        return self.forward['iteration']

    @property
    def epoch(self) -> int:
        """Its epoch, from 0."""
        return self.forward['epoch']

    def samples(self) -> Any:
        """The data samples of its batch, if it has any."""
        args = self.forward.get('args', ())
        return self.forward.get('kwargs',
                                {}).get('data_samples',
                                        args[1] if len(args) > 1 else None)

    def inputs(self) -> Any:
        """Its preprocessed images, if they were seen."""
        args = self.forward.get('args', ())
        return self.forward.get('kwargs', {}).get('inputs',
                                                  args[0] if args else None)

    def indices(self) -> Optional[List[int]]:
        """The places of its samples in the data set, if they say them."""
        views = views_of(self.samples())
        if views is not None:
            return [int(index) for index in views.indices]
        try:
            return [int(sample.sample_idx) for sample in self.samples()]
        except (AttributeError, TypeError):
            return None

    def terms(self) -> Dict[str, float]:
        """All that the model's losses consist of, by name."""
        return _numbers(self.forward)

    def report(self) -> Dict[str, Any]:
        """What the other ranks are to know of it, plain data."""
        return dict(
            rank=get_rank(), terms=self.terms(), indices=self.indices())


def bad_ranks(reports: List[Dict]) -> List[int]:
    """The ranks whose loss is not finite; the first if it is a gradient.

    Args:
        reports (list[dict]): The reports of all ranks.
    """
    bad = [
        report['rank'] for report in reports if not _finite(report['terms'])
    ]
    return bad or [0]


def describe(stage: str, step: BadStep, reports: List[Dict]) -> str:
    """What is wrong with a step, in one line.

    Args:
        stage (str): The stage, or the experiment.
        step (BadStep): The step.
        reports (list[dict]): The reports of all ranks.
    """
    ranks = bad_ranks(reports)
    bad = [report for report in reports if not _finite(report['terms'])]
    parts = []
    for report in [each for each in reports if each['rank'] in ranks]:
        rank = f'rank {report["rank"]}: ' if len(reports) > 1 else ''
        terms = ', '.join(f'{name}={value:.6g}'
                          for name, value in report['terms'].items())
        indices = report['indices']
        if indices is None:
            samples = 'samples that do not say their index'
        else:
            rest = len(indices) - _SHOWN
            samples = 'samples ' + ', '.join(map(str, indices[:_SHOWN])) + (
                f' and {rest} more' if rest > 0 else '')
        parts.append(f'{rank}{terms or "losses not seen"} ({samples})')
    what = 'the loss' if bad else 'a gradient'
    return (f'{stage}: {what} is not finite in iteration {step.iteration + 1} '
            f'(epoch {step.epoch + 1}): {"; ".join(parts)}')


def dump_step(path: str, runner: Any, step: BadStep) -> None:
    """Write all that it takes to repeat a step: plain data.

    Args:
        path (str): The file.
        runner (Runner): The runner of the training process; its model is as
            before the step.
        step (BadStep): The step.
    """
    model = runner.model
    model = unwrapped(model)
    views = views_of(step.samples())
    inputs = step.inputs()
    facts = dict(
        network=osp.basename(runner.work_dir),
        iter=step.iteration,
        epoch=step.epoch,
        seed=runner.seed,
        rank=get_rank(),
        world_size=get_world_size(),
        terms=step.terms(),
        state_dict={
            name: value.cpu()
            for name, value in model.state_dict().items()
        },
        inputs=inputs.cpu() if isinstance(inputs, torch.Tensor) else None,
        labels=[_label(sample) for sample in step.samples() or ()],
        rng_state=step.forward.get('rng_state'),
        device_rng_state=step.forward.get('device_rng_state'),
        indices=step.indices(),
        views=None if views is None else [int(view) for view in views.views],
        view_source=None if views is None else vars(views.source))
    with io.BytesIO() as file:
        torch.save(facts, file)
        put(file.getvalue(), path, backend_args=dict(backend='atomic'))


def _label(sample: Any) -> Dict[str, torch.Tensor]:
    return {
        key: sample.get(key).cpu()
        for key in ('gt_label', 'gt_score') if sample.get(key) is not None
    }


def _numbers(forward: Dict[str, Any]) -> Dict[str, float]:
    return {
        name: float(value.float().sum())
        for name, value in forward.get('terms', {}).items()
    }


def _finite(terms: Dict[str, float]) -> bool:
    """Whether all that is trained with is finite."""
    return all(
        math.isfinite(value) for name, value in terms.items()
        if 'loss' in name)
