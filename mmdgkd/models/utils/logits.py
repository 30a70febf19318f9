# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Where a network computes its logits: found, not named."""
import contextlib
import copy
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import torch
from mmpretrain.models import ImageClassifier, LinearClsHead
from torch import nn
from torch.fx import GraphModule

from mmdgkd.errors import ConfigError
from mmdgkd.utils.meta import QuickMeta

# The source that is found.
LOGITS = 'logits'
# What computes the class scores of an MMPretrain classifier, and of its
# wrappers of other libraries.
_PARTS = ('head', 'model')
# Heights and widths at which a network is tried where no image is at hand.
_SIZES = (224, 32, 64, 28, 8, 299, 384, 512)


def class_scores(outputs: Any) -> Any:
    """The class scores in the output of a classifier.

    Its predictions are their softmax, or their sigmoid.

    Args:
        outputs (Any): A tensor; an output of Hugging Face's, with ``logits``;
            or a tuple of tensors of one shape, such as those of
            ``ConformerHead``, which predicts by their sum.

    Returns:
        Any: A tensor of shape (N, C); any other output as it is.
    """
    outputs = getattr(outputs, LOGITS, outputs)
    if isinstance(outputs, (list, tuple)) and outputs and all(
            isinstance(each, torch.Tensor) and each.shape == outputs[0].shape
            for each in outputs):
        return sum(outputs[1:], outputs[0])
    return outputs


def score_module(network: nn.Module, owner: str = 'the network') -> str:
    """The module that outputs the class scores, in ``loss`` mode, too.

    It is the head of an MMPretrain classifier, the ``model`` in a wrapper of
    timm's and Hugging Face's networks, in a traced graph what is compared with
    the labels, and in another network the outermost module whose output is
    that of the network.

    Args:
        network (nn.Module): The network, as it runs in ``loss`` mode.
        owner (str): Its name in messages. Defaults to ``'the network'``.

    Returns:
        str: The name of the module.

    Raises:
        ConfigError: If there is none. The message begins with ``source``.
    """
    if isinstance(network, GraphModule):
        found = _scored_in_graph(network)
    else:
        parts = [
            part for part in _PARTS
            if isinstance(getattr(network, part, None), nn.Module)
        ]
        found = next(iter(parts or score_modules(network)), None)
    if found is None:
        raise ConfigError(f'source: no module of {owner} is found that '
                          'outputs its class scores; name it')
    return found


def find_source(
        network: nn.Module,
        source: str,
        mode: str,
        owner: str = 'the network') -> Tuple[nn.Module, Callable[..., Any]]:
    """The module that a source names or, for ``'logits'``, that is found.

    Args:
        network (nn.Module): The network.
        source (str): A module of it, or :data:`LOGITS`; a module of that name
            comes first.
        mode (str): The mode in which it runs, ``'loss'`` or ``'tensor'``.
        owner (str): The network in messages. Defaults to ``'the network'``.

    Returns:
        tuple[nn.Module, Callable]: The module, and what to record of a call of
        it: a function of the arguments of a forward hook.

    Raises:
        AttributeError: If there is no such module.
        ConfigError: If none is found. The message begins with ``source``.
    """
    if not is_found(network, source):
        return network.get_submodule(source), lambda _, __, outputs: outputs
    # In tensor mode a classifier returns its class scores.
    name = '' if mode == 'tensor' else score_module(network, owner)

    def read(module: nn.Module, inputs: Tuple, outputs: Any) -> torch.Tensor:
        if name and len(inputs) > 1:
            # A head that is given the labels adds margins, which its
            # predictions do not have. Not by a call: this is in a hook of it.
            outputs = module.forward(inputs[0])
        scores = class_scores(outputs)
        if not isinstance(scores, torch.Tensor):
            raise ConfigError(
                f'model.distiller: the output of {owner} is a '
                f'{type(scores).__name__}, and no class scores; name the '
                'module that outputs these by source')
        return scores

    return network.get_submodule(name), read


def is_found(network: nn.Module, source: Any) -> bool:
    """Whether a source is to be found, since it names no module.

    Args:
        network (nn.Module): The network.
        source (Any): The source.
    """
    return source == LOGITS and all(name != LOGITS
                                    for name, _ in network.named_modules())


def plain_source(network: nn.Module, source: str) -> str:
    """A source by the name that it had before logits were found.

    Logits that were cached under that name are the same.

    Args:
        network (nn.Module): The network.
        source (str): A module of it, or :data:`LOGITS`.

    Returns:
        str: ``'head.fc'`` for the logits of a classifier whose head is nothing
        else; any other source as it is.
    """
    # No subclasses: theirs may do something to the output.
    is_plain = type(network) is ImageClassifier and type(
        network.head) is LinearClsHead
    return 'head.fc' if is_plain and is_found(network, source) else source


@contextlib.contextmanager
def recorded_scores(network: nn.Module, source: str,
                    record: Callable[[torch.Tensor], Any]) -> Iterator[None]:
    """Record the logits of a network in all its calls within a context.

    Args:
        network (nn.Module): The network.
        source (str): As in :func:`find_source`.
        record (Callable): It is given the logits.
    """
    module, read = find_source(network, source, 'loss')

    def hook(*call: Any) -> None:
        record(read(*call))

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def check_score_source(network: nn.Module, source: Any, key: str,
                       owner: str) -> None:
    """Check that a source is there, or that the logits are found.

    Args:
        network (nn.Module): A network that is trained.
        source (Any): As in the config.
        key (str): Its config key.
        owner (str): The network in messages.

    Raises:
        ConfigError: If it is not.
    """
    if is_found(network, source):
        try:
            score_module(network, owner)
        except ConfigError as error:
            raise ConfigError(
                f'{key.removesuffix(".source")}.{error}') from None
    elif source not in dict(network.named_modules()):
        raise ConfigError(f'{key}: "{source}" is no module of {owner}'
                          f'{class_hint(network)}')


def class_hint(network: nn.Module, front: str = '') -> str:
    """What a message says of the modules that could be meant as logits.

    Args:
        network (nn.Module): The network.
        front (str): The prefix of names in a source. Defaults to ``''``.

    Returns:
        str: Those with as many outputs as there are class scores; empty if
        they are not known.
    """
    outputs, scores = _outputs_by_module(network)
    names = [
        f'{front}{name}' for name, found in outputs.items()
        if found.shape == scores.shape
    ]
    if not names:
        return ''
    return (f"; those with its {scores.shape[1]} class scores: "
            f"{', '.join(names)}; source='{front}{LOGITS}' finds them")


def score_modules(network: nn.Module) -> List[str]:
    """The modules whose output is that of the network, the outermost first.

    They are found by running a copy on the meta device.

    Args:
        network (nn.Module): A network with a ``tensor`` mode.

    Returns:
        list[str]: Their names; empty if it runs on no image that is tried.
    """
    outputs, scores = _outputs_by_module(network)
    return [name for name, found in outputs.items() if found is scores]


def _outputs_by_module(
    network: nn.Module
) -> Tuple[Dict[str, torch.Tensor], Optional[torch.Tensor]]:
    """The outputs that are matrices by module, and that of the network."""
    outputs: Dict[str, torch.Tensor] = {}

    def note(name: str, output: Any) -> None:
        output = class_scores(output)
        if isinstance(output, torch.Tensor) and output.ndim == 2:
            outputs[name] = output

    try:
        trial = copy.deepcopy(network).to('meta').eval()
        for name, module in trial.named_modules():
            if name:
                module.register_forward_hook(
                    lambda _, __, output, name=name: note(name, output))
    except Exception:
        # It is run to help alone.
        return {}, None
    for size in (*_own_sizes(trial), *_SIZES):
        outputs.clear()
        images = torch.empty(2, _channels(trial), size, size, device='meta')
        with contextlib.suppress(Exception), torch.no_grad(), QuickMeta():
            scores = class_scores(trial(images, mode='tensor'))
            if isinstance(scores, torch.Tensor) and scores.ndim == 2:
                order = [name for name, _ in trial.named_modules()]
                return dict(
                    sorted(
                        outputs.items(),
                        key=lambda item: order.index(item[0]))), scores
    return {}, None


def _own_sizes(network: nn.Module) -> List[int]:
    """The image sizes that modules tell, such as those of a ViT."""
    sizes = [getattr(part, 'img_size', None) for part in network.modules()]
    sizes = [
        size[0] if isinstance(size, (list, tuple)) and size else size
        for size in sizes
    ]
    return list(dict.fromkeys(size for size in sizes if type(size) is int))


def _channels(network: nn.Module) -> int:
    """The channels of its images, by its first convolution."""
    return next((part.in_channels
                 for part in network.modules() if isinstance(part, nn.Conv2d)),
                3)


def _scored_in_graph(network: GraphModule) -> Optional[str]:
    """The module of a traced graph whose output meets the labels."""
    nodes = list(network.graph.nodes)
    # (inputs, data_samples, mode), as of all models of OpenMMLab.
    labels = [node for node in nodes if node.op == 'placeholder'][1:2]
    for node in nodes:
        if labels and labels[0] in node.all_input_nodes:
            found = [
                other.target for other in node.all_input_nodes
                if other.op == 'call_module'
            ]
            return found[0] if len(found) == 1 else None
    return None
