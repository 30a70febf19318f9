# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
STATES = """
from types import SimpleNamespace
import torch
from torch import nn
from mmengine.optim import OptimWrapper
from mmdgkd.engine.hooks import _rank_state
from mmdgkd.engine.hooks._rank_state import (collect_rank_states,
                                             restore_rank_state)

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), 0.1), 2)
wrapper._max_counts = 4
runner = SimpleNamespace(model=model, hooks=[], optim_wrapper=wrapper)
sent = []
gather = _rank_state.gather_object
_rank_state.gather_object = lambda mine: sent.append(mine) or gather(mine)


def states():
    found = collect_rank_states(runner)
    assert rank == 0 or not found
    return found
"""


def run(two, code):
    ranks = two(STATES + code)
    assert [each.wait(60) for each in ranks] == [0, 0], ranks[0].output()


def test_equal_buffers_are_not_sent(two):
    run(
        two, """
model(torch.ones(3, 2))
assert states() == [] and not sent
model[1].running_mean[0] = float('nan')  # on both
assert states() == [] and not sent
""")


def test_each_rank_has_its_own_again(two):
    """Also one that differs by one bit; what is the same is not sent."""
    run(
        two, """
mean = model[1].running_mean
mean[1] = -0. if rank else 0.
found = [states()]
assert sent
torch.distributed.broadcast_object_list(found)
names = [list(state['buffers'][0]) for state in found[0]]
assert names == [['1.running_mean']] * 2
mean.fill_(5)
restore_rank_state(runner, found[0])
assert mean.tolist() == [0, 0] and bool(mean[1].signbit()) == bool(rank)
""")


def test_gradients_that_wait(two):
    """Of one rank alone, as where the other's are None."""
    run(
        two, """
wrapper._inner_count = 1
if rank:
    model(torch.ones(3, 2)).sum().backward()
    for buffer in model.buffers():
        buffer.zero_()
else:
    for buffer in model.buffers():
        buffer.zero_()
found = [states()]
torch.distributed.broadcast_object_list(found)
assert [len(state['grads']) for state in found[0]] == [0, 4]
""")
