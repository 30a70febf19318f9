# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What a stage that is trained without data needs, and what it refuses."""
from typing import Mapping

from mmengine.config import Config

from mmdgkd.chain.chain import Chain
from mmdgkd.chain.method import Method, register_method
from mmdgkd.errors import ConfigError
from mmdgkd.methods.stage_options import have_hook
from mmdgkd.models.distillers.edges import edges_for
from mmdgkd.utils.config import type_of
from .dense_dafl import DenseDAFL


@register_method
class DAFL(Method):
    """:class:`DenseDAFL`, whose images a generator makes."""

    def prepare_stage(self, stage: Config, chain: Chain, name: str) -> None:
        """Spread the generator's edges over the teachers; add its hook."""
        key = 'generator_distiller'
        if chain.teachers[name] and key in stage.model:
            try:
                stage.model[key] = edges_for(stage.model[key],
                                             chain.teachers[name], chain.names)
            except ConfigError as error:
                raise ConfigError(
                    str(error).replace('model.distiller',
                                       f'model.{key}')) from None
        check_data_free(stage, chain, name)


def check_data_free(stage: Config, chain: Chain, name: str) -> None:
    """See whether what has no images is trained by what makes them.

    Args:
        stage (Config): The config of the stage; a hook is added to it.
        chain (Chain): The chain.
        name (str): The network.

    Raises:
        ConfigError: If it is not, or if the stage wants to remember what its
            teachers say, or to hear them less and less, or has one optimizer
            for student and generator.
    """
    dataset = (stage.get('train_dataloader') or {}).get('dataset') or {}
    while isinstance(dataset.get('dataset'), Mapping):
        dataset = dataset['dataset']
    if type_of(stage.model) != DenseDAFL.__name__:
        if type_of(dataset) == 'NoImages' and not chain[name].ckpt_path:
            raise ConfigError(
                f'chain.networks.{name}.stage.train_dataloader.dataset: '
                'NoImages has nothing that a network could learn from by '
                'itself; give it images, or teachers in a template '
                "model=dict(type='mmrazor.DenseDAFL', ...)")
        return
    if chain.logit_store is not None:
        raise ConfigError(
            'chain.logit_store: must be None for mmrazor.DenseDAFL, whose '
            'images are new in each step, so that nothing that a teacher has '
            'said would be read again')
    if any(
            type_of(hook) == 'GSLRHook'
            for hook in stage.get('custom_hooks') or ()):
        raise ConfigError(
            'custom_hooks: GSLRHook lets labels take the place of the teachers, '
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
    have_hook(stage, 'GeneratedImagesHook')
