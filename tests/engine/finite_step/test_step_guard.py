# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import copy
from types import SimpleNamespace

import pytest
import torch
from mmengine.device import get_device
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from mmdgkd.engine.finite_step.bad_step import dump_of
from mmdgkd.engine.finite_step.step_guard import StepGuard


class Net(nn.Module):
    """As MMEngine calls models."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        output = self.body(inputs)
        return dict(
            loss=output.square().mean(), noted=torch.tensor(
                float('nan'))) if mode == 'loss' else output


OPTIMIZERS = [
    lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1),
    lambda p: torch.optim.AdamW(p, 0.1),
    lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, fused=True),
    lambda p: torch.optim.AdamW(p, 0.1, fused=True),
]


def train(net, optimizer, batches, guard=None):
    """Train, and return which steps were bad."""
    found = []
    for batch in batches:
        if guard:
            guard.begin()
        device = next(net.parameters()).device
        loss = net(inputs=batch.to(device), mode='loss')['loss']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if guard:
            found.append(guard.end(True))
    return [step.is_bad() for step in found]


def state_of(net, optimizer):
    values = list(net.state_dict().values())
    for item in optimizer.state_dict()['state'].values():
        values += [torch.as_tensor(value) for value in item.values()]
    return [value.clone() for value in values]


def batches(*bad):
    torch.manual_seed(1)
    found = [torch.randn(5, 4) for _ in range(5)]
    for i in bad:
        found[i][2, 1] = float('inf')
    return found


@pytest.mark.parametrize('make', OPTIMIZERS)
@pytest.mark.parametrize('on_host', [True, False])
@pytest.mark.parametrize('bad', [(1, 2, 4), (0, 2, 4)])
def test_bad_steps_leave_no_trace(make, on_host, bad, device='cpu'):
    """Nor the first one, before which the optimizer has no state."""
    torch.manual_seed(0)
    net = Net().to(device)
    other = copy.deepcopy(net)
    optimizer, plain = make(net.parameters()), make(other.parameters())
    guard = StepGuard(net, [optimizer], max_skips=5)
    guard.on_host = on_host
    found = train(net, optimizer, batches(*bad), guard)
    assert found == [i in bad for i in range(5)]
    train(other, plain, [batches()[i] for i in range(5) if i not in bad])
    assert all(
        map(torch.equal, state_of(net, optimizer), state_of(other, plain)))


@pytest.mark.gpu
@pytest.mark.parametrize('kind', [0, 2, 3])
def test_where_the_training_is(kind):
    """Not AdamW's own counter, which is on the CPU and goes on."""
    test_bad_steps_leave_no_trace(
        OPTIMIZERS[kind], False, (0, 2, 4), device=get_device())


@pytest.mark.parametrize('on_host', [True, False])
def test_after_too_many_nothing_counts(on_host):
    net = Net()
    optimizer = OPTIMIZERS[0](net.parameters())
    guard = StepGuard(net, [optimizer], max_skips=1)
    guard.on_host = on_host
    train(net, optimizer, batches()[:1], guard)
    before = state_of(net, optimizer)
    found = train(net, optimizer, batches(1, 2)[1:], guard)
    # What comes after is good, but the host may learn of it too late.
    assert found == [True, True, True, True]
    assert all(map(torch.equal, before, state_of(net, optimizer)))


class Reads(TorchDispatchMode):
    """Counts how often a number is read off the device."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in (torch.ops.aten._local_scalar_dense,
                                   torch.ops.aten.is_nonzero,
                                   torch.ops.aten.nonzero):
            self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize('kind', [0, 2])
def test_the_device_is_not_waited_for(kind):
    net = Net()
    optimizer = OPTIMIZERS[kind](net.parameters())
    counts = {}
    for on_host in (False, True):
        guard = StepGuard(net, [optimizer], max_skips=5)
        guard.on_host = on_host
        with Reads() as reads:
            for batch in batches(1):
                guard.begin()
                net(inputs=batch, mode='loss')['loss'].backward()
                optimizer.step()
                guard.end(True)
        counts[on_host] = reads.count
        guard.clean_up()
    assert counts[False] == 0 < counts[True]


class Calls(TorchDispatchMode):
    """Counts the operators that are called, but for views."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize('fused', [True, False])
def test_more_layers_are_no_more_kernels(fused):
    """Each is launched by the host, which a small network waits for."""
    counts = []
    for num in (2, 20):
        net = nn.Sequential(*[
            nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
            for _ in range(num)
        ])
        optimizer = torch.optim.SGD(
            net.parameters(),
            0.1,
            momentum=0.9,
            foreach=not fused,
            fused=fused)
        guard = StepGuard(net, [optimizer], max_skips=5)
        guard.on_host = False
        for _ in range(3):  # the third has all its memory
            guard.begin()
            net(torch.randn(3, 4)).sum().backward()
            with Calls() as calls:
                optimizer.step()
                guard.end(True)
        counts.append(calls.count)
    assert counts[0] == counts[1]


class Replacing(torch.optim.Optimizer):
    """Its state is another tensor after each step."""

    def __init__(self, params):
        super().__init__(params, dict(lr=0.1))

    @torch.no_grad()
    def step(self, closure=None):
        for parameter in self.param_groups[0]['params']:
            state = self.state[parameter]
            state['sum'] = state.get('sum', 0) + parameter.grad
            parameter -= 0.1 * state['sum']


def test_state_that_is_replaced_is_undone():
    test_bad_steps_leave_no_trace(Replacing, on_host=False, bad=(1, 3))


def test_gradients_are_looked_at_by_themselves():
    net = Net()
    optimizer = OPTIMIZERS[0](net.parameters())
    guard = StepGuard(net, [optimizer], max_skips=5)
    guard.begin()
    net(inputs=batches()[0], mode='loss')['loss'].backward()
    # Finite, though its square is not.
    net.body[0].weight.grad[0, 0] = 1e30
    optimizer.step()
    assert not guard.end(True).is_bad()
    guard.begin()
    net(inputs=batches()[1], mode='loss')['loss'].backward()
    net.body[0].weight.grad[0, 0] = float('nan')
    before = state_of(net, optimizer)
    optimizer.step()
    assert guard.end(True).is_bad()
    assert all(map(torch.equal, before[:4], state_of(net, optimizer)))


def test_a_step_of_several_iterations():
    net = Net()
    optimizer = OPTIMIZERS[0](net.parameters())
    guard = StepGuard(net, [optimizer], max_skips=5)
    before = [value.clone() for value in net.state_dict().values()]
    steps = []
    for i, batch in enumerate(batches(1)[:3]):
        guard.begin(i, 0)
        net(inputs=batch, mode='loss')['loss'].backward()
        if i == 2:
            optimizer.step()
        steps.append(guard.end(i == 2))
    assert steps[:2] == [None, None] and steps[2].is_bad()
    # BN statistics, too, are those before the first of them.
    assert all(map(torch.equal, before, net.state_dict().values()))
    # The bad one of them is reported.
    runner = SimpleNamespace(model=net, work_dir='resnet8', seed=0)
    facts = dump_of(runner, steps[2].forwards)
    assert facts['iter'] == 1
    assert torch.equal(facts['inputs'], batches(1)[1])


def test_each_of_several_optimizers_is_watched():
    net = Net()
    optimizers = [
        OPTIMIZERS[0](net.body[0].parameters()),
        OPTIMIZERS[0](net.body[3].parameters())
    ]
    guard = StepGuard(net, optimizers, max_skips=5)
    guard.begin()
    net(inputs=batches()[0], mode='loss')['loss'].backward()
    net.body[3].weight.grad[0, 0] = float('nan')
    for optimizer in optimizers:
        optimizer.step()
    assert guard.end(False).is_bad()
    assert all(torch.isfinite(value).all() for value in net.parameters())


@pytest.mark.parametrize('on_host', [True, False])
def test_a_scaler_of_gradients_looks_at_them_itself(on_host):
    """With a fused optimizer it takes the step, which then does nothing."""
    net = Net()
    optimizer = OPTIMIZERS[2](net.parameters())
    guard = StepGuard(net, [optimizer], max_skips=0)
    guard.on_host = on_host
    guard.begin()
    net(inputs=batches()[0], mode='loss')['loss'].backward()
    optimizer.found_inf, optimizer.grad_scale = torch.ones(1), torch.ones(1)
    net.body[0].weight.grad[0, 0] = float('inf')
    before = [value.clone() for value in net.parameters()]
    optimizer.step()
    del optimizer.found_inf, optimizer.grad_scale  # as it does
    assert not guard.end(True).is_bad()
    assert all(map(torch.equal, before, net.parameters()))


def test_a_loss_counts_where_a_scaler_finds_nothing():
    net = Net()
    optimizer = OPTIMIZERS[2](net.parameters())
    guard = StepGuard(net, [optimizer], max_skips=0)
    guard.on_host = False
    guard.begin()
    net(inputs=batches(0)[0], mode='loss')
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.found_inf, optimizer.grad_scale = torch.zeros(1), torch.ones(1)
    before = [value.clone() for value in net.parameters()]
    optimizer.step()
    assert not optimizer.found_inf  # its own again
    assert guard.end(True).is_bad()
    assert all(map(torch.equal, before, net.parameters()))
    assert not any(state['momentum_buffer'].any()
                   for state in optimizer.state.values())


@pytest.mark.parametrize('joint', [True, False])
def test_optimizers_of_one_backward_are_checked_together(joint):
    """The gradients of the second one are bad, not those of the first."""
    torch.manual_seed(0)
    net = Net()
    parts = [torch.optim.SGD(net.body[i].parameters(), 0.1) for i in (0, 3)]
    guard = StepGuard(net, parts, 0, joint=joint)
    before = [value.clone() for value in net.parameters()]
    guard.begin()
    net(inputs=batches()[0], mode='loss')['loss'].backward()
    net.body[3].weight.grad[0, 0] = float('nan')
    for optimizer in parts:
        optimizer.step()
    assert guard.end(True).is_bad()
    after = list(net.parameters())
    same = [torch.equal(*pair) for pair in zip(before, after)]
    # Each by itself the first has stepped before it is checked.
    assert same[0] == joint
    assert all(same[2:])
