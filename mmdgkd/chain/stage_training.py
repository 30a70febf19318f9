# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The training of one stage, from its config to the trained network."""
import os.path as osp
from typing import Any, List, Mapping, Optional, Tuple

from mmengine.config import Config
from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdgkd.engine.hooks._stop_signals import StopSignals
from mmdgkd.engine.hooks.predictions_hook import PredictionsHook
from mmdgkd.engine.hooks.resume_check_hook import ResumeCheckHook
from mmdgkd.engine.hooks.resume_hooks import CurvesResumeHook, DataOnlyHook
from mmdgkd.engine.hooks.stop_hook import StopHook
from mmdgkd.engine.hooks.visualizer_backends import name_runs, watched
from mmdgkd.engine.loops.position import progress_of
from mmdgkd.engine.runner_cleanup import cleaned_up
from mmdgkd.errors import ConfigError, TrainingStopped
from mmdgkd.fileio.files import atomic_write
from mmdgkd.fileio.stage_checkpoints import latest_checkpoint
from mmdgkd.utils.distributed import fit_to_device
from .chain import Chain
from .evaluate import save_predictions
from .export.weights_file import export_network
from .hooks.ledger_hook import LedgerHook
from .ledger import file_entry
from .network import build_network
from .network_file import write_network_config
from .splits import split_entry, split_of
from .stage_config import named_config
from .training_settings import fingerprint
from .use import best_checkpoint, use_entry
from .work_dir import WorkDir


def train_stage(cfg: Config, chain: Chain, work: WorkDir, name: str,
                hooks: List[Hook], signals: StopSignals,
                runner_type: type) -> None:
    """Train a stage, or continue it from its last checkpoint.

    To be called on all ranks.

    Args:
        cfg (Config): The whole config.
        chain (Chain): Its chain.
        work (WorkDir): The work dir; its ledger is brought up to date.
        name (str): The stage.
        hooks (list[Hook]): Hooks that show the progress.
        signals (StopSignals): The signals that stop it.
        runner_type (type): MMEngine's Runner, or a subclass.

    Raises:
        ConfigError: If it leaves no checkpoint, or the one to continue from
            does not fit.
        TrainingError: If the training cannot go on.
        TrainingStopped: If a signal has stopped it.
    """
    ledger, stage = work.ledger, work.stage_config(name)
    checkpoint = latest_checkpoint(work.folder(name))
    if checkpoint is None:
        ledger.clear(name)
    ledger[name].pop('use', None)
    ledger.update(
        name,
        **use_entry(chain[name].use),
        state='running',
        config_sha256=fingerprint(stage),
        read={
            teacher: file_entry(work.file_of(teacher), work.path)
            for teacher in chain.needs(name)
        })
    runner = _build_runner(cfg, work, name, stage, checkpoint, runner_type)
    record = LedgerHook(ledger, name, chain.metric, chain.rule)
    seen = PredictionsHook()
    for hook in (record, seen, *hooks, StopHook(signals), DataOnlyHook(),
                 ResumeCheckHook(), CurvesResumeHook()):
        runner.register_hook(hook)
    with cleaned_up(runner), watched(runner):
        try:
            runner.train()
        except TrainingStopped:
            record.note_time()
            raise
        barrier()
        if is_main_process():
            split = split_entry(
                split_of(chain, name), runner.train_dataloader.dataset)
            ledger.update(name, **split)
            _write_network(cfg, chain, work, name, progress_of(runner), seen,
                           split)
        work.reload()


def _build_runner(cfg: Config, work: WorkDir, name: str, stage: Config,
                  checkpoint: Optional[str], runner_type: type) -> Runner:
    # The Runner writes its text four times.
    runtime = named_config(stage, stage.filename, formatted=False)
    runtime.launcher = cfg.get('launcher', 'none')
    if checkpoint:
        runtime.resume, runtime.load_from = True, checkpoint
    fit_to_device(runtime)
    noted = name_runs(runtime, name, osp.basename(work.path),
                      work.ledger[name])
    work.ledger.update(name, **noted)
    runner = runner_type.from_cfg(runtime)
    if is_main_process():
        # The Runner has written it with settings of this run alone.
        with atomic_write(stage.filename) as file:
            file.write(stage.pretty_text)
    return runner


def _write_network(cfg: Config, chain: Chain, work: WorkDir, name: str,
                   progress: Tuple, seen: PredictionsHook,
                   split: Mapping) -> None:
    """Write the trained network, and only then mark the stage as done."""
    unit, _, total = progress
    checkpoint = latest_checkpoint(work.folder(name))
    if checkpoint is None:
        raise ConfigError('default_hooks.checkpoint: has left no checkpoint '
                          f'of "{name}"; leave save_last on, and out_dir out')
    metric = work.ledger[name].get('metric', {})
    step = total
    if chain[name].use == 'best':
        checkpoint, step = _best_of(work.folder(name), name, unit, metric)
    export_network(
        checkpoint, build_network(chain[name], cfg.default_scope),
        work.own_file(name),
        dict(
            network=name,
            guides=list(chain.teachers[name]),
            metric=metric.get('name'),
            last=metric.get('last'),
            best=metric.get('best'),
            **split,
            **use_entry(chain[name].use)), unit, step)
    write_network_config(cfg, chain[name],
                         osp.splitext(work.own_file(name))[0] + '.py')
    work.ledger.update(
        name, state='done', wrote=file_entry(work.own_file(name), work.path))
    if step == total:  # else the last validation was of other weights
        save_predictions(seen, work.path, name, work.own_file(name))


def _best_of(folder: str, name: str, unit: str,
             metric: Mapping[str, Any]) -> Tuple[str, int]:
    """The checkpoint of the best validation, and when that was."""
    here, step = f"chain.networks.{name}.use: 'best'", metric.get('best_at')
    if step is None:
        raise ConfigError(
            f'{here} is not known: no validation has a number of which it is '
            "known which is better; set chain.metric=dict(name=..., rule="
            "'greater' or 'less')")
    found = best_checkpoint(folder, unit, step)
    if found is None:
        raise ConfigError(f'{here} is {unit} {step}, whose checkpoint is not '
                          f"in {folder!r}; put it back, or use='last'")
    return found, step
