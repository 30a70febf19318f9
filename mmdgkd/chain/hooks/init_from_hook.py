# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Any, Dict, Optional

from mmengine.hooks import Hook
from mmrazor.registry import HOOKS

from mmdgkd.models.utils.networks import network_cfg, network_of, unwrapped
from mmdgkd.models.utils.weights import load_weights


@HOOKS.register_module()
class InitFromHook(Hook):
    """Begins a training with the weights of another network of the chain.

    A chain adds it for ``init_from``. Unlike an ``init_cfg`` it loads into the
    network within a pruning or quantizing algorithm, and loads strictly.

    Args:
        source (str): The name of the other network.
        ckpt_path (str): The file of its weights.
        ckpt_key (str, optional): Their key in the file. Defaults to None: see
            :func:`state_dict_of`.
        picked (dict, optional): Which classes of the file the network has, see
            :func:`pick_classes`. Defaults to None: those of the file.
    """

    # Before all hooks that read the weights.
    priority = 'VERY_HIGH'

    def __init__(self,
                 source: str,
                 ckpt_path: str,
                 ckpt_key: Optional[str] = None,
                 picked: Optional[Dict] = None) -> None:
        self.source = source
        self.ckpt_path = ckpt_path
        self.ckpt_key = ckpt_key
        self.picked = picked

    def before_train(self, runner: Any) -> None:
        """Load the weights, unless the training was resumed.

        Raises:
            ConfigError: If the file is missing, unreadable or does not fit.
        """
        if runner.iter:
            return
        load_weights(
            network_of(unwrapped(runner.model)), self.ckpt_path,
            'custom_hooks.InitFromHook', self.ckpt_key, self.picked,
            self.picked and network_cfg(runner.cfg.model))
