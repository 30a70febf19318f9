# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A stage of the chain as an ordinary config of MMEngine."""
import copy
import os.path as osp
from typing import Any, Dict, Mapping

from mmengine.config import Config

from mmdgkd.errors import ConfigError
from mmdgkd.fileio.checkpoint import plain
from mmdgkd.models.distillers.edges import edges_for
from mmdgkd.models.teachers.teacher_input import NORMALIZATION
from mmdgkd.models.utils.networks import network_cfg
from mmdgkd.utils.config import in_own_scope, type_of
from .chain import Chain, Network
from .method import METHODS
from .runner_keys import RUNNER_KEYS, check_runner_keys
from .splits import folds_of_teachers, set_split
from .stage_hooks import keep_hooks
from .stage_views import set_views
from .use import prepare_use


@in_own_scope
def stage_config(cfg: Config, chain: Chain, name: str,
                 files: Mapping[str, str], work_dir: str) -> Config:
    """The config of one stage, which an ordinary Runner can run.

    A network with teachers trains as the ``architecture`` of the config's
    ``model``, the template, with its teachers as ``teachers``; one without
    trains as itself.

    Args:
        cfg (Config): The whole config.
        chain (Chain): Its chain.
        name (str): The network to train.
        files (Mapping[str, str]): The files of the weights of its teachers,
            and of ``init_from``.
        work_dir (str): The work dir of the chain.

    Returns:
        Config: Its ``filename`` is where it will be written.

    Raises:
        ConfigError: If the template is missing or does not fit.
    """
    stage = merged_config(cfg, chain[name])
    keep_hooks(stage, cfg)
    template = stage.pop('model', None)
    model = _with_preprocessor(chain[name].trainer or chain[name].model, stage)
    if 'model' in chain[name].stage and not (
            chain.teachers[name] or chain.guidance in ('none', 'independent')):
        raise ConfigError(
            f'chain.networks.{name}.stage.model: changes the template of '
            f'stages with teachers, but "{name}" has no teachers; change '
            f'chain.networks.{name}.model')
    if chain.teachers[name]:
        model = _with_teachers(model, template, chain, name, files, cfg)
        if chain.logit_store is not None:
            _add_hook(
                stage, 'LogitStoreHook',
                **dict(
                    chain.logit_store, store_dir=store_dir(chain, work_dir)))
    source = chain[name].init_from
    if source:
        _add_hook(
            stage,
            'InitFromHook',
            source=source,
            ckpt_path=files.get(source),
            **_of_file(chain[source]))
    stage.model = model
    for method in METHODS.values():
        method.prepare_stage(stage, chain, name)
    if chain.views is not None:
        set_views(stage, chain, name, seed_of(cfg))
        set_split(stage, cfg, chain, name)
    _make_resumable(stage)
    prepare_use(stage, chain[name].use, f'chain.networks.{name}', chain.metric,
                chain.rule)
    stage.work_dir = osp.join(work_dir, name)
    stage.experiment_name = name
    stage.load_from = None
    stage.resume = False
    _import_mmdgkd(stage)
    return named_config(stage, osp.join(work_dir, name, 'config.py'))


def _with_teachers(model: Dict, template: Any, chain: Chain, name: str,
                   files: Mapping[str, str], cfg: Config) -> Dict:
    """The template of the config with a network and its teachers."""
    if not isinstance(template, Mapping) or 'distiller' not in template:
        raise ConfigError(
            'model: stages with teachers need their template, '
            "model=dict(type='mmrazor.DGKD', distiller=dict(...))")
    distiller = edges_for(template['distiller'], chain.teachers[name],
                          chain.names, name)
    teachers = {
        teacher:
        dict(
            build_cfg=copy.deepcopy(dict(chain[teacher].model)),
            ckpt_path=files.get(teacher),
            **_of_file(chain[teacher]),
            **_input(model, chain[teacher], cfg))
        for teacher in chain.teachers[name]
    }
    folds = folds_of_teachers(chain, name)
    return dict(
        template,
        architecture=model,
        distiller=distiller,
        teachers=teachers,
        **(dict(folds=folds) if folds else {}))


def _of_file(network: Network) -> Dict[str, Any]:
    """What is to be taken of the file of a network."""
    return {
        key: getattr(network, key)
        for key in ('ckpt_key', 'picked') if getattr(network, key)
    }


def _input(model: Mapping, teacher: Network, cfg: Config) -> Dict[str, Any]:
    """What a teacher needs to get its own images, if they are others."""
    given = network_cfg(model).get('data_preprocessor') or {}
    own = network_cfg(teacher.model).get('data_preprocessor') or dict(
        cfg.get('data_preprocessor') or {},
        **(teacher.stage.get('data_preprocessor') or {}))
    given = {key: given.get(key) for key in NORMALIZATION}
    mine = {key: own.get(key) for key in NORMALIZATION}
    mine.update(teacher.input or {})
    if mine == given:
        return {}
    return dict(input=dict(mine, given=given))


def _add_hook(stage: Config, kind: str, **settings: Any) -> None:
    hook = dict(type=f'mmrazor.{kind}', **settings)
    stage.custom_hooks = [*(stage.get('custom_hooks') or ()), hook]


def store_dir(chain: Chain, work_dir: str) -> str:
    """The folder of the logit store of a chain that has one.

    Args:
        chain (Chain): The chain.
        work_dir (str): Its work dir.
    """
    return chain.logit_store.get('store_dir') or osp.join(work_dir, 'logits')


def seed_of(cfg: Config) -> int:
    """The seed of a config; 0 where it has none."""
    return (cfg.get('randomness') or {}).get('seed') or 0


def named_config(cfg: Config, filename: str, formatted: bool = True) -> Config:
    """A copy of a config, in plain types, under the name of a file to be.

    Args:
        cfg (Config): The config.
        filename (str): The path; a Runner dumps it under its last part.
        formatted (bool): Whether its text is formatted, which takes a quarter
            of a second each time. Defaults to True.
    """
    # Without a text MMEngine would read it from the file.
    return Config(
        plain(cfg.to_dict(), copy.deepcopy),
        cfg_text=' ',
        filename=filename,
        format_python_code=formatted)


def network_config(cfg: Config, network: Network) -> Config:
    """The config of a network alone, to test or deploy it.

    With it and the trained network's file ``mmpretrain.get_model`` and
    ``ImageClassificationInferencer`` work.

    Args:
        cfg (Config): The whole config.
        network (Network): The network.
    """
    stage = merged_config(cfg, network)
    alone = Config(dict(model=_with_preprocessor(network.model, stage)))
    for key in ('default_scope', 'custom_imports', 'env_cfg', 'visualizer',
                'vis_backends', 'log_level', 'default_hooks',
                'test_dataloader', 'test_evaluator', 'test_cfg'):
        if stage.get(key) is not None:
            alone[key] = stage[key]
    _import_mmdgkd(alone)
    return Config(alone.to_dict(), format_python_code=cfg._format_python_code)


def merged_config(cfg: Config, network: Network) -> Config:
    """The config with the ``stage`` of a network merged into it.

    Args:
        cfg (Config): The whole config.
        network (Network): The network.

    Raises:
        ConfigError: For a key of ``stage`` that is unknown, or does not merge.
    """
    here = f'chain.networks.{network.name}.stage'
    known = {*cfg.keys(), *RUNNER_KEYS}
    for key in network.stage:
        if key not in known:
            raise ConfigError(f'{here}.{key}: is neither in the config nor '
                              'known to a Runner')
    stage = Config(copy.deepcopy(cfg.to_dict()))
    for key in ('chain', 'runner_type'):
        stage.pop(key, None)
    try:
        stage.merge_from_dict(copy.deepcopy(dict(network.stage)))
    except (TypeError, KeyError) as error:
        raise ConfigError(f'{here}: does not merge into the config '
                          f'({str(error).splitlines()[0]})') from None
    check_runner_keys(stage.to_dict(), f'{here}.')
    # ChainRunner adds it, with what it knows; a Runner refuses a None.
    (stage.get('default_hooks') or {}).pop('live_progress', None)
    return stage


def _make_resumable(stage: Config) -> None:
    """Set loops and checkpoints that resume to the same bits."""
    train_cfg = dict(stage.get('train_cfg') or {})
    kinds = dict(
        EpochBasedTrainLoop='ResumableEpochLoop',
        IterBasedTrainLoop='ResumableIterLoop')
    if train_cfg and 'type' not in train_cfg:
        by_epoch = train_cfg.pop('by_epoch', True)
        train_cfg['type'] = ('Epoch'
                             if by_epoch else 'Iter') + 'BasedTrainLoop'
    if train_cfg and type_of(train_cfg) in kinds:
        stage.train_cfg = dict(
            train_cfg, type=f'mmrazor.{kinds[type_of(train_cfg)]}')
    hooks = dict(stage.get('default_hooks') or {})
    checkpoint = hooks.get('checkpoint', dict(interval=1))
    if checkpoint is not None and type_of(checkpoint) in ('CheckpointHook',
                                                          'None'):
        hooks['checkpoint'] = dict(
            checkpoint, type='mmrazor.AtomicCheckpointHook')
        stage.default_hooks = hooks


def _with_preprocessor(model: Mapping, stage: Config) -> Dict:
    """Put the data preprocessor into the model: it needs no type there."""
    model = copy.deepcopy(dict(model))
    preprocessor = stage.pop('data_preprocessor', None)
    if preprocessor is not None:
        own = network_cfg(model).setdefault('data_preprocessor', preprocessor)
        if own and type_of(preprocessor) == 'BatchedDataPreprocessor':
            # That of a model by name is for single images.
            own.setdefault('type', preprocessor['type'])
    return model


def _import_mmdgkd(cfg: Config) -> None:
    """Have a config that is run alone import this package."""
    imports = dict(cfg.get('custom_imports') or {})
    names = imports.get('imports', [])
    names = [names] if isinstance(names, str) else list(names)
    if 'mmdgkd' not in names:
        names.append('mmdgkd')
    cfg.custom_imports = dict(
        imports=names,
        allow_failed_imports=imports.get('allow_failed_imports', False))
