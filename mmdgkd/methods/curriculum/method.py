# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The curriculum in a chain: its hook needs the order of the teachers."""
from mmengine.config import Config

from mmdgkd.chain.chain import Chain
from mmdgkd.chain.method import Method, register_method
from mmdgkd.utils.config import type_of
from .curriculum_hook import CurriculumHook


@register_method
class Curriculum(Method):
    """:class:`CurriculumHook`, from the smallest teacher to the largest."""

    def prepare_stage(self, stage: Config, chain: Chain, name: str) -> None:
        """Give the hook the teachers in the order of the chain."""
        hooks = list(stage.get('custom_hooks') or ())
        for i, hook in enumerate(hooks):
            if type_of(hook) == CurriculumHook.__name__ and chain.teachers[
                    name] and hook.get('teachers') is None:
                hooks[i] = dict(hook, teachers=list(chain.teachers[name]))
                stage.custom_hooks = hooks
