# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The data of a rehearsal: real batches, but few, of data sets built once."""
import itertools
import math
from typing import Any, Dict, Iterator

from mmengine.dataset import InfiniteSampler
from mmengine.device import get_device
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Sampler

from mmdgkd.chain.console import SilentRunner
from mmdgkd.errors import ConfigError
from .data_check import build_dataset

# Images of a batch on the CPU, at most: more would cost seconds and show
# nothing else.
_CPU_BATCH = 32


class FewBatches:
    """The data sets of all stages, each built once, and their loaders.

    Args:
        steps (int): The number of training steps.
        known (dict): The data sets that have been built already.
    """

    def __init__(self, steps: int, known: Dict[str, Any]) -> None:
        self.steps, self._known = steps, known
        shared = self

        class RehearsalRunner(SilentRunner):
            """A Runner that reads a few images."""

            @staticmethod
            def build_dataloader(dataloader: Any, *args: Any,
                                 **kwargs: Any) -> DataLoader:
                return shared.loader(dataloader, *args, **kwargs)

            def build_train_loop(self, loop: Any) -> Any:
                shared.trains = True
                shared.iterations = loop.get('max_iters') if isinstance(
                    loop, dict) else None
                try:
                    return super().build_train_loop(loop)
                finally:
                    shared.trains = False

        self.runner_type = RehearsalRunner
        self.trains, self.iterations = False, None

    def loader(self, cfg: Any, *args: Any, **kwargs: Any) -> DataLoader:
        """Build a loader of few batches.

        Args:
            cfg (dict | DataLoader): As for ``Runner.build_dataloader``.
            *args (Any): Its other arguments.
            **kwargs (Any): Its other arguments.
        """
        if not isinstance(cfg, dict) or not isinstance(
                cfg.get('dataset'), dict):
            return Runner.build_dataloader(cfg, *args, **kwargs)
        # One worker shows what several would.
        cfg = dict(
            cfg,
            dataset=_AsIs(build_dataset(cfg['dataset'], self._known)),
            num_workers=min(1, cfg.get('num_workers', 0)))
        loader = Runner.build_dataloader(cfg, *args, **kwargs)
        sampler = getattr(loader.batch_sampler, 'sampler', None)
        if self.trains and not len(loader):
            # A network may leave some images out.
            count = len(loader.dataset if sampler is None else sampler)
            raise ConfigError(
                'train_dataloader: gives no batch: drop_last leaves out the '
                f'only one, of {count} images; set batch_size to that or '
                'less, or drop_last=False')
        size = getattr(loader.batch_sampler, 'batch_size', None)
        if sampler is None or size is None:
            return loader
        batch, last = size, len(sampler) % size
        endless = isinstance(
            getattr(sampler, 'sampler', sampler), InfiniteSampler)
        ends_before = (self.iterations or math.inf) < len(sampler) / size
        if (not last or endless or ends_before
                or loader.batch_sampler.drop_last):
            last = size
        if get_device() == 'cpu':
            batch, last = min(batch, _CPU_BATCH), min(last, _CPU_BATCH)
            loader.batch_sampler.batch_size = batch
        steps = self.steps - 1 if self.trains else 0
        loader.batch_sampler.sampler = _First(sampler, steps * batch + last)
        return loader


class _First(Sampler):
    """The first samples of another sampler.

    Args:
        sampler (Sampler): The other one.
        count (int): The number of samples.
    """

    def __init__(self, sampler: Any, count: int) -> None:
        self._sampler = sampler
        self._count = count

    def __iter__(self) -> Iterator:
        return itertools.islice(self._sampler, self._count)

    def __len__(self) -> int:
        return min(self._count, len(self._sampler))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sampler, name)


class _AsIs:
    """Becomes a data set where MMEngine copies the config of its loader.

    Args:
        dataset (Dataset): The data set, which is not copied.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __deepcopy__(self, memo: Dict) -> Any:
        return self._dataset
