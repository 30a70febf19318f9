# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import gc
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmrazor.registry import HOOKS

from mmdgkd.models.utils.networks import compile_network, network_of, peers_of


@HOOKS.register_module()
class FastNetworkHook(Hook):
    """Makes the network in training faster, with the same results.

    Args:
        channels_last (bool): Keep its weights in PyTorch's channels_last
            format: the same numbers, summed in another order. Turn it off for
            the few backbones that ``view`` a feature map, such as VGG with its
            classifier. Defaults to True.
        compile (bool): Run its backbone and neck through ``torch.compile``.
            Defaults to False.
    """

    # Before whatever reads the weights.
    priority = 'VERY_HIGH'

    def __init__(self,
                 channels_last: bool = True,
                 compile: bool = False) -> None:
        self.channels_last = channels_last
        self.compile = compile

    def before_train(self, runner: Any) -> None:
        """Change the network in place; parameters stay the same objects.

        Not earlier: PyTorch initializes tensors of another format in another
        order, so that the same seed would give other weights.
        """
        wrapped = is_model_wrapper(runner.model)
        model = runner.model.module if wrapped else runner.model
        networks = (network_of(model), *peers_of(model))
        if self.channels_last:
            for network in networks:
                network.to(memory_format=torch.channels_last)
            if wrapped:
                # DDP has laid out its buckets in the old format and would
                # write the first gradients to the wrong weights.
                runner.model = None
                gc.collect()
                runner.model = runner.wrap_model(
                    runner.cfg.get('model_wrapper_cfg'), model)
        if self.compile:
            for network in networks:
                compile_network(network, 'custom_hooks.FastNetworkHook')
