# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmdgkd import ConfigError
from mmdgkd.engine.optim.joint_optim_wrapper_dict import (
    JointOptimWrapperDict, _SharedScaler)

CFG = dict(
    constructor='mmrazor.GeneratorOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.5, weight_decay=0.1),
    paramwise_cfg=dict(custom_keys={'distiller': dict(lr_mult=0.1)}),
    generator=dict(optimizer=dict(type='Adam', lr=0.25)))


def make_model():
    torch.manual_seed(0)
    return nn.ModuleDict(
        dict(
            architecture=nn.Linear(3, 2),
            generator=nn.Linear(3, 2),
            distiller=nn.Linear(3, 2)))


def loss_of(model, step):
    inputs = torch.ones(1, 3) * (step + 1)
    return sum((part(inputs)**2).sum() for part in model.values())


def build(model, **kwargs):
    return build_optim_wrapper(model, dict(CFG, **kwargs))


def test_one_backward_is_stepped_by_each_of_its_own():
    ours, bare = make_model(), make_model()
    wrapper = build(ours)
    assert isinstance(wrapper, JointOptimWrapperDict)
    assert list(wrapper.keys()) == ['student', 'generator']
    optimizers = [
        torch.optim.SGD([
            dict(params=bare['architecture'].parameters(), lr=0.5),
            dict(params=bare['distiller'].parameters(), lr=0.05)
        ],
                        lr=0.5,
                        weight_decay=0.1),
        torch.optim.Adam(bare['generator'].parameters(), lr=0.25)
    ]
    for step in range(3):
        with wrapper.optim_context(ours):
            loss = loss_of(ours, step)
        wrapper.update_params(loss)
        loss_of(bare, step).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    for name, value in bare.state_dict().items():
        assert torch.allclose(ours.state_dict()[name], value), name
    assert {'student.lr', 'generator.lr'} <= set(wrapper.get_lr())


def test_gradients_are_accumulated_for_both():
    model = make_model()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    wrapper = build(model, accumulative_counts=2)
    wrapper.initialize_count_status(model, 0, 4)
    wrapper.update_params(loss_of(model, 0))
    assert not wrapper.should_update()
    assert all(
        torch.equal(value, before[key])
        for key, value in model.state_dict().items())
    wrapper.update_params(loss_of(model, 1))
    assert not any(
        torch.equal(value, before[key])
        for key, value in model.state_dict().items())


def test_it_goes_on_from_its_state():
    whole, torn = make_model(), make_model()
    for model in (whole, torn):
        wrapper = build(model)
        for step in range(4):
            if model is torn and step == 2:
                state, wrapper = wrapper.state_dict(), build(model)
                wrapper.load_state_dict(state)
            wrapper.update_params(loss_of(model, step))
    for name, value in whole.state_dict().items():
        assert torch.equal(torn.state_dict()[name], value), name


def test_a_scale_stays_until_all_have_stepped():
    parameters = [nn.Parameter(torch.ones(1)) for _ in range(2)]
    optimizers = [torch.optim.SGD([one], lr=1.) for one in parameters]
    scaler = torch.amp.GradScaler('cpu', init_scale=4., growth_interval=1)
    shared = _SharedScaler(scaler)
    scaler.scale(sum(parameters)).backward()
    for one, optimizer in ((shared, optimizers[1]), (scaler, optimizers[0])):
        one.step(optimizer)
        one.update()
    # Each was divided by the scale that the backward had.
    assert [float(parameter) for parameter in parameters] == [0., 0.]
    assert scaler.get_scale() == shared.get_scale() == 8.


def test_what_is_missing_is_an_error():
    with pytest.raises(
            ConfigError, match='^optim_wrapper.generator: must be a dict'):
        build(make_model(), generator=None)
    with pytest.raises(
            ConfigError,
            match='^optim_wrapper.constructor: .* not Linear; leave it out'):
        build(nn.Linear(1, 1))


def test_what_is_for_both_is_not_for_one():
    for key, value in dict(
            type='AmpOptimWrapper', accumulative_counts=2).items():
        with pytest.raises(
                ConfigError,
                match=f'^optim_wrapper.generator.{key}: .*leave it out'):
            build(
                make_model(), generator=dict(CFG['generator'], **{key: value}))
