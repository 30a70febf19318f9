# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""CRD in a chain: its loss needs the class of each sample."""
from typing import Any, Mapping

from mmengine.config import Config

from mmdgkd.chain.chain import Chain
from mmdgkd.chain.method import Method, register_method
from mmdgkd.errors import ConfigError
from mmdgkd.methods.stage_options import ensure_hook
from mmdgkd.utils.config import type_of
from .bank_crd_loss import BankCRDLoss


@register_method
class CRD(Method):
    """:class:`BankCRDLoss`, with negatives from the training data."""

    def prepare_stage(self, stage: Config, chain: Chain, name: str) -> None:
        """Add the hook that gives the loss the classes of the data."""
        if chain.teachers[name]:
            add_sample_classes(stage)


def add_sample_classes(stage: Config) -> None:
    """Add :class:`SampleClassesHook` to a stage with :class:`BankCRDLoss`.

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
    ensure_hook(stage, 'SampleClassesHook', before='InitFromHook')


def _has_bank_crd(distiller: Any) -> bool:
    """Whether a distiller, or one of its edges, has such a loss."""
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
