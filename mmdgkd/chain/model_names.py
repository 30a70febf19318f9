# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Models by name: MMPretrain's, timm's, those of a config, and ours."""
import contextlib
import re
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from mmengine.config import Config
from mmengine.hub import get_config
from mmpretrain.apis import ModelHub, list_models
from mmpretrain.models import BaseClassifier
from mmpretrain.registry import MODELS

from mmdgkd.errors import ConfigError
from mmdgkd.fileio.checkpoint import TIMM
from mmdgkd.models.backbones import PlainCNN, SmallVGG
from mmdgkd.models.backbones.plain_cnn import ARCHITECTURES
from mmdgkd.models.backbones.resnet_6n2 import DEPTHS
from mmdgkd.utils.config import reason_of
from mmdgkd.utils.random import aside

# Its file of weights, where a network is given as it was published.
ZOO = 'zoo'
_KINDS = ("'resnet34_8xb32_in1k' of mmpretrain.list_models(), "
          "'timm:resnet18', 'resnet20', or "
          "'mmpretrain::resnet/resnet18_8xb32_in1k.py'")
_PLAIN = tuple(ARCHITECTURES['cifar100'])
OURS = (*(f'resnet{depth}' for depth in DEPTHS), 'wrn_16_2', 'wrn_40_2',
        'small_vgg8', 'small_vgg13', *(f'plain{depth}' for depth in _PLAIN))


@dataclass(frozen=True)
class Published:
    """What a model that is named brings with it.

    Attributes:
        num_classes (int, optional): Length of the logits in its own config.
            The model has None there: it is set from the data.
        normalization (dict, optional): The ``data_preprocessor`` that its
            weights were trained with.
        weights (str, optional): The address of its weights.
        dataset (str, optional): The data set that they were trained on.
    """

    num_classes: Optional[int] = None
    normalization: Optional[Dict] = None
    weights: Optional[str] = None
    dataset: Optional[str] = None


def read_model(model: Any, here: str,
               is_given: bool) -> Tuple[Mapping, Optional[Published]]:
    """Read ``model`` of a network, also within an algorithm.

    Args:
        model (Any): As in the config: one with a ``type``; a name; or a dict
            with ``name`` or MMRazor's ``cfg_path``, perhaps ``pretrained``,
            True or a file, and keys that are merged into it.
        here (str): Its config key.
        is_given (bool): Whether the network has a ``ckpt_path``, which takes
            the place of ``pretrained``.

    Returns:
        tuple[Mapping, Published | None]: The config, and what is known of a
        model that is named. Numbers of classes that the config names are None.

    Raises:
        ConfigError: For a name of no model.
    """
    if isinstance(model, str):
        model = dict(name=model)
    if not isinstance(model, Mapping):
        raise ConfigError(
            f'{here}: is {"missing" if model is None else repr(model)}; it '
            'must be the config of an MMPretrain model, or a name such as '
            f'{_KINDS}')
    if 'type' in model:
        inner = model.get('architecture')
        if not isinstance(inner, str) and not (isinstance(inner, Mapping)
                                               and 'cfg_path' not in inner):
            return model, None
        read, published = read_model(inner, f'{here}.architecture', is_given)
        if read is inner:
            return model, published
        return dict(model, architecture=read), published
    if 'name' in model:
        return _named(model, here, is_given)
    if 'cfg_path' in model:
        return _of_path(model, here, is_given)
    return model, None


def _named(model: Mapping[str, Any], here: str,
           is_given: bool) -> Tuple[Dict, Published]:
    """The config of ``dict(name=..., pretrained=..., ...)``."""
    name = model['name']
    if not isinstance(name, str):
        raise ConfigError(f'{here}.name: {name!r} must be such as {_KINDS}')
    if 'cfg_path' in model:
        raise ConfigError(f'{here}.cfg_path: is given beside name={name!r}; '
                          'leave one out')
    pretrained = model.get('pretrained', False)
    if not isinstance(pretrained, (bool, str)):
        raise ConfigError(f'{here}.pretrained: {pretrained!r} must be True, '
                          'False, or the name of a file')
    if name.startswith('timm:'):
        found, published = _timm(name, here)
    elif '::' in name or name.endswith('.py'):
        found, published = _of_config(name, here)
    else:
        found, published = _ours(name) or _of_hub(name, here)
    found = dict(_without_classes(found), _scope_='mmpretrain')
    if pretrained and not is_given:
        if pretrained is True and published.weights is None:
            raise ConfigError(f'{here}.pretrained: there are no weights of '
                              f'{name!r}; leave it out, or name a file')
        path = published.weights if pretrained is True else pretrained
        found['init_cfg'] = dict(type='Pretrained', checkpoint=path)
        if published.normalization:
            found.setdefault('data_preprocessor', published.normalization)
    own = Config(dict(model=found))
    others = {
        k: v
        for k, v in model.items() if k not in ('name', 'pretrained')
    }
    try:
        own.merge_from_dict(dict(model=others))
    except (TypeError, KeyError) as error:
        raise ConfigError(f'{here}: does not merge into {name!r} '
                          f'({reason_of(error)})') from None
    return own.to_dict()['model'], published


def _timm(name: str, here: str) -> Tuple[Dict, Published]:
    """A model of timm, by MMPretrain's wrapper."""
    kind = name.removeprefix('timm:')
    if not find_spec('timm'):
        raise ConfigError(f'{here}: {name!r} needs a package: '
                          'pip install timm')
    import timm
    if not timm.is_model(kind):
        raise _unknown(name, here,
                       [f'timm:{each}' for each in timm.list_models()])
    try:
        facts = timm.get_pretrained_cfg(kind)
    except Exception:
        known = timm.list_models(f'{kind.split(".")[0]}*', pretrained=True)
        raise _unknown(name, here,
                       [f'timm:{each}' for each in known]) from None
    published = Published()
    if facts is not None and facts.has_weights:
        scaled = {
            key: [round(255 * one, 3) for one in getattr(facts, key)]
            for key in ('mean', 'std')
        }
        published = Published(
            facts.num_classes, dict(scaled, to_rgb=True), f'{TIMM}{kind}',
            'ImageNet' if facts.num_classes == 1000 else None)
    return dict(
        type='TimmClassifier',
        model_name=kind,
        pretrained=False,
        num_classes=None), published


def _ours(name: str) -> Optional[Tuple[Dict, Published]]:
    """A network of ours, for images of 32 pixels; None for another name."""
    kind, depth, width = _parts_of(name)
    neck: Optional[Dict] = dict(type='GlobalAveragePooling')
    if kind == 'resnet' and depth in DEPTHS and not width:
        backbone, channels = dict(type='ResNet6n2', depth=depth), 64
    elif kind == 'wrn' and depth % 6 == 4 and depth > 4 and width:
        backbone = dict(type='WideResNet', depth=depth, widen_factor=width)
        channels = 64 * width
    elif kind == 'small_vgg' and depth in SmallVGG.arch_settings and not width:
        backbone = dict(type='SmallVGG', depth=depth)
        channels = SmallVGG.feat_dim
    elif kind == 'plain' and depth in _PLAIN and not width:
        backbone, neck = dict(type='PlainCNN', depth=depth), None
        with aside():
            channels = PlainCNN(depth).feat_dim
    else:
        return None
    head = dict(
        type='LinearClsHead',
        num_classes=None,
        in_channels=channels,
        loss=dict(type='CrossEntropyLoss'))
    model = dict(type='ImageClassifier', backbone=backbone, head=head)
    return dict(model, neck=neck) if neck else model, Published()


def _parts_of(name: str) -> Tuple[str, int, int]:
    found = re.fullmatch(r'([a-z_]+?)_?(\d+)(?:_(\d+))?', name)
    if found is None:
        return '', 0, 0
    return found[1], int(found[2]), int(found[3] or 0)


def _of_hub(name: str, here: str) -> Tuple[Dict, Published]:
    """A model that ``mmpretrain.list_models()`` lists."""
    if name.lower() not in list_models():
        raise _unknown(name, here, [*list_models(), *OURS])
    try:
        facts = ModelHub.get(name)
    except Exception as error:
        raise ConfigError(f'{here}: the config of {name!r} cannot be read '
                          f'({reason_of(error)})') from None
    return _of_cfg(facts.config, name, here, facts.weights)


def _of_config(name: str, here: str) -> Tuple[Dict, Published]:
    """The model of a config, of a package or of a file."""
    weights = None
    try:
        if '::' in name:
            cfg = _config_of(name)
            with contextlib.suppress(Exception):
                weights = get_config(name, pretrained=True).model_path
        else:
            cfg = Config.fromfile(name)
            weights = cfg.get('load_from')
    except Exception as error:
        raise ConfigError(
            f'{here}: {name!r} names no config '
            f'({reason_of(error)}); it is such as {_KINDS}') from None
    return _of_cfg(cfg, name, here, weights)


def _of_cfg(cfg: Config, name: str, here: str,
            weights: Optional[str]) -> Tuple[Dict, Published]:
    """The model of a config that was read."""
    model = cfg.get('model')
    kind = None
    if isinstance(model, Mapping):
        with contextlib.suppress(Exception):
            kind = MODELS.get(model.get('type'))
    if not (isinstance(kind, type) and issubclass(kind, BaseClassifier)):
        raise ConfigError(f'{here}: {name!r} is no classifier; a network is '
                          f'such as {_KINDS}')
    normalization = cfg.get('data_preprocessor')
    loader = cfg.get('test_dataloader') or {}
    return model.to_dict(), Published(
        number_of_classes(model),
        _without_classes(normalization and normalization.to_dict()), weights,
        (loader.get('dataset') or {}).get('type'))


def _of_path(model: Mapping[str, Any], here: str,
             is_given: bool) -> Tuple[Dict, Published]:
    """A model's config, also where it names that of another package.

    As MMRazor has it: ``cfg_path='mmpretrain::resnet/resnet18_8xb32_in1k.py'``
    and perhaps ``pretrained=True``. Other keys are merged into it. Weights
    that are given, or that it begins from, were trained with its
    normalization: it keeps that.
    """
    try:
        found = _config_of(model['cfg_path'], model.get('pretrained', False))
        package = str(model['cfg_path']).split('::')[0]
        number = number_of_classes(found.model)
        own = Config(
            dict(
                model=dict(
                    _without_classes(found.model.to_dict()), _scope_=package)))
        if model.get('pretrained'):
            own.model.init_cfg = dict(
                type='Pretrained', checkpoint=found.model_path)
        if model.get('pretrained') or is_given:
            own.model.setdefault(
                'data_preprocessor',
                _without_classes(found.get('data_preprocessor')))
        others = {
            key: value
            for key, value in model.items()
            if key not in ('cfg_path', 'pretrained')
        }
        own.merge_from_dict(dict(model=others))
    except Exception as error:
        raise ConfigError(
            f'{here}.cfg_path: {model["cfg_path"]!r} names no '
            f'config ({reason_of(error)}); it is such as '
            "'mmpretrain::resnet/resnet18_8xb32_in1k.py'") from None
    return own.to_dict()['model'], Published(number)


def _config_of(path: Any, pretrained: Any = False) -> Config:
    package = str(path).split('::')[0]
    if not find_spec(package):
        # MMEngine would install it.
        raise ValueError(f'the package {package} is not installed')
    return get_config(path, pretrained)


def number_of_classes(model: Mapping[str, Any]) -> Optional[int]:
    """The number of classes that the config of a network names.

    Args:
        model (Mapping): With a head, or of a wrapper.
    """
    for part in (model, model.get('head'), model.get('backbone')):
        number = (part or {}).get('num_classes')
        if isinstance(number, int):
            return number
    return None


def _without_classes(value: Any) -> Any:
    """A config in which all numbers of classes are None."""
    if isinstance(value, Mapping):
        return {
            key: None if key == 'num_classes' else _without_classes(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_without_classes(item) for item in value]
    return value


def _unknown(name: str, here: str, known: Sequence[str]) -> ConfigError:
    """The error for a name of no model, with those that are like it."""
    # The shortest: others have more in their names.
    close = sorted((each for each in known if each.startswith(name)), key=len)
    with contextlib.suppress(ImportError):
        import timm
        close = [f'timm:{name}'] * timm.is_model(name) + close
    close = close[:4] + get_close_matches(name, known, n=4, cutoff=0.5)
    hint = ', '.join(dict.fromkeys(close[:4]))
    return ConfigError(f'{here}: {name!r} is the name of no model; ' + (
        f'similar: {hint}' if hint else f'it is such as {_KINDS}'))
