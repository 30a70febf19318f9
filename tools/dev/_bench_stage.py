# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Time the ways to distill one stage."""
import argparse
from statistics import median
from typing import Any, Dict

from _bench import WARM_UP, Case
from _bench_cases import CASES, case_config, stage_of
from mmengine.runner import Runner

from mmdgkd.chain.chain import Chain
from mmdgkd.errors import ConfigError
from mmdgkd.utils.table import draw_table


def time_stage(cfg: Any, args: argparse.Namespace, folder: str) -> Dict:
    """Time the cases of one stage.

    Args:
        cfg (Config): The whole config.
        args (Namespace): The command line.
        folder (str): Where it writes.

    Returns:
        dict: The figures.
    """
    import _baselines  # noqa: F401  (registers them)
    chain = Chain.from_cfg(cfg.chain)
    name = args.stage or chain.names[-1]
    chain.require(name, '--stage')
    if name == chain.names[0]:
        raise ConfigError(f'--stage: "{name}" is the first of the chain and '
                          'has no teachers')
    cases = _build_cases(cfg, args, name, folder)
    for case in cases.values():  # fill the store and warm up
        case.run(counts=False)
    bare = [case for case in ('stored', 'student_alone') if case in cases]
    for number in range(args.rounds):
        for case in cases.values():
            case.run()
        for case in bare:
            cases[case].run_bare()
        print(f'round {number + 1} of {args.rounds}', flush=True)
    if 'stored' in cases and cases['stored'].lookups['computed']:
        raise RuntimeError('the store was not full: '
                           f'{cases["stored"].lookups}')
    batch = next(iter(cases.values())).cfg.train_dataloader.batch_size
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


def _build_cases(cfg: Any, args: argparse.Namespace, name: str,
                 folder: str) -> Dict[str, Case]:
    distilled = stage_of(cfg, args, name, 'dense', folder)
    alone = stage_of(cfg, args, name, 'none', folder)
    loader_cfg = distilled.train_dataloader
    inner = loader_cfg.dataset.get('dataset', loader_cfg.dataset)
    inner.indices = (WARM_UP + args.steps) * loader_cfg.batch_size
    loader = Runner.build_dataloader(loader_cfg, seed=0)
    return {
        case:
        Case(
            case, alone if case == 'student_alone' else case_config(
                distilled, case, folder), loader, folder)
        for case in CASES if case in args.cases
    }


def stage_table(figures: Dict) -> str:
    """Draw the figures of a stage as a table.

    Args:
        figures (dict): See :func:`time_stage`.
    """
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
