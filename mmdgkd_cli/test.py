# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Test one network, or all networks of a chain in a work dir.

    mmdgkd test CONFIG --work-dir D
    mmdgkd test CONFIG D/resnet8/resnet8.pth
"""
import argparse

from .common import add_common_arguments, load_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    add_common_arguments(parser)
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help='the file of one network; without it all networks of the chain '
        'that the work dir holds are tested')
    parser.add_argument(
        '--stage',
        metavar='NAME',
        help='the network of the file, if its metadata has no name')
    parser.add_argument(
        '-v',
        '--verbose',
        action='store_true',
        help='print the logs of MMEngine, too')
    parser.add_argument(
        '--mean',
        action='store_true',
        help='test the mean of the probabilities of all networks, too')


def run(args: argparse.Namespace) -> None:
    """Test one network, or all."""
    from mmengine.runner import Runner

    from mmdgkd import ConfigError
    from mmdgkd.chain.chain import Chain
    from mmdgkd.chain.runner import ChainRunner
    from mmdgkd.fileio.checkpoint import read_checkpoint
    from mmdgkd.models.utils.networks import unwrapped
    from mmdgkd.models.utils.weights import load_weights
    from mmdgkd.utils.distributed import fit_to_device, start_processes

    cfg = load_config(args)
    if cfg.get('chain') is None:
        if args.mean:
            raise ConfigError(f'--mean: {args.config!r} declares no chain')
        if not args.checkpoint:
            raise ConfigError(
                f'checkpoint: {args.config!r} declares no chain; '
                'name the file to test')
        start_processes(cfg.launcher, cfg.get('env_cfg', {}))
        fit_to_device(cfg)
        runner = Runner.from_cfg(cfg)
        model = unwrapped(runner.model)
        # A file of a work dir holds a network, or an algorithm around one.
        while hasattr(model, 'distiller'):
            model = model.architecture
        load_weights(model, args.checkpoint, 'checkpoint')
        runner.test()
        return
    name = args.stage
    chain = Chain.from_cfg(cfg.chain)
    if args.checkpoint and name is None:
        checkpoint = read_checkpoint(args.checkpoint, 'checkpoint')
        meta = checkpoint.get('meta')
        name = meta.get('network') if isinstance(meta, dict) else None
        if not isinstance(name, str):
            raise ConfigError(
                f'checkpoint: {args.checkpoint!r} has no name of a network; '
                'add --stage with one of '
                f'{", ".join(chain.names)}')
    if name is not None:
        chain.require(name, '--stage' if args.stage else args.checkpoint)
    if args.mean and name is not None:
        raise ConfigError('--mean: is of all networks of a chain; leave out '
                          'the checkpoint and --stage')
    ChainRunner(
        cfg, verbose=args.verbose).test(name, args.checkpoint, args.mean)
