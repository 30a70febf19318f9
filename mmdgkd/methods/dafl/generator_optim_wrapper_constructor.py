# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, Dict, Optional

from mmengine.optim import DefaultOptimWrapperConstructor
from mmrazor.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from mmdgkd.engine.optim.joint_optim_wrapper_dict import JointOptimWrapperDict
from mmdgkd.errors import ConfigError


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GeneratorOptimWrapperConstructor:
    """An optimizer for a generator, and one for the student.

    In a config ``generator`` is added to the options of the student::

        optim_wrapper = dict(
            constructor='mmrazor.GeneratorOptimWrapperConstructor',
            optimizer=dict(type='SGD', lr=0.1),
            generator=dict(optimizer=dict(type='Adam', lr=1e-3)))

    ``clip_grad`` and the like are for both, unless ``generator`` has its own;
    ``type``, ``accumulative_counts``, ``loss_scale`` and ``dtype`` are for
    both. A ``param_scheduler`` is for both, too;
    ``dict(student=[...], generator=[])`` has one for each, or none.

    Args:
        optim_wrapper_cfg (dict): The config, as above.
        paramwise_cfg (dict, optional): As for MMEngine's default constructor,
            for all but the generator. Defaults to None.

    Raises:
        ConfigError: If there is no optimizer for the generator, or if an
            option for both is set for it alone.
    """

    def __init__(self,
                 optim_wrapper_cfg: Dict,
                 paramwise_cfg: Optional[Dict] = None) -> None:
        common = dict(optim_wrapper_cfg)
        generator = common.pop('generator', None)
        if not isinstance(generator, dict) or 'optimizer' not in generator:
            raise ConfigError(
                'optim_wrapper.generator: must be a dict with the optimizer '
                'of the generator, such as '
                "dict(optimizer=dict(type='Adam', lr=1e-3))")
        for key in ('type', 'accumulative_counts', 'loss_scale', 'dtype'):
            if key in generator and generator[key] != common.get(key):
                raise ConfigError(
                    f'optim_wrapper.generator.{key}: {generator[key]!r}; one '
                    'backward is for both, so that it should be that of the '
                    f'student, {common.get(key)!r}; leave it out')
        generator = dict(common, **generator)
        self._student = DefaultOptimWrapperConstructor(common, paramwise_cfg)
        self._generator = DefaultOptimWrapperConstructor(
            generator, generator.pop('paramwise_cfg', None))

    def __call__(self, model: nn.Module) -> JointOptimWrapperDict:
        """Build both.

        Args:
            model (nn.Module): An algorithm with a ``generator``.

        Raises:
            ConfigError: If it has none.
        """
        model = getattr(model, 'module', model)
        parts: Dict[str, Any] = dict(model.named_children())
        generator = parts.pop('generator', None)
        if generator is None:
            raise ConfigError(
                'optim_wrapper.constructor: GeneratorOptimWrapperConstructor '
                'is for an algorithm with a generator, such as '
                f'mmrazor.DenseDAFL, not {type(model).__name__}; leave it out')
        # With their names, for paramwise_cfg.
        return JointOptimWrapperDict(
            student=self._student(nn.ModuleDict(parts)),
            generator=self._generator(generator))
