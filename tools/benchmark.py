# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Time the ways to guide a stage, side by side, and what a chain costs.

All cases take turns in one process, each run is a whole Runner of MMEngine
with its hooks and its log on the config's own data. Teachers have random
weights, which take the same time.
"""
import argparse
import copy
import datetime
import json
import os.path as osp
import tempfile
from statistics import median
from typing import Any, Dict, List, Tuple

from _common import add_common_arguments, load_config, one_line_errors

CASES = ('released', 'mmrazor', 'live', 'drop', 'stored', 'student_alone')
# The cases that are mmdgkd's; the others are run as their authors do.
OURS = CASES[2:]


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_common_arguments(parser)
    parser.add_argument(
        '--stage', help='the stage to time (default: the last one)')
    parser.add_argument(
        '--cases', nargs='+', choices=CASES, default=list(CASES))
    parser.add_argument(
        '--steps', type=int, default=20, help='steps of a run that count')
    parser.add_argument(
        '--rounds', type=int, default=5, help='runs of each case')
    parser.add_argument(
        '--no-amp',
        action='store_true',
        help='train mmdgkd\'s cases in float32, too (default: --amp of '
        'train.py for them, float32 for the others)')
    parser.add_argument(
        '--chain',
        action='store_true',
        help='time the whole chain against its networks alone instead')
    parser.add_argument(
        '--images',
        type=int,
        default=2560,
        help='with --chain: training images of an epoch')
    parser.add_argument(
        '--epochs', type=int, default=4, help='with --chain: epochs a stage')
    parser.add_argument('--json', metavar='FILE', help='write the figures')
    return parser.parse_args()


def stage_of(cfg: Any, args: argparse.Namespace, name: str, guidance: str,
             folder: str) -> Any:
    """The config of a stage, shortened, with nothing but the ordinary hooks.

    Args:
        cfg (Config): The whole config.
        args (Namespace): The command line.
        name (str): The stage.
        guidance (str): Who guides whom.
        folder (str): For whatever it writes.

    Returns:
        Config: It.
    """
    from mmdgkd.engine.chain import Chain
    from mmdgkd.engine.stage_config import stage_config
    chain_cfg = copy.deepcopy(dict(cfg.chain), {})
    chain_cfg.update(guidance=guidance, logit_store=None)
    for network in chain_cfg['networks'].values():
        network.pop('ckpt_path', None)
    stage = stage_config(cfg, Chain.from_cfg(chain_cfg), name, {}, folder)
    stage.val_dataloader = stage.val_cfg = stage.val_evaluator = None
    stage.visualizer = None
    stage.test_dataloader = stage.test_cfg = stage.test_evaluator = None
    stage.default_hooks.checkpoint = None
    stage.train_cfg = dict(by_epoch=True, max_epochs=1)
    stage.param_scheduler = None
    if not args.no_amp:
        stage.optim_wrapper.type = 'AmpOptimWrapper'
        stage.optim_wrapper.setdefault('loss_scale', 'dynamic')
    return stage


def case_config(stage: Any, case: str, folder: str) -> Any:
    """The config of a case.

    Args:
        stage (Config): The stage with its guides.
        case (str): One of ``CASES``; not ``'student_alone'``.
        folder (str): For the logit store.

    Returns:
        Config: It.
    """
    from mmengine.config import Config
    cfg = Config(copy.deepcopy(stage.to_dict()), cfg_text=' ')
    distiller = cfg.model.distiller
    with_drop(distiller, case == 'drop')
    if case in ('released', 'mmrazor'):
        kind = {'released': 'ReleasedWay', 'mmrazor': 'MMRazorWay'}[case]
        cfg.model.type = f'mmrazor.{kind}'
        cfg.model.pop('teacher_options', None)
        cfg.optim_wrapper.type = 'OptimWrapper'
        cfg.optim_wrapper.pop('loss_scale', None)
        cfg.custom_hooks = [
            hook for hook in cfg.get('custom_hooks') or []
            if 'FastNetworkHook' not in hook['type']
        ]
    if case == 'stored':
        cfg.custom_hooks = list(cfg.get('custom_hooks') or []) + [
            dict(
                type='mmrazor.LogitStoreHook',
                store_dir=osp.join(folder, 'logits'))
        ]
    return cfg


def with_drop(distiller: Any, drop: bool) -> None:
    """Have one guide silent in each step, or none.

    Args:
        distiller (dict): The config; it is changed.
        drop (bool): Whether one is.
    """
    kind = 'mmrazor.StochasticDropConnector'
    connectors = dict(distiller.get('connectors') or {})
    names = {
        name
        for name, connector in connectors.items() if connector['type'] == kind
    }
    for mapping in distiller.loss_forward_mappings.values():
        for record in mapping.values():
            if record.get('connector') in names:
                record.pop('connector')
            if drop and not record['from_student']:
                record['connector'] = 'drop'
    connectors = {
        name: cfg
        for name, cfg in connectors.items() if name not in names
    }
    if drop:
        connectors['drop'] = dict(type=kind, mode='count', num_drop=1)
    distiller['connectors'] = connectors


def time_stage(cfg: Any, args: argparse.Namespace, folder: str) -> Dict:
    """Time the cases of one stage.

    Args:
        cfg (Config): The whole config.
        args (Namespace): The command line.
        folder (str): For whatever is written.

    Returns:
        dict: The figures.
    """
    import _baselines  # noqa: F401  (registers them)
    from _bench import WARM_UP, Case
    from mmengine.runner import Runner
    names = list(cfg.chain.networks)
    name = args.stage or names[-1]
    guided = stage_of(cfg, args, name, 'dense', folder)
    alone = stage_of(cfg, args, name, 'none', folder)
    loader_cfg = guided.train_dataloader
    inner = loader_cfg.dataset.get('dataset', loader_cfg.dataset)
    inner.indices = (WARM_UP + args.steps) * loader_cfg.batch_size
    loader = Runner.build_dataloader(loader_cfg, seed=0)
    cases = {
        case:
        Case(
            case, alone if case == 'student_alone' else case_config(
                guided, case, folder), loader, folder)
        for case in CASES if case in args.cases
    }
    for case in cases.values():  # the store is filled, all is warm
        case.run(counts=False)
    bare = [case for case in ('stored', 'student_alone') if case in cases]
    for number in range(args.rounds):
        for case in cases.values():
            case.run()
        for case in bare:
            cases[case].run_bare()
        print(f'round {number + 1} of {args.rounds}', flush=True)
    if 'stored' in cases and cases['stored'].answers['computed']:
        raise RuntimeError('the store was not full: '
                           f'{cases["stored"].answers}')
    batch = loader_cfg.batch_size
    figures: Dict[str, Any] = dict(
        stage=name, batch_size=batch, cases={}, bare={}, spread={})
    for key, case in cases.items():
        figures['cases'][key] = dict(
            ms_per_step=median(case.ms),
            images_per_s=1000 * batch / median(case.ms),
            peak_mib=max(case.peaks) if case.peaks else None)
        figures['spread'][key] = [min(case.ms), max(case.ms)]
    for key in bare:
        figures['bare'][key] = median(cases[key].bare_ms)
    return figures


def stage_table(figures: Dict) -> str:
    """The figures of a stage as a table.

    Args:
        figures (dict): See :func:`time_stage`.
    """
    from mmdgkd.engine.plan import draw_table
    cases = figures['cases']

    def ratio(other: str, case: str, up: bool) -> str:
        if other not in cases:
            return '-'
        times = cases[other]['ms_per_step'] / cases[case]['ms_per_step']
        return f'{times if up else 1 / times:.2f}'

    rows = []
    for key, case in cases.items():
        low, high = figures['spread'][key]
        bare = figures['bare'].get(key)
        peak = case['peak_mib']
        rows.append(
            (key, f'{case["ms_per_step"]:.1f}', f'{low:.1f}-{high:.1f}',
             f'{case["images_per_s"]:,.0f}', ratio('released', key, True),
             ratio('student_alone', key,
                   False), '-' if peak is None else f'{peak:.0f}', '-'
             if bare is None else f'{case["ms_per_step"] / bare - 1:+.0%}'))
    return draw_table(('case', 'ms/step', 'min-max', 'images/s', 'x released',
                       '/ student alone', 'peak MiB', 'over a bare loop'),
                      rows)


def time_chain(cfg: Any, args: argparse.Namespace, folder: str) -> Dict:
    """Time all stages alone, with a store, and with live guides.

    A stage is the same in every chain that begins alike, so that the first n
    stages are the chain of n networks.

    Args:
        cfg (Config): The whole config.
        args (Namespace): The command line.
        folder (str): For whatever is written.

    Returns:
        dict: The figures.
    """
    from _bench import Case
    from mmengine.runner import Runner
    names = list(cfg.chain.networks)
    ways = ('alone', 'stored', 'live')
    stages: Dict[str, Dict[str, List[float]]] = {
        name: {
            way: []
            for way in ways
        }
        for name in names
    }
    loaders = None
    teachers: Dict[str, Any] = {}
    for number in range(args.rounds):
        store = osp.join(folder, f'store{number}')
        for name in names:
            cases = {}
            for way in ways if name != names[0] else ways[:1]:
                guidance = 'none' if way == 'alone' else 'dense'
                stage = stage_of(cfg, args, name, guidance, folder)
                stage.train_cfg.max_epochs = args.epochs
                if loaders is None:
                    loaders = _chain_loaders(cfg, stage, args, Runner)
                stage.val_dataloader = {}
                stage.val_cfg = dict()
                stage.val_evaluator = cfg.val_evaluator
                if way == 'stored':
                    stage = case_config(stage, way, store)
                elif way == 'live':
                    with_drop(stage.model.distiller, False)
                _share_teachers(stage, teachers, folder)
                cases[way] = Case(
                    f'{name}_{way}', stage, loaders, folder, warm_up=0)
            for way, case in cases.items():
                stages[name][way].append(case.run())
        print(f'round {number + 1} of {args.rounds}', flush=True)
    for name in names:
        for way in ways[1:]:
            stages[name][way] = stages[name][way] or stages[name]['alone']
    chains = []
    for length in range(2, len(names) + 1):
        total = {
            way: sum(median(stages[name][way]) for name in names[:length])
            for way in ways
        }
        chains.append(
            dict(
                networks=length,
                alone_s=total['alone'],
                stored_s=total['stored'],
                live_s=total['live'],
                stored_ratio=total['stored'] / total['alone'],
                live_ratio=total['live'] / total['alone'],
                stored_guidance_s=total['stored'] - total['alone'],
                live_guidance_s=total['live'] - total['alone']))
    return dict(
        images=args.images, epochs=args.epochs, stages=stages, chains=chains)


def _chain_loaders(cfg: Any, stage: Any, args: argparse.Namespace,
                   runner: Any) -> Tuple[Any, Any]:
    """A part of the training data, and as large a part of the other."""
    train, val = stage.train_dataloader, copy.deepcopy(cfg.val_dataloader)
    inner = train.dataset.get('dataset', train.dataset)
    inner.indices = args.images
    val.dataset.indices = max(args.images // 5, val.batch_size)
    return (runner.build_dataloader(train, seed=0),
            runner.build_dataloader(val, seed=0))


def _share_teachers(stage: Any, files: Dict[str, str], folder: str) -> None:
    """Give each network the same weights wherever it teaches."""
    import torch
    from mmengine.registry import MODELS, DefaultScope
    for name, teacher in (stage.model.get('teachers') or {}).items():
        if name not in files:
            with DefaultScope.overwrite_default_scope('mmpretrain'):
                model = MODELS.build(copy.deepcopy(teacher.build_cfg))
            files[name] = osp.join(folder, f'{name}.pth')
            torch.save(model.state_dict(), files[name])
        teacher.ckpt_path = files[name]


def chain_table(figures: Dict) -> str:
    """The figures of a chain as a table.

    Args:
        figures (dict): See :func:`time_chain`.
    """
    from mmdgkd.engine.plan import draw_table
    rows = [(chain['networks'], f'{chain["alone_s"]:.1f}',
             f'{chain["stored_s"]:.1f}', f'{chain["stored_ratio"]:.2f}',
             f'{chain["stored_guidance_s"]:.1f}', f'{chain["live_s"]:.1f}',
             f'{chain["live_ratio"]:.2f}', f'{chain["live_guidance_s"]:.1f}')
            for chain in figures['chains']]
    return draw_table(('networks', 'alone s', 'with store s', '/ alone',
                       'guidance s', 'live s', '/ alone', 'guidance s'), rows)


def main() -> None:
    """Measure what the command line says."""
    args = parse_args()
    from _bench import device_name, versions

    from mmdgkd import ConfigError
    cfg = load_config(args)
    if cfg.get('chain') is None:
        raise ConfigError(f'config: {args.config!r} declares no chain')
    with tempfile.TemporaryDirectory() as folder:
        measure, draw = ((time_chain, chain_table) if args.chain else
                         (time_stage, stage_table))
        figures = dict(
            config=args.config,
            device=device_name(),
            date=datetime.date.today().isoformat(),
            versions=versions(),
            precision='float32' if args.no_amp else 'mixed',
            rounds=args.rounds)
        figures.update(measure(cfg, args, folder))
    if args.chain and cfg.chain.get('views', {}) is not None:
        figures['num_views'] = (cfg.chain.get('views') or {}).get('num_views')
    print(f'{figures["device"]}, {figures["precision"]} precision, '
          f'{figures["date"]}\n{draw(figures)}')
    if args.json:
        with open(args.json, 'w') as file:
            json.dump(figures, file, indent=1)
            file.write('\n')


if __name__ == '__main__':
    with one_line_errors():
        main()
