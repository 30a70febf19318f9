# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import math
from typing import Any, Dict, List, Optional, Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor, BaseModel, ModuleList
from mmengine.structures import BaseDataElement
from mmrazor.registry import MODELS
from torch import nn

from mmdgkd.models.utils.heads import activation_of
from mmdgkd.models.utils.networks import network_of


def mean_prediction(logits: Sequence[torch.Tensor],
                    activation: str = 'softmax') -> torch.Tensor:
    """The mean prediction of several networks.

    The ensemble of the generations of Born Again Neural Networks (Furlanello
    et al., ICML 2018, arXiv 1805.04770): the mean of their probabilities.

    Args:
        logits (Sequence[torch.Tensor]): The logits of each, shape (N, C).
        activation (str): ``'softmax'``, or ``'sigmoid'`` for labels that do
            not exclude each other. Defaults to ``'softmax'``.

    Returns:
        torch.Tensor: The logarithm of the mean, or of its odds, shape (N, C):
        logits again.
    """
    stacked = torch.stack([one.float() for one in logits])
    if activation == 'sigmoid':
        return (F.logsigmoid(stacked).logsumexp(0) -
                F.logsigmoid(-stacked).logsumexp(0))
    log_probs = stacked.log_softmax(2)
    return log_probs.logsumexp(0) - math.log(len(log_probs))


class _EachPreprocessor(BaseDataPreprocessor):
    """A batch as each of several networks has it."""

    def __init__(self, preprocessors: Sequence[nn.Module]) -> None:
        super().__init__()
        self.preprocessors = ModuleList(preprocessors)

    def forward(self, data: Dict, training: bool = False) -> Dict:
        found = [one(dict(data), training) for one in self.preprocessors]
        return dict(found[0], inputs=[each['inputs'] for each in found])


@MODELS.register_module()
class MeanOfNetworks(BaseModel):
    """The mean prediction of several trained networks, for tests alone.

    Args:
        networks (Sequence[dict]): Their model configs. Each has its inputs
            from its own data preprocessor.
    """

    def __init__(self, networks: Sequence[Dict]) -> None:
        built = [MODELS.build(cfg) for cfg in networks]
        super().__init__(
            _EachPreprocessor([one.data_preprocessor for one in built]))
        self.networks = ModuleList(built)

    def forward(self,
                inputs: Sequence[torch.Tensor],
                data_samples: Optional[List[BaseDataElement]] = None,
                mode: str = 'tensor') -> Any:
        """The mean prediction, as logits or written into the samples.

        Args:
            inputs (Sequence[torch.Tensor]): A preprocessed batch for each
                network, shape (N, C, H, W).
            data_samples (list[DataSample], optional): Defaults to None.
            mode (str): ``'tensor'`` or ``'predict'``.
        """
        network = network_of(self.networks[0])
        logits = mean_prediction([
            one(batch, mode='tensor')
            for one, batch in zip(self.networks, inputs)
        ],
                                 activation_of(network) or 'softmax')
        if mode == 'tensor':
            return logits
        return network.head._get_predictions(logits, data_samples)
