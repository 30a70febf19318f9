# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, Dict

from mmengine.hooks import Hook


class DataOnlyHook(Hook):
    """Takes out of a checkpoint what MMEngine would execute.

    That is a config in its meta, which a Runner runs when it resumes.
    """

    priority = 'HIGHEST'

    def after_load_checkpoint(self, runner: Any, checkpoint: Dict) -> None:
        """Take it out."""
        if isinstance(checkpoint.get('meta'), dict):
            checkpoint['meta'].pop('config', None)
