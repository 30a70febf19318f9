# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from functools import partial
from typing import Any, Dict, Iterable, Iterator, Mapping, Optional, Tuple

import torch
import torch.nn.functional as F
from mmengine.dist import broadcast
from mmrazor.models.algorithms import BaseAlgorithm
from mmrazor.registry import MODELS
from torch import nn
from torch.nn.utils.prune import L1Unstructured

from mmdgkd.errors import ConfigError
from mmdgkd.models.connectors.standardize_connector import standardize

CRITERIA = ('context', 'magnitude')


def context_kd_loss(preds_S: torch.Tensor,
                    preds_T: Mapping[str, torch.Tensor],
                    tau: float = 2.0,
                    reverse: float = 0.0) -> torch.Tensor:
    """The context-aware KD loss (CA-KLD), the mean over the teachers.

    For each teacher ``tau^2 KL(softmax(z_T / tau) || softmax(z_S / tau))`` of
    logits z that are standardized over the classes. One-shot pruning by
    context-aware KD (arXiv 2511.16653); its code is not known: the form is a
    reading of "CA-KLD with logit normalization".

    Args:
        preds_S (torch.Tensor): Logits of the network, shape (N, C).
        preds_T (Mapping[str, torch.Tensor]): Those of the teachers, by name.
        tau (float): Temperature. Defaults to 2.0 (our choice).
        reverse (float): The share of KL(network || teacher), which a loss of a
            like name has. Defaults to 0.0.

    Returns:
        torch.Tensor: The mean over the batch, a scalar; 0 without teachers.
    """
    own = F.log_softmax(standardize(preds_S.float()) / tau, 1)
    total = own.sum() * 0
    for logits in preds_T.values():
        other = F.log_softmax(standardize(logits.float()) / tau, 1)
        for share, log_q, log_p in ((1 - reverse, own, other), (reverse, other,
                                                                own)):
            if share:
                total = total + share * F.kl_div(
                    log_q, log_p, reduction='batchmean',
                    log_target=True) / len(preds_T)
    return tau**2 * total


@MODELS.register_module()
class OneShotPruned(BaseAlgorithm):
    """A network of which single weights are pruned once, before its training.

    One-shot pruning by context-aware KD (arXiv 2511.16653): in one pass over
    the training data the gradients of ``alpha * CA-KLD + (1 - alpha) * CE``
    are summed, with the teachers of the stage as the context; a weight w is as
    important as ``|w * gradient|``. The least important ones of all
    convolutions and linear layers together, by one threshold, become 0 and
    stay so. Then the network is trained as any other, with teachers or
    without.

    The masks are those of PyTorch's ``torch.nn.utils.prune``: MMRazor's
    mutators prune channels. Its hooks on modules are not used: they rename
    the weights, and make a network that has run impossible to copy. Here a
    pruned weight is 0 and gets no gradient, so that SGD and Adam leave it as
    it is; names, recorders and checkpoints stay those of the network. Layers
    that are frozen are not pruned.

    Args:
        architecture (dict | BaseModel): The network, no other algorithm.
        sparsity (float): The share of these weights that is pruned. Defaults
            to 0.9.
        criterion (str): ``'context'``, or ``'magnitude'``: ``|w|``, for which
            no data is read. Defaults to ``'context'``.
        alpha (float): The share of CA-KLD; 0 without teachers. Defaults to 0.5
            (our choice).
        tau (float): Its temperature. Defaults to 2.0 (our choice).
        reverse (float): See :func:`context_kd_loss`. Defaults to 0.0.
        batches (int, optional): Batches of the pass. Defaults to None: all.
        **kwargs: ``data_preprocessor`` and ``init_cfg`` of MMRazor's
            ``BaseAlgorithm``.

    Attributes:
        layers (tuple[str]): The names of the layers whose weights are pruned.
        is_pruned (torch.Tensor): A buffer, uint8: 1 once the masks are drawn.

    Raises:
        ConfigError: For a value out of its range, or if the network is an
            algorithm itself or has no such layers.
    """

    def __init__(self,
                 architecture: Any,
                 sparsity: float = 0.9,
                 criterion: str = 'context',
                 alpha: float = 0.5,
                 tau: float = 2.0,
                 reverse: float = 0.0,
                 batches: Optional[int] = None,
                 **kwargs: Any) -> None:
        for key, value in dict(
                sparsity=sparsity, alpha=alpha, reverse=reverse).items():
            top = value < 1 if key == 'sparsity' else value <= 1
            if isinstance(value, bool) or not (value >= 0 and top):
                raise ConfigError(
                    f'model.{key}: {value!r} must be 0 or more, and '
                    f'{"below" if key == "sparsity" else "at most"} 1')
        if criterion not in CRITERIA:
            raise ConfigError(f'model.criterion: {criterion!r} is none of '
                              f'{", ".join(CRITERIA)}')
        if not tau > 0:
            raise ConfigError(f'model.tau: {tau!r} must be above 0')
        if batches is not None and (type(batches) is not int or batches < 1):
            raise ConfigError(f'model.batches: {batches!r} must be an integer,'
                              ' 1 or more, or None')
        super().__init__(architecture=architecture, **kwargs)
        if isinstance(self.architecture, BaseAlgorithm):
            raise ConfigError(
                'model.architecture.type: '
                f'{type(self.architecture).__name__} is an algorithm itself; '
                'should be a network')
        self.sparsity, self.criterion = sparsity, criterion
        self.alpha, self.tau, self.reverse = alpha, tau, reverse
        self.batches = batches
        self.layers = tuple(
            name for name, module in self.architecture.named_modules()
            if isinstance(module, (nn.Conv2d,
                                   nn.Linear)) and module.weight.requires_grad)
        if not self.layers:
            raise ConfigError('model.architecture: has no convolution and no '
                              'linear layer that is trained')
        self.register_buffer('is_pruned', torch.zeros((), dtype=torch.uint8))
        for name, weight in self.weights():
            self.register_buffer(
                _key(name), torch.ones(weight.shape, dtype=torch.bool))

    def weights(self) -> Iterator[Tuple[str, nn.Parameter]]:
        """The layers and their weights."""
        for name in self.layers:
            yield name, self.architecture.get_submodule(name).weight

    def mask(self, layer: str) -> torch.Tensor:
        """The mask of a layer, bool of the shape of its weight.

        Args:
            layer (str): Its name.
        """
        return getattr(self, _key(layer))

    def mask_gradients(self) -> None:
        """Give what is pruned no gradient; before a training, once.

        Not in the constructor: a copy does not have the hooks of its original.
        """
        for name, weight in self.weights():
            weight.register_hook(partial(self._masked, _key(name)))

    def gradients(self, batches: Iterable[Tuple[torch.Tensor, Any]],
                  teachers: Mapping[str, nn.Module]) -> Dict[str, Any]:
        """Sum the gradients of the criterion's loss over batches.

        The network is in eval mode; its weights, gradients and statistics are
        left as they were. The loss of a batch is a mean: images of a smaller
        one weigh more.

        Args:
            batches (Iterable): Preprocessed images, shape (N, C, H, W), and
                their data samples.
            teachers (Mapping[str, nn.Module]): The context, by name.

        Returns:
            dict[str, torch.Tensor]: By layer.
        """
        alpha = self.alpha if teachers else 0.
        network, was_training = self.architecture, self.architecture.training
        weights = [weight for _, weight in self.weights()]
        found = [torch.zeros_like(weight) for weight in weights]
        network.eval()
        for inputs, samples in batches:
            loss, _ = network.parse_losses(
                network(inputs, samples, mode='loss'))
            loss = (1 - alpha) * loss
            if alpha:
                with torch.no_grad():
                    context = {
                        name: teacher(inputs, mode='tensor')
                        for name, teacher in teachers.items()
                    }
                logits = network(inputs, mode='tensor')
                loss = loss + alpha * context_kd_loss(logits, context,
                                                      self.tau, self.reverse)
            # Not backward(): DDP and others wait for gradients of the network.
            gradients = torch.autograd.grad(loss, weights, allow_unused=True)
            for total, gradient in zip(found, gradients):
                if gradient is not None:
                    total += gradient
        network.train(was_training)
        return dict(zip(self.layers, found))

    @torch.no_grad()
    def prune(self, scores: Mapping[str, torch.Tensor]) -> None:
        """Draw the masks by one threshold, and set what is pruned to 0.

        Args:
            scores (Mapping[str, torch.Tensor]): The importance of each weight,
                0 or more, by layer.

        Raises:
            ConfigError: If one is not finite.
        """
        every = torch.cat([scores[name].flatten() for name in self.layers])
        if not every.isfinite().all():
            raise ConfigError(
                'model.criterion: the importance of a weight is not finite; '
                'begin from a trained network by init_from, and look at its '
                'loss')
        kept = L1Unstructured(self.sparsity).compute_mask(
            every, torch.ones_like(every))
        # Equal scores may be chosen in another order by another GPU.
        broadcast(kept)
        sizes = [scores[name].numel() for name in self.layers]
        for (name, weight), part in zip(self.weights(), kept.split(sizes)):
            self.mask(name).copy_(part.view_as(weight))
            # No product: it would make a negative zero of a negative weight.
            weight.masked_fill_(~self.mask(name), 0)
        self.is_pruned.fill_(1)

    def kept(self) -> Dict[str, Tuple[int, int]]:
        """How many weights of each layer are left, and how many it has."""
        return {
            name: (int(self.mask(name).sum()), weight.numel())
            for name, weight in self.weights()
        }

    def _masked(self, key: str, gradient: torch.Tensor) -> torch.Tensor:
        """The gradient of a weight; none of what is pruned."""
        return gradient * getattr(self, key)


def _key(layer: str) -> str:
    """The name of the buffer of a layer's mask: it has no dots."""
    return 'kept_' + layer.replace('.', '-')
