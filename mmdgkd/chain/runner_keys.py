# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What a Runner takes from a config: the names and the forms of its keys."""
from difflib import get_close_matches
from inspect import signature
from typing import Any, Dict, Mapping

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from jsonschema.validators import extend
from mmengine.runner import Runner

from mmdgkd.errors import ConfigError

# What it takes as arguments, and what it takes from the config alone.
RUNNER_KEYS = (*signature(Runner).parameters, 'sync_bn', 'compile',
               'efficient_conv_bn_eval', 'activation_checkpointing',
               'find_unused_parameters', 'model_wrapper_cfg')


def _dict(**properties: Any) -> Dict:
    return dict(type=['object', 'null'], properties=properties)


def _list(*others: str) -> Dict:
    return dict(type=['array', *others, 'null'], items=dict(type=['object']))


_TEXT = dict(type=['string', 'null'])
_FLAG = dict(type=['boolean', 'null'])
_NAMES = dict(type=['string', 'array'], items=dict(type=['string']))
_COUNT = dict(type=['integer', 'null'])
_NUMBER = dict(type=['number', 'null'])
_LOADER = _dict(
    dataset=_dict(),
    sampler=_dict(),
    batch_sampler=_dict(),
    batch_size=_COUNT,
    num_workers=_COUNT)
_FORMS = _dict(
    model=_dict(),
    work_dir=_TEXT,
    train_dataloader=_LOADER,
    val_dataloader=_LOADER,
    test_dataloader=_LOADER,
    train_cfg=_dict(
        max_epochs=_COUNT,
        max_iters=_COUNT,
        val_begin=_COUNT,
        # MMEngine takes inf, too.
        val_interval=dict(type=['number', 'null'])),
    val_cfg=_dict(),
    test_cfg=_dict(),
    auto_scale_lr=_dict(enable=_FLAG),
    optim_wrapper=_dict(optimizer=_dict(), paramwise_cfg=_dict()),
    param_scheduler=_list('object'),
    val_evaluator=_list('object'),
    test_evaluator=_list('object'),
    default_hooks=dict(_dict(), additionalProperties=_dict()),
    custom_hooks=_list(),
    data_preprocessor=_dict(),
    load_from=_TEXT,
    resume=_FLAG,
    launcher=_TEXT,
    env_cfg=_dict(
        mp_cfg=_dict(), dist_cfg=_dict(timeout=_NUMBER), peer_timeout=_NUMBER),
    log_processor=_dict(),
    visualizer=_dict(vis_backends=_list('object')),
    default_scope=_TEXT,
    randomness=_dict(seed=_COUNT),
    model_wrapper_cfg=_dict(),
    find_unused_parameters=_FLAG,
    custom_imports=_dict(imports=_NAMES))
_WORDS = dict(
    object='a dict',
    array='a list',
    string='a string',
    boolean='True or False',
    integer='an integer',
    number='a number',
    null='None')
_Validator = extend(
    Draft202012Validator,
    # Configs have tuples, too.
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine(
        'array', lambda _, value: isinstance(value, (list, tuple))))


def check_runner_keys(cfg: Mapping, here: str = '') -> None:
    """Check the names and the forms of what a Runner takes.

    A name that is nearly one of these would be ignored without a word.

    Args:
        cfg (Mapping): The config, in plain types.
        here (str): The key that it is under, with a dot at its end. Defaults
            to ``''``.

    Raises:
        ConfigError: If a key looks like another one, or if one that takes a
            dict or a list is something else.
    """
    known = ('chain', 'runner_type', *RUNNER_KEYS)
    for key in cfg:
        near = key not in known and get_close_matches(key, known, 1, .9)
        if near:
            raise ConfigError(
                f'{here}{key}: would be ignored; "{near[0]}" is meant, or '
                'choose a name that is less like it')
    error = best_match(_Validator(_FORMS).iter_errors(cfg))
    if error is not None:
        words = [_WORDS[kind] for kind in error.validator_value]
        raise ConfigError(f'{here}{error.json_path[2:]}: '
                          f'{repr(error.instance)[:80]} must be '
                          f'{" or ".join(words)}')
