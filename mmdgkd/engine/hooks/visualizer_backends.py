# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Live progress, TensorBoard and WandB for the stages of a chain."""
import contextlib
import os
import uuid
from importlib.util import find_spec
from typing import Any, Dict, Iterator, List, Optional

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import VISBACKENDS, VISUALIZERS
from mmengine.runner import Runner
from mmrazor.registry import HOOKS

from mmdgkd.errors import ConfigError
from mmdgkd.utils.config import find_type, type_of
from .live_progress_hook import LiveProgressHook

# Packages that a backend of MMEngine imports only when it is used.
_PACKAGES = dict(TensorboardVisBackend='tensorboard', WandbVisBackend='wandb')


def live_hook(cfg: Config, **known: Any) -> Optional[Hook]:
    """Build the hook of the live progress, unless the config has None.

    Args:
        cfg (Config): The whole config.
        **known (Any): Arguments of :class:`LiveProgressHook` from the chain.

    Raises:
        ConfigError: If ``default_hooks.live_progress`` does not fit.
    """
    options = (cfg.get('default_hooks') or {}).get('live_progress', {})
    if options is None:
        return None
    kind = dict(type='mmrazor.LiveProgressHook')
    try:
        return HOOKS.build(dict(kind, **dict(known, **options)))
    except (KeyError, TypeError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(f'default_hooks.live_progress: {reason}; it takes '
                          'what LiveProgressHook does, or None') from None


def backends_of(cfg: Config) -> List[Dict]:
    """The configs of the visualizer's backends.

    Args:
        cfg (Config): The config of a stage.
    """
    backends = (cfg.get('visualizer') or {}).get('vis_backends') or []
    return [backends] if isinstance(backends, dict) else list(backends)


def check_visualizer(cfg: Config, here: str) -> None:
    """Check that the visualizer and its backends can be built.

    Args:
        cfg (Config): The config of a stage.
        here (str): The stage, for the message.

    Raises:
        ConfigError: If one is unknown, or its package is not installed.
    """
    parts = [('visualizer.vis_backends', VISBACKENDS, backend)
             for backend in backends_of(cfg)]
    if cfg.get('visualizer'):
        parts.append(('visualizer', VISUALIZERS, cfg.visualizer))
    for key, registry, part in parts:
        try:
            find_type(registry, part.get('type', ''))
        except KeyError as error:
            raise ConfigError(f'{key}: {here}: {error.args[0]}') from None
        package = _PACKAGES.get(type_of(part))
        if package and find_spec(package) is None:
            raise ConfigError(
                f'{key}: {here}: {type_of(part)} needs the package {package}, '
                f'which is not installed; pip install {package}')


def name_runs(cfg: Config, name: str, group: str, entry: Dict) -> Dict:
    """Make a stage a run of its own in TensorBoard and WandB.

    In TensorBoard it has the name of its folder, and a resumed one goes on in
    it; ``tensorboard --logdir WORK_DIR`` then has a curve per stage. In WandB
    it has the name of the stage, in a group, over the iterations; what the
    config has under ``init_kwargs`` and ``define_metric_cfg`` has precedence,
    and so does the environment variable ``WANDB_RUN_GROUP``.

    Args:
        cfg (Config): The config with which the stage is run; it is changed.
        name (str): The stage.
        group (str): The chain.
        entry (dict): The entry of the stage in the ledger.

    Returns:
        dict: What to add to the entry in the ledger.
    """
    if cfg.get('visualizer'):
        # MMEngine keeps one visualizer per name, also for the next stage.
        cfg.visualizer.pop('name', None)
    noted = {}
    for backend in backends_of(cfg):
        kind = type_of(backend)
        if kind == 'TensorboardVisBackend':
            backend.setdefault('save_dir', cfg.work_dir)
        elif kind == 'WandbVisBackend':
            noted['wandb_id'] = entry.get('wandb_id') or uuid.uuid4().hex[:8]
            backend['init_kwargs'] = dict(
                dict(
                    name=name,
                    group=os.environ.get('WANDB_RUN_GROUP', group),
                    id=noted['wandb_id'],
                    resume='allow',
                    # Such as "resume".
                    allow_val_change=True),
                **(backend.get('init_kwargs') or {}))
            backend.setdefault(
                'define_metric_cfg',
                [dict(name='iter'),
                 dict(name='*', step_metric='iter')])
    return noted


def without_curves(cfg: Config) -> None:
    """Remove the backends for curves: a test has no curves.

    Args:
        cfg (Config): The config with which a network is tested; it is changed.
    """
    if cfg.get('visualizer'):
        cfg.visualizer.pop('name', None)
        cfg.visualizer.vis_backends = [
            backend for backend in backends_of(cfg)
            if type_of(backend) not in _PACKAGES
        ]


@contextlib.contextmanager
def watched(runner: Runner) -> Iterator[None]:
    """Stop the live progress and close the visualizer, in any case.

    MMEngine closes it only if a training reaches its end.

    Args:
        runner (Runner): It must not be used any more after that.
    """
    try:
        yield
    except BaseException as error:
        _stop_lines(runner)
        for backend in runner.visualizer._vis_backends.values():
            if hasattr(backend, '_wandb'):
                # Otherwise WandB would mark the run as finished.
                backend.experiment.finish(getattr(error, 'exit_code', 1))
        raise
    finally:
        _stop_lines(runner)
        runner.visualizer.close()


def _stop_lines(runner: Runner) -> None:
    for hook in runner.hooks:
        if isinstance(hook, LiveProgressHook):
            hook.after_train(runner)
