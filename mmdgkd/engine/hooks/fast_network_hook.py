# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import gc
from typing import Any, Optional, Union

import torch
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmrazor.registry import HOOKS

from mmdgkd.errors import ConfigError
from mmdgkd.models.utils.networks import compile_network, network_of, peers_of
from mmdgkd.utils.memory import keep_freed_memory

_KEY = 'custom_hooks.FastNetworkHook'


@HOOKS.register_module()
class FastNetworkHook(Hook):
    """Makes the network in training faster, with the same results.

    Args:
        channels_last (bool): Keep its weights in PyTorch's channels_last
            format: the same numbers, summed in another order. Turn it off for
            the few backbones that ``view`` a feature map, such as VGG with its
            classifier. Defaults to True.
        compile (bool | str): Run its backbone and neck through
            ``torch.compile``, in one of its modes if that is named, for each
            size of a batch. On a GPU ``'reduce-overhead'`` records CUDA
            graphs, for networks whose kernels take less time than their
            launches. Other kernels give other last bits. Defaults to False.

    Raises:
        ConfigError: If there is no such mode, or if it records CUDA graphs,
            which write over gradients that wait, where these are accumulated.
    """

    # Before whatever reads the weights.
    priority = 'VERY_HIGH'

    def __init__(self,
                 channels_last: bool = True,
                 compile: Union[bool, str] = False) -> None:
        self._mode: Optional[str] = None
        self._graphs = False
        if isinstance(compile, str):
            from torch._inductor import list_mode_options
            modes = list_mode_options()
            if compile not in modes:
                raise ConfigError(
                    f'{_KEY}.compile: {compile!r} is no mode of torch.compile:'
                    f' {", ".join(modes)}; or use True')
            self._mode = compile
            self._graphs = bool(modes[compile].get('triton.cudagraphs'))
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
        if get_device() == 'cpu':
            keep_freed_memory()
        # Images in page-locked memory, and labels, are sent without waiting
        # for the device; MMPretrain's preprocessors have no such option.
        model.data_preprocessor._non_blocking = True
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
        if self._graphs and _accumulates(runner.optim_wrapper):
            raise ConfigError(
                f'{_KEY}.compile: {self._mode!r} records CUDA graphs, which '
                'write over gradients that are accumulated; use True, or '
                'leave out optim_wrapper.accumulative_counts')
        if self.compile:
            for network in networks:
                compile_network(network, _KEY, self._mode)

    def _before_iter(self, *_: Any, **__: Any) -> None:
        """Let graphs write over what they computed in the last step.

        MMEngine calls it in training, validation and test.
        """
        if self._graphs:
            torch.compiler.cudagraph_mark_step_begin()


def _accumulates(wrapper: Any) -> bool:
    """Whether a step has several backwards."""
    parts = wrapper.values() if isinstance(wrapper,
                                           OptimWrapperDict) else [wrapper]
    return any(part._accumulative_counts > 1 for part in parts)
