# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""DAFL in a chain: stages that are trained without data."""
from typing import Mapping

from mmengine.config import Config

from mmdgkd.chain.chain import Chain
from mmdgkd.chain.method import Method, register_method
from mmdgkd.errors import ConfigError
from mmdgkd.methods.stage_options import ensure_hook
from mmdgkd.models.distillers.edges import edges_for
from mmdgkd.utils.config import type_of
from .dense_dafl import DenseDAFL


@register_method
class DAFL(Method):
    """:class:`DenseDAFL`, whose images a generator makes."""

    def prepare_stage(self, stage: Config, chain: Chain, name: str) -> None:
        """Expand the generator's edges to the teachers; add its hook.

        Raises:
            ConfigError: If a network would be trained on no images; or for
                options that :class:`DenseDAFL` does not support.
        """
        key = 'generator_distiller'
        if chain.teachers[name] and key in stage.model:
            try:
                stage.model[key] = edges_for(stage.model[key],
                                             chain.teachers[name], chain.names,
                                             name)
            except ConfigError as error:
                raise ConfigError(
                    str(error).replace('model.distiller',
                                       f'model.{key}')) from None
        if type_of(stage.model) != DenseDAFL.__name__:
            _check_images(stage, chain, name)
            return
        if chain.logit_store is not None:
            raise ConfigError(
                'chain.logit_store: must be None for mmrazor.DenseDAFL, whose '
                'images are new in each step, so that a lookup would never '
                'hit')
        _check_options(stage)
        ensure_hook(stage, 'GeneratedImagesHook')


def _check_images(stage: Config, chain: Chain, name: str) -> None:
    """Refuse :class:`NoImages` without a generator."""
    dataset = (stage.get('train_dataloader') or {}).get('dataset') or {}
    while isinstance(dataset.get('dataset'), Mapping):
        dataset = dataset['dataset']
    if type_of(dataset) == 'NoImages' and not chain[name].ckpt_path:
        raise ConfigError(
            f'chain.networks.{name}.stage.train_dataloader.dataset: '
            'NoImages has nothing that a network could learn from by '
            'itself; give it images, or teachers in a template '
            "model=dict(type='mmrazor.DenseDAFL', ...)")


def _check_options(stage: Config) -> None:
    """Refuse hooks and optimizers that do not fit :class:`DenseDAFL`."""
    if any(
            type_of(hook) == 'GSLRHook'
            for hook in stage.get('custom_hooks') or ()):
        raise ConfigError(
            'custom_hooks: GSLRHook lets labels take the place of teachers, '
            'but images of mmrazor.DenseDAFL have none; leave it out')
    if 'constructor' not in (stage.get('optim_wrapper') or {}):
        raise ConfigError(
            'optim_wrapper.constructor: is missing, so that one optimizer '
            'would train student and generator; should be '
            "'mmrazor.GeneratorOptimWrapperConstructor', with "
            'optim_wrapper.generator=dict(optimizer=...)')
    schedulers = stage.get('param_scheduler')
    parts = {'student', 'generator'}
    if isinstance(
            schedulers,
            Mapping) and 'type' not in schedulers and set(schedulers) != parts:
        raise ConfigError(
            f'param_scheduler: has {", ".join(schedulers)}, but must have '
            f'{" and ".join(sorted(parts))}, or be one for both; [] leaves a '
            'learning rate as it is')
