# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""``<network>.py``: the config of a network alone, for MMPretrain."""
import contextlib
from typing import Any, Dict, Iterator

from mmengine.config import Config
from mmengine.registry import (DATA_SAMPLERS, DATASETS, EVALUATOR, FUNCTIONS,
                               HOOKS, LOOPS, METRICS, MODELS, TRANSFORMS,
                               VISBACKENDS, VISUALIZERS, WEIGHT_INITIALIZERS,
                               DefaultScope)
from mmpretrain.registry import BATCH_AUGMENTS

from mmdgkd.fileio.files import atomic_write
from mmdgkd.utils.config import find_type
from .chain import Network
from .stage_config import network_config

_OWN = 'mmdgkd'
# Whose classes are there only where mmdgkd is, or repairs them.
_NEED_US = ('mmdgkd', 'mmrazor')
_REGISTRIES = (MODELS, DATASETS, TRANSFORMS, HOOKS, METRICS, DATA_SAMPLERS,
               LOOPS, EVALUATOR, VISUALIZERS, VISBACKENDS, WEIGHT_INITIALIZERS,
               BATCH_AUGMENTS)


def write_network_config(cfg: Config, network: Network, path: str) -> None:
    """Write the config of a network alone.

    Where the network is MMPretrain's own, ``mmpretrain.get_model`` and its
    tools load the file without mmdgkd. Ours that only make training faster
    are replaced by what they are made of.

    Args:
        cfg (Config): The whole config.
        network (Network): The network.
        path (str): The file to write.
    """
    alone = network_config(cfg, network)
    whole = alone.to_dict()
    scope = whole.get('default_scope', 'mmpretrain')
    with DefaultScope.overwrite_default_scope(scope):
        for entry in _entries(whole):
            plain = getattr(_class_of(entry), 'plain', None)
            # A class that inherits from ours is another; and of the data sets
            # only ours choose classes.
            if (plain and _needs_us(entry) and isinstance(entry['type'], str)
                    and not entry.get('filter_cfg')):
                scope, dot, _ = entry['type'].rpartition('.')
                entry['type'] = scope + dot + plain
        whole['default_hooks'] = {
            key: hook
            for key, hook in (whole.get('default_hooks') or {}).items()
            if hook is None or not _needs_us(hook)
        }
        _import_if_needed(whole)
    with atomic_write(path) as file:
        file.write(
            Config(whole,
                   format_python_code=cfg._format_python_code).pretty_text)


def _import_if_needed(whole: Dict[str, Any]) -> None:
    """Import mmdgkd only where a class needs it; without it a model loads."""
    imports = whole['custom_imports']
    names = [name for name in imports['imports'] if name != _OWN]
    if any(map(_needs_us, _entries(whole['model']))):
        return
    if not any(map(_needs_us, _entries(whole))):
        imports['imports'] = names
        if not names:
            del whole['custom_imports']
    elif not names:
        # For its data alone.
        imports['allow_failed_imports'] = True


def _entries(part: Any) -> Iterator[Dict[str, Any]]:
    """All that has a type, at any depth."""
    if isinstance(part, dict):
        if 'type' in part:
            yield part
        part = list(part.values())
    if isinstance(part, (list, tuple)):
        for one in part:
            yield from _entries(one)


def _class_of(entry: Dict[str, Any]) -> Any:
    """The class of an entry, of whatever registry; None if none has it."""
    for registry in _REGISTRIES:
        with contextlib.suppress(KeyError):
            return find_type(registry, entry['type'])
    # MMPretrain has no functions of its own, of which MMEngine warns.
    return FUNCTIONS.module_dict.get(entry['type'])


def _needs_us(entry: Dict[str, Any]) -> bool:
    """Whether a class is ours or MMRazor's; one that is not found may be."""
    kind = _class_of(entry)
    if kind is None:
        return True
    return str(kind.__module__).split('.')[0] in _NEED_US
