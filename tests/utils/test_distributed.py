# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS

from mmdgkd.utils.distributed import fit_to_device


def test_amp_on_the_cpu_is_bfloat16():
    cfg = Config(
        dict(
            optim_wrapper=dict(
                type='AmpOptimWrapper',
                loss_scale='dynamic',
                optimizer=dict(type='SGD', lr=0.1))))
    fit_to_device(cfg)
    model = torch.nn.Linear(2, 2)
    wrapper = cfg.optim_wrapper.to_dict()
    wrapper['optimizer'] = torch.optim.SGD(model.parameters(), lr=0.1)
    wrapper = OPTIM_WRAPPERS.build(wrapper)
    assert isinstance(wrapper, OptimWrapper)
    wrapper.initialize_count_status(model, 0, 1)
    with wrapper.optim_context(model):
        assert model(torch.ones(1, 2)).dtype == torch.bfloat16
    assert model(torch.ones(1, 2)).dtype == torch.float32


def test_one_process_is_left_alone():
    cfg = Config(dict(launcher='none'))
    fit_to_device(cfg)
    assert 'model_wrapper_cfg' not in cfg


def test_several_processes_on_the_cpu():
    cfg = Config(
        dict(launcher='pytorch', model_wrapper_cfg=dict(static_graph=True)))
    fit_to_device(cfg)
    assert cfg.model_wrapper_cfg.device_ids is None
    assert cfg.model_wrapper_cfg.static_graph
