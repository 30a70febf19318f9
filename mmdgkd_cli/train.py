# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Train a chain, or anything else that MMEngine's Runner trains.

A chain prints its plan, a line for each stage, warnings and the results; the
work dir has the full logs: chain.log, and one in the folder of each stage.

    mmdgkd train mmdgkd::dgkd/resnet20_to_resnet8_digits.py --work-dir digits

Exit codes: 0 done; 2 a mistake in the config or in a file; 3 the training
cannot go on (a loss that is not finite, a full disk); 75 stopped by SIGTERM,
SIGUSR1 or Ctrl-C with a checkpoint, or another process is gone, --resume goes
on; 130 stopped at once by a second signal.
"""
import argparse
import os.path as osp
from typing import Any

from .common import add_common_arguments, load_config, set_amp


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    add_common_arguments(parser)
    parser.add_argument(
        '--resume',
        action='store_true',
        help='skip what is finished and go on in a half-trained stage')
    parser.add_argument(
        '--amp',
        action='store_true',
        help='mixed precision: float16 on GPUs, bfloat16 on the CPU')
    parser.add_argument(
        '--stage', metavar='NAME', help='train this network alone')
    parser.add_argument(
        '--dry-run', action='store_true', help='print the plan and exit')
    parser.add_argument(
        '-v',
        '--verbose',
        action='store_true',
        help='print the full logs of the stages, too')


def run(args: argparse.Namespace) -> None:
    """Train the chain or the network of the config."""
    from mmdgkd import ConfigError
    from mmdgkd.chain.runner import ChainRunner
    from mmdgkd.utils.peers import restarts

    cfg = load_config(args)
    # torchrun --max-restarts starts the same command again.
    cfg.resume = args.resume or bool(cfg.get('resume')) or restarts() > 0
    if args.amp:
        set_amp(cfg)
    if cfg.get('chain') is None:
        for flag in ('stage', 'guidance', 'dry_run'):
            if getattr(args, flag):
                raise ConfigError(
                    f'--{flag.replace("_", "-")}: {args.config!r} declares no '
                    'chain; give a config that does, such as those in '
                    'configs/dgkd/')
        train_without_chain(cfg)
        return
    runner = ChainRunner(cfg, only=args.stage, verbose=args.verbose)
    if args.dry_run:
        print(runner.plan())
    else:
        runner.train()


def train_without_chain(cfg: Any) -> None:
    """Train any other config, such as that of one stage, by one Runner.

    Args:
        cfg (Config): The config.
    """
    from mmengine.runner import Runner, find_latest_checkpoint

    from mmdgkd import ConfigError
    from mmdgkd.chain.preflight.pretrained import check_pretrained
    from mmdgkd.engine.hooks._stop_signals import StopSignals
    from mmdgkd.engine.hooks.resume_check_hook import ResumeCheckHook
    from mmdgkd.engine.hooks.resume_hooks import DataOnlyHook
    from mmdgkd.engine.hooks.stop_hook import StopHook
    from mmdgkd.engine.runner_cleanup import cleaned_up
    from mmdgkd.fileio.checkpoint import read_checkpoint
    from mmdgkd.fileio.files import disk_full_as_error
    from mmdgkd.fileio.shared_folder import SharedFolder
    from mmdgkd.fileio.stage_checkpoints import (checkpoints_of,
                                                 latest_checkpoint)
    from mmdgkd.utils.distributed import fit_to_device, start_processes

    start_processes(cfg.launcher, cfg.get('env_cfg', {}))
    fit_to_device(cfg)
    shared = SharedFolder(osp.abspath(cfg.work_dir))
    shared.refuse_copy()
    shared.update()
    key = 'load_from' if cfg.get('load_from') else 'work_dir'
    if cfg.resume:
        # The newest complete one; MMEngine takes the last one written, which
        # may have another name.
        cfg.load_from = (
            cfg.get('load_from') or latest_checkpoint(cfg.work_dir)
            or find_latest_checkpoint(cfg.work_dir))
        if cfg.load_from:
            read_checkpoint(cfg.load_from, key)
    elif checkpoints_of(cfg.work_dir):
        raise ConfigError(
            f'work_dir: {cfg.work_dir!r} already holds a training; add '
            '--resume to go on, or choose another --work-dir')
    runner = Runner.from_cfg(cfg)
    if cfg.get('load_from') and not cfg.resume:
        check_pretrained(runner.model, cfg.load_from, 'load_from')
    with disk_full_as_error(cfg.work_dir), StopSignals() as signals:
        runner.register_hook(StopHook(signals))
        runner.register_hook(DataOnlyHook())
        runner.register_hook(ResumeCheckHook(key))
        with cleaned_up(runner):
            runner.train()
