# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What a loss that contrasts the samples of a data set needs of a stage."""
from typing import Any, Mapping, Optional

from mmengine.config import Config
from torch import nn

from mmdgkd.chain.chain import Chain
from mmdgkd.chain.method import CheckedStage, Method, register_method
from mmdgkd.errors import ConfigError
from mmdgkd.methods.stage_options import have_hook
from mmdgkd.utils.config import type_of
from .bank_crd_loss import BankCRDLoss


def add_sample_classes(stage: Config) -> None:
    """Have a stage with :class:`BankCRDLoss` tell it the classes of its data.

    Args:
        stage (Config): The config of the stage; it is changed.

    Raises:
        ConfigError: If its processes would have batches of different sizes.
    """
    if not _has_bank_crd(stage.model.get('distiller')):
        return
    sampler = (stage.get('train_dataloader') or {}).get('sampler') or {}
    inner = sampler.get('sampler') or sampler
    if (stage.get('launcher', 'none') != 'none'
            and inner.get('round_up', True) is False):
        raise ConfigError(
            'train_dataloader.sampler.round_up: False gives some processes a '
            'smaller batch, whose features BankCRDLoss could not gather; '
            'leave it out')
    have_hook(stage, 'SampleClassesHook')


def check_sample_classes(algorithm: nn.Module,
                         why_no_class: Optional[str]) -> None:
    """See, before any training, whether such a loss gets its classes.

    Args:
        algorithm (nn.Module): That of a stage.
        unsaid (str, optional): Why its data does not say the class of its
            first image; None if it does.

    Raises:
        ConfigError: If it does not, and one of the losses asks for it.
    """
    if why_no_class and any(
            hasattr(module, 'learn_classes')
            for module in algorithm.modules()):
        raise ConfigError(why_no_class)


def _has_bank_crd(distiller: Any) -> bool:
    """Whether one of its losses, or those of its edges, does."""
    if not isinstance(distiller, Mapping):
        return False
    edges = distiller.get('edges')
    parts = [distiller]
    parts += edges.values() if isinstance(edges, Mapping) else ()
    for part in parts:
        losses = part.get('distill_losses') if isinstance(part,
                                                          Mapping) else None
        if isinstance(losses, Mapping) and any(
                isinstance(loss, Mapping)
                and type_of(loss) == BankCRDLoss.__name__
                for loss in losses.values()):
            return True
    return False


@register_method
class CRD(Method):
    """:class:`BankCRDLoss`, which contrasts the samples of the data set."""

    def prepare_stage(self, stage: Config, chain: Chain, name: str) -> None:
        """Add the hook that tells the loss the classes of the data."""
        if chain.teachers[name]:
            add_sample_classes(stage)

    def check(self, stage: CheckedStage) -> None:
        """Without its classes the loss would fail at the first step."""
        for algorithm in stage.algorithms:
            check_sample_classes(algorithm, stage.data.why_no_class)
