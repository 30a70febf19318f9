# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""BYOT in a chain: auxiliary heads that only the training has."""
from dataclasses import replace
from typing import Any, Mapping, Optional, Tuple

from mmdgkd.chain.entries import Network, read_entry
from mmdgkd.chain.method import CheckedStage, Method, register_method
from mmdgkd.errors import ConfigError
from mmdgkd.utils.config import type_of

# MMRazor's own.
_ALGORITHM = 'SelfDistill'


@register_method
class BYOT(Method):
    """MMRazor's ``SelfDistill``, whose heads are for the training alone.

    Be Your Own Teacher (Zhang et al., ICCV 2019, arXiv 1905.08094).
    """

    def chain_entry(self, name: str, entry: Mapping[str, Any],
                    before: Mapping[str, Network]) -> Optional[Network]:
        """Take the network out of the algorithm around it.

        Raises:
            ConfigError: If the algorithm has no network.
        """
        model = entry.get('model')
        if not isinstance(model, Mapping) or type_of(model) != _ALGORITHM:
            return None
        network = read_entry(name, entry)
        model = network.model
        if not isinstance(model.get('architecture'), Mapping):
            raise ConfigError(
                f'chain.networks.{name}.model.architecture: is missing; it '
                'must be the config of an MMPretrain model')
        return replace(network, model=model['architecture'], trainer=model)

    def check(self, stage: CheckedStage) -> None:
        """Refuse a task loss of weight 0, of which the heads are a part.

        They would not be trained, without an error.
        """
        weight = stage.config.model.get('task_loss_weight')
        if stage.network.trainer and weight == 0:
            raise ConfigError(
                f'model.task_loss_weight: 0; the heads in {stage.key}.model '
                "are trained by the network's own losses; should be above 0")

    def objective(self, model: Mapping[str, Any]) -> Optional[Tuple[str, str]]:
        """Its auxiliary heads are distilled from the last one."""
        if type_of(model) != _ALGORITHM:
            return None
        return 'BYOT', 'its own last layer, by auxiliary heads'
