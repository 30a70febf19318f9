# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The numbers of classes in the config of a model."""
import contextlib
import copy
import inspect
from typing import Any, Dict, Mapping, Optional

import torch
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.models.classifiers import HuggingFaceClassifier, TimmClassifier

from mmdgkd.errors import ConfigError
from mmdgkd.utils.config import find_type
from mmdgkd.utils.random import aside

# Networks of other packages, whose own argument it is.
_WRAPPERS = {
    TimmClassifier: 'num_classes',
    HuggingFaceClassifier: 'num_labels'
}
_KEYS = ('num_classes', 'num_labels')


def set_classes(model: Any,
                number: int,
                instead_of: Optional[int] = None) -> Any:
    """Set the number of classes of all networks in a config.

    In the head, or in the backbone where that makes the logits (VGG, LeNet-5),
    or in the wrapper of a network of timm or Hugging Face; and wherever else
    ``num_classes`` is None, such as in a loss.

    Args:
        model (Mapping): The config of a network, or of algorithms around it.
        number (int): The number.
        instead_of (int, optional): A number that is replaced, too.
            Defaults to None: all that are given stay.

    Returns:
        dict: The config; where nothing changes, ``model`` itself.
    """
    if isinstance(model, (list, tuple)):
        items = type(model)(
            set_classes(item, number, instead_of) for item in model)
        return model if items == model else items
    if not isinstance(model, Mapping):
        return model
    with DefaultScope.overwrite_default_scope(model.get('_scope_')):
        found = {
            key:
            number if key in _KEYS and item in (None, instead_of) else
            set_classes(item, number, instead_of)
            for key, item in model.items()
        }
        kind = _class_of(model)
        for wrapper, key in _WRAPPERS.items():
            if issubclass(kind, wrapper):
                found.setdefault(key, number)
        head, backbone = found.get('head'), found.get('backbone')
        if isinstance(head, Mapping) and isinstance(backbone, Mapping):
            for part, cfg in (('head', head), ('backbone', backbone)):
                if _takes_classes(_class_of(cfg)):
                    found[part] = dict(dict(num_classes=number), **cfg)
                    break
    return model if found == model else found


def _class_of(cfg: Mapping[str, Any]) -> type:
    kind = None
    with contextlib.suppress(KeyError):
        kind = find_type(MODELS, cfg.get('type'))
    return kind if isinstance(kind, type) else object


def _takes_classes(kind: type) -> bool:
    """Whether a class or one above it has an argument ``num_classes``."""
    return any('num_classes' in inspect.signature(each.__init__).parameters
               for each in kind.__mro__ if each is not object)


def pick_classes(weights: Mapping[str, torch.Tensor], build_cfg: Any,
                 picked: Mapping[str, Any], path: str,
                 key: str) -> Dict[str, torch.Tensor]:
    """The weights of a network for some of its classes, or in another order.

    Which weights have a row for each class is found by building the network
    with one class more.

    Args:
        weights (Mapping[str, torch.Tensor]): As its file has them.
        build_cfg (Mapping): The config of the network with the classes that
            are picked.
        picked (Mapping): ``classes``, for each the index in the file, and
            ``of``, how many the file has.
        path (str): The file, for messages.
        key (str): The config key that names it, for messages.

    Returns:
        dict[str, torch.Tensor]: The weights, less the other classes.

    Raises:
        ConfigError: If the file has another number of classes, or if the
            config has no number of classes.
    """
    classes, of = list(picked['classes']), picked['of']
    more = set_classes(build_cfg, len(classes) + 1, len(classes))
    with aside():
        shapes, larger = ({
            name: tuple(data.shape)
            for name, data in MODELS.build(copy.deepcopy(
                cfg)).state_dict().items() if isinstance(data, torch.Tensor)
        } for cfg in (build_cfg, more))
    rows = {
        name: dim
        for name, shape in shapes.items() if name in larger
        for dim, size in enumerate(larger[name]) if size != shape[dim]
    }
    if not rows:
        raise ConfigError(f'{key}: the classes of {path!r} cannot be picked: '
                          'no weight of the network has a row for each')
    found = dict(weights)
    for name, dim in rows.items():
        if name not in found or found[name].dim() != len(shapes[name]):
            continue  # of another architecture, which the check tells
        if found[name].shape[dim] != of:
            raise ConfigError(
                f'{key}: {path!r} has {found[name].shape[dim]} classes '
                f'({name} is {tuple(found[name].shape)}), but {of} are named')
        index = torch.tensor(classes)
        found[name] = found[name].index_select(dim, index)
    return found
