# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Families of models by their names, and what MMPretrain publishes of them."""
import re
from importlib.util import find_spec
from typing import Any, Dict, Iterator, Optional, Tuple

from mmpretrain.apis import ModelHub, list_models

from mmdgkd.chain.model_names import OURS

# Words for the size in names of models.
_SIZE_WORDS = ('atto|femto|pico|nano|xxsmall|xsmall|tiny|small|medium|base|'
               'large|huge|giant|xxs|xs|xl|s|m|l|b|t|h|g')
_SIZE = re.compile(rf'(?<=[-_])({_SIZE_WORDS})(?=[-_]|$)')
_OURS = re.compile(r'(resnet|wrn_|small_vgg|plain)\d+(_\d+)?')


def arch_of(name: str) -> str:
    """The architecture in a name: ``resnet34`` of ``resnet34_8xb32_in1k``."""
    if name.startswith('timm:'):
        return name.removeprefix('timm:').split('.')[0]
    name = name.split('/')[-1].removesuffix('.py')
    return name if _OURS.fullmatch(name) else name.split('_')[0]


def family_of(name: str) -> Iterator[Tuple[str, Optional[int]]]:
    """The models of the same family, one of each architecture.

    Args:
        name (str): A model.

    Yields:
        tuple[str, int | None]: The name, and its MACs in the table of its zoo,
        in any unit; None if there is no table.
    """
    arch = arch_of(name)
    if name.startswith('timm:'):
        if find_spec('timm'):
            import timm
            for other in timm.list_models():
                if _is_like(arch, other):
                    yield f'timm:{other}', None
    elif _OURS.fullmatch(name):
        for other in {name: None, **dict.fromkeys(OURS)}:
            if _is_like(arch, other):
                # The depth, times the square of the width.
                depth, *width = map(int, re.findall(r'\d+', other))
                yield other, depth * (width[0]**2 if width else 1)
    else:
        own = name.split('/')[-1].removesuffix('.py')
        data = own.rsplit('_', 1)[-1]
        by_arch: Dict[str, str] = {arch: own}
        for other in sorted(list_models(), key=len):
            if other.rsplit('_', 1)[-1] == data and _is_like(
                    arch, arch_of(other)):
                by_arch.setdefault(arch_of(other), other)
        for other in by_arch.values():
            listed = _published(other)
            yield (name if other == own else other, listed
                   and listed.metadata.flops)


def accuracy_of(name: str) -> Tuple[Optional[float], str]:
    """Top 1 and its data set, by the table of MMPretrain; or None.

    Args:
        name (str): A model.
    """
    model = _published(name)
    for result in (model.results if model else None) or ():
        top = (result.metrics or {}).get('Top 1 Accuracy')
        if top is not None:
            return float(top), str(result.dataset)
    return None, ''


def _published(name: str) -> Any:
    """What MMPretrain's index has of a model, by its name or its config."""
    name = name.split('/')[-1].removesuffix('.py')
    return ModelHub.get(name) if name in list_models() else None


def _is_like(arch: str, other: str) -> bool:
    """Whether two names differ in a size alone: a word, or else a number."""
    pattern = re.escape(arch)
    word = _SIZE.search(arch)
    if word:
        start, end = map(re.escape, (arch[:word.start()], arch[word.end():]))
        pattern = rf'{start}({_SIZE_WORDS}){end}'
        if not arch[-1].isdigit():
            # A multiple of the width: mobilenet-v3-small-075.
            pattern += r'(-\d{3})?'
    else:
        # v3 is a version.
        pattern = re.sub(r'(?<!v)\d+', lambda _: r'\d+', pattern)
    return re.fullmatch(pattern, other) is not None
