# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A method that lives outside of the package, as in ``docs/new_method.md``.

``ToyScaled`` trains a network whose logits are scaled by a learned number. It
is here to show that a chain plans, trains, resumes, exports and reports a
method that ``mmdgkd`` does not name.
"""
import copy
from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmrazor.models.algorithms import BaseAlgorithm
from mmrazor.registry import HOOKS, MODELS
from torch import nn

from mmdgkd import ConfigError
from mmdgkd.chain.chain import Chain, Network
from mmdgkd.chain.method import CheckedStage, Method, register_method
from mmdgkd.models.utils.networks import static_form
from mmdgkd.utils.config import algorithm_types


@MODELS.register_module(force=True)
class ToyScaled(BaseAlgorithm):
    """A network whose last layer is multiplied by a learned number.

    Args:
        architecture (dict | BaseModel): The network, with ``head.fc``.
        start (float): The number at the beginning, above 0. Defaults to 1.
        **kwargs: Those of ``BaseAlgorithm``.
    """

    def __init__(self,
                 architecture: Any,
                 start: float = 1.,
                 **kwargs: Any) -> None:
        super().__init__(architecture=architecture, **kwargs)
        self.scale = nn.Parameter(torch.tensor(float(start)))
        self.steps = 0
        self.architecture.head.fc.register_forward_hook(self._scaled)

    def _scaled(self, layer: nn.Module, inputs: Tuple,
                logits: torch.Tensor) -> torch.Tensor:
        # No lambda: a deep copy of the algorithm is to use its own number.
        return logits * self.scale

    def scaled_network(self) -> nn.Module:
        """The network alone, as a copy with the number in its last layer."""
        network = copy.deepcopy(self.architecture)
        layer = network.head.fc
        layer._forward_hooks.clear()
        with torch.no_grad():
            layer.weight.mul_(self.scale.to(layer.weight.device))
            layer.bias.mul_(self.scale.to(layer.bias.device))
        return network


@HOOKS.register_module(force=True)
class ToyHook(Hook):
    """Counts the steps of a :class:`ToyScaled`."""

    def after_train_iter(self, runner: Any, batch_idx: int,
                         **kwargs: Any) -> None:
        """Count one."""
        model = runner.model
        model = getattr(model, 'module', model)
        getattr(model, 'architecture', model).steps = runner.iter + 1


@static_form.register
def _(algorithm: ToyScaled) -> nn.Module:
    return algorithm.scaled_network()


@register_method
class Toy(Method):
    """Adapt :class:`ToyScaled` to chains."""

    algorithms = (ToyScaled, )

    def prepare_stage(self, stage: Config, chain: Chain, name: str) -> None:
        """Add the hook that counts its steps."""
        if 'ToyScaled' in algorithm_types(stage.model):
            stage.custom_hooks = [
                *(stage.get('custom_hooks') or ()),
                dict(type='mmrazor.ToyHook')
            ]

    def stand_ins(
        self,
        network: Network,
        model: nn.Module,
        weights: Optional[Dict[str, torch.Tensor]] = None
    ) -> Tuple[nn.Module, ...]:
        """The network itself."""
        return ((model.scaled_network(), ) if isinstance(model, ToyScaled) else
                ())

    def check(self, stage: CheckedStage) -> None:
        """A number of 0 would train nothing, without an error."""
        if isinstance(stage.model, ToyScaled) and not stage.network.model.get(
                'start', 1.) > 0:
            start = stage.network.model['start']
            raise ConfigError(f'{stage.key}.model.start: {start} must be '
                              'above 0')

    def export_extra(self, model: nn.Module, images: torch.Tensor, path: str,
                     save_as: str) -> Optional[str]:
        """The number, as text."""
        if not isinstance(model, ToyScaled):
            return None
        with open(f'{path}.txt', 'w') as file:
            file.write(str(float(model.scale)))
        return f'{path}.txt: the scale'

    def objective(self, model: Mapping[str, Any]) -> Optional[Tuple[str, str]]:
        """Its name in the report."""
        if 'ToyScaled' not in algorithm_types(model):
            return None
        return 'toy scaling', 'a number of its own'


__all__: List[str] = ['Toy', 'ToyHook', 'ToyScaled']
