# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Filling a logit store, and checking it, without a training."""
import itertools
import time
from typing import Any, Iterator, List, Optional, Sequence

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner

from mmdgkd.errors import ConfigError, TrainingError
from mmdgkd.logit_store.checking_store import CheckingStore, Compared
from mmdgkd.logit_store.inventory import check_store
from mmdgkd.logit_store.logit_store import LogitStore
from mmdgkd.utils.config import type_of
from mmdgkd.utils.distributed import fit_to_device
from mmdgkd.utils.table import draw_table
from .chain import Chain
from .stage_config import seed_of
from .work_dir import WorkDir


class StoreFilling:
    """Runs the teachers of a network on its views, as its stage would.

    Args:
        cfg (Config): The whole config.
        chain (Chain): Its chain.
        work (WorkDir): The work dir; it has the teachers.
        network (str, optional): The network that they teach. Defaults to
            None: the last one.
        teachers (Sequence[str], optional): Some of its teachers. Defaults to
            None: all.

    Raises:
        ConfigError: If there is no store, no such network or teacher, or if a
            teacher is not trained.
    """

    def __init__(self,
                 cfg: Config,
                 chain: Chain,
                 work: WorkDir,
                 network: Optional[str] = None,
                 teachers: Optional[Sequence[str]] = None) -> None:
        if chain.logit_store is None:
            raise ConfigError('chain.logit_store: is None, so that there is '
                              'nothing to fill')
        name = network or chain.names[-1]
        chain.require(name, '--network')
        self.names: List[str] = list(teachers or chain.teachers[name])
        if not self.names:
            raise ConfigError(f'--network: "{name}" has no teachers; name one '
                              'that has')
        for teacher in self.names:
            if teacher not in chain.teachers[name]:
                raise ConfigError(
                    f'--teacher: "{teacher}" is none of the teachers of '
                    f'"{name}": {", ".join(chain.teachers[name])}')
            if work.file_of(teacher) is None:
                raise ConfigError(f'--teacher: {work.path!r} has no trained '
                                  f'"{teacher}" yet')
        self._scope = cfg.get('default_scope', 'mmpretrain')
        self._stage = work.stage_config(name)
        fit_to_device(self._stage)
        self._seed = seed_of(self._stage)

    def fill(self, views: Optional[range] = None) -> None:
        """Compute what is missing of views, and print a line for each.

        Args:
            views (range, optional): Their numbers. Defaults to None: all that
                the stage has.

        Raises:
            ConfigError: If it has no such views.
            TrainingError: If the rows cannot be written.
        """
        with DefaultScope.overwrite_default_scope(self._scope):
            store = LogitStore(**self._options())
            check_store(store.path)
            start, before = time.monotonic(), 0
            for view in self._run(store, views, None):
                store.flush()
                self._refuse_failure(store)
                counts = store.counts.values()
                computed = sum(count['computed'] for count in counts)
                print(
                    f'view {view}: {computed - before:,} rows computed of '
                    f'{", ".join(self.names)}, '
                    f'{time.monotonic() - start:.1f} s',
                    flush=True)
                start, before = time.monotonic(), computed
            store.close()

    def verify(self, views: Optional[range], samples: int) -> None:
        """Compute some rows again, and print how they differ.

        Args:
            views (range, optional): The numbers of the views. None: all that
                the stage has.
            samples (int): How many of each view, rounded up to whole batches.

        Raises:
            ConfigError: If it has no such views.
            TrainingError: If a row is not that of its teacher.
        """
        with DefaultScope.overwrite_default_scope(self._scope):
            store = CheckingStore(**self._options())
            batch = self._stage.train_dataloader.get('batch_size', 1)
            for _ in self._run(store, views, -(-samples // batch)):
                pass
            found = store.compared
            store.close()
        self._refuse_failure(store)
        if not any(compared.rows for compared in found.values()):
            raise TrainingError(
                f'{store.path!r}: has none of these rows; they depend on the '
                'teacher, the data and the precision (--amp)')
        rows = [(teacher, view, *_cells(compared))
                for (teacher, view), compared in sorted(found.items())]
        print(
            draw_table(('teacher', 'view', 'rows', 'same bits', 'wrong',
                        'largest difference'), rows))
        wrong = sum(compared.wrong for compared in found.values())
        if wrong:
            raise TrainingError(
                f'{store.path!r}: {wrong} rows differ by more than 1 % from '
                'what the teachers give here; remove them by mmdgkd store '
                'drop')

    @staticmethod
    def _refuse_failure(store: LogitStore) -> None:
        if store.failure:
            raise TrainingError(
                f'chain.logit_store: {store.path!r}: {store.failure}')

    def _options(self) -> dict:
        (hook, ) = (
            dict(hook) for hook in self._stage.custom_hooks
            if type_of(hook) == 'LogitStoreHook')
        hook.pop('type')
        return hook

    def _run(self, store: LogitStore, views: Optional[range],
             batches: Optional[int]) -> Iterator[int]:
        """Run the teachers on each view, and yield its number after that."""
        stage = self._stage
        model = MODELS.build(stage.model)
        wrapper = build_optim_wrapper(model, stage.optim_wrapper)
        model.use_store(store)
        model.to(get_device()).train()
        loader = self._loader()
        for view in self._checked(views, loader.dataset.num_views):
            loader.sampler.set_epoch(view)
            for batch in itertools.islice(loader, batches):
                data: Any = model.data_preprocessor(batch, True)
                with wrapper.optim_context(model):
                    model.fill_store(self.names, **data)
                if batches is None and store.is_full(view):
                    break
            yield view

    def _loader(self) -> Any:
        """The loader of the stage, which has each sample once in a view."""
        cfg = dict(self._stage.train_dataloader)
        inner = dict(type='DefaultSampler', shuffle=True)
        cfg.update(
            drop_last=False,
            persistent_workers=False,
            sampler=dict(type='mmpretrain.ViewSampler', sampler=inner))
        cfg.pop('batch_sampler', None)
        return Runner.build_dataloader(cfg, seed=self._seed)

    def _checked(self, views: Optional[range], count: Optional[int]) -> range:
        """The views to run on; ``count`` is None for a new one in an epoch."""
        count = count or self._stage.train_cfg.get('max_epochs')
        if views is None and count is None:
            raise ConfigError('--views: must be given where train_cfg has no '
                              'max_epochs')
        views = range(count) if views is None else views
        if not views or views.start < 0 or (count and views.stop > count):
            raise ConfigError(
                f'--views: {views.start}:{views.stop} is not within 0:'
                f'{count or ""}, the views of the stage')
        return views


def _cells(compared: Compared) -> Sequence[str]:
    return (f'{compared.rows:,}', f'{compared.equal:,}', f'{compared.wrong:,}',
            f'{compared.off:.3g}')
