# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import time
from typing import Any, Dict, Mapping, Optional

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop

from mmdgkd.chain.environment import environment
from mmdgkd.chain.ledger import Ledger
from mmdgkd.chain.metric import chosen_metric
from mmdgkd.engine.loops.position import progress_of
from mmdgkd.logit_store.logit_store import LogitStore
from mmdgkd.logit_store.logit_store_hook import LogitStoreHook


class LedgerHook(Hook):
    """Keeps the metric and the seconds of a stage in the ledger up to date.

    Both the last metric, that of the trained network, and the best one are
    recorded. ``store`` has the lookups in the logit store by teacher, see
    :meth:`LogitStore.summary`, of the first process. Lookups and seconds are
    sums over all runs of a stage, repeated steps included.

    Args:
        ledger (Ledger): The ledger of the chain.
        name (str): The stage.
        metric (str, optional): The validation metric to record.
            Defaults to None: the first number.
        rule (str, optional): Which of two of its values is better.
            Defaults to None: see :func:`rule_of`.
    """

    priority = 'LOWEST'

    def __init__(self,
                 ledger: Ledger,
                 name: str,
                 metric: Optional[str] = None,
                 rule: Optional[str] = None) -> None:
        self.ledger = ledger
        self.name = name
        self.metric = metric
        self.rule = rule
        self._seconds = ledger[name].get('seconds', 0.0)
        self._before: Dict[str, Dict] = ledger[name].get('store', {})
        self._store: Optional[LogitStore] = None
        self._start = time.monotonic()

    def before_train(self, runner: Any) -> None:
        """Remove validations after the checkpoint; repeat a missing one.

        MMEngine validates after it has saved. If a run was killed in between,
        the validation of the checkpoint is missing.
        """
        self._start = time.monotonic()
        # Only now: a refused checkpoint leaves that of its own training.
        self.ledger.update(self.name, environment=environment())
        self._store = next(
            (hook.store
             for hook in runner.hooks if isinstance(hook, LogitStoreHook)),
            None)
        _, step, _ = progress_of(runner)
        known = self.ledger.rewind(self.name, step)
        loop = runner.train_loop
        if getattr(loop, 'begins_inside', False):
            return
        if step and not known and runner.val_loop is not None:
            due = step == loop.max_epochs if isinstance(
                loop, EpochBasedTrainLoop) else step == loop.max_iters
            if due or (step >= loop.val_begin
                       and step % loop.val_interval == 0):
                runner.val_loop.run()

    def after_val_epoch(self,
                        runner: Any,
                        metrics: Optional[Dict[str, Any]] = None) -> None:
        """Record the metric."""
        if not metrics:
            return
        found = chosen_metric(metrics, self.metric)
        if found is None:
            runner.logger.warning(
                f'chain.json has no metric of "{self.name}": none of '
                f'{", ".join(metrics)} is a single number')
        else:
            _, step, _ = progress_of(runner)
            self.ledger.record(self.name, found[0], step, found[1], self.rule)
        self.note_time()

    def after_train_epoch(self, runner: Any) -> None:
        """Record the seconds."""
        self.note_time()

    def after_train(self, runner: Any) -> None:
        """Record the seconds."""
        self.note_time()

    def note_time(self) -> None:
        """Record the seconds, and the lookups in the logit store, so far."""
        seconds = self._seconds + time.monotonic() - self._start
        entries: Dict[str, Any] = dict(seconds=round(seconds, 1))
        if self._store is not None:
            entries['store'] = _added(self._before, self._store.summary())
        self.ledger.update(self.name, **entries)


def _added(before: Mapping[str, Dict], now: Mapping[str, Dict]) -> Dict:
    """The sums by teacher; None where a part is not known."""
    sums: Dict[str, Dict] = {}
    for teacher in {**before, **now}:
        sums[teacher] = {}
        for key in ('recalled', 'computed', 'seconds'):
            terms = [
                part[teacher].get(key) for part in (before, now)
                if teacher in part
            ]
            sums[teacher][key] = None if None in terms else round(
                sum(terms), 3)
    return sums
