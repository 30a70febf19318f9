# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Which test images a trained network gets wrong."""
from typing import Any

import numpy as np


def wrong_images(cfg: Any, name: str, path: str) -> np.ndarray:
    """Look at every test image with one network of a chain.

    Args:
        cfg (Config): The config of the chain.
        name (str): The network.
        path (str): The file of its weights.

    Returns:
        np.ndarray: Booleans, one per test image, in the order of the data.
    """
    import torch
    from mmengine.device import get_device
    from mmengine.registry import DefaultScope
    from mmengine.runner import Runner
    from mmpretrain.registry import MODELS

    from mmdgkd.engine import Chain
    from mmdgkd.engine.stage_config import network_config
    from mmdgkd.models.utils import load_weights
    alone = network_config(cfg, Chain.from_cfg(cfg.chain)[name])
    with DefaultScope.overwrite_default_scope(alone.default_scope):
        model = MODELS.build(alone.model)
        loader = Runner.build_dataloader(alone.test_dataloader)
    load_weights(model, path, 'checkpoint')
    # As in training, so that no image tips over by another rounding.
    model.to(get_device(), memory_format=torch.channels_last).eval()
    wrong = []
    with torch.no_grad():
        for batch in loader:
            wrong += [
                int(sample.pred_label) != int(sample.gt_label)
                for sample in model.test_step(batch)
            ]
    return np.array(wrong)
