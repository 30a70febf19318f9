# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest
import torch
from mmengine.device import get_device

from mmdgkd.engine.finite_step.kept_tensors import KeptTensors

NAN = float('nan')


def tensors():
    """Of many types and layouts."""
    return dict(
        floats=torch.tensor([0., -0., 1.5, NAN,
                             float('inf')]),
        half=torch.tensor([1., NAN]).half(),
        double=torch.tensor(3.).double(),
        counts=torch.tensor([2**62, -1]),
        flags=torch.tensor([False, False]),
        maps=torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        part=torch.randn(4, 6)[1:3, ::2],
        empty=torch.zeros(0),
        complex=torch.tensor([1j, NAN]),
        wide=torch.tensor([1j, NAN], dtype=torch.complex128))


def bits(values):
    return {
        name: value.cpu().contiguous().numpy().tobytes()
        for name, value in values.items()
    }


@pytest.mark.gpu
@pytest.mark.parametrize('chosen', [True, False])
def test_all_bits_are_kept_or_stay(chosen):
    device, kept = get_device(), KeptTensors()
    values = {name: value.to(device) for name, value in tensors().items()}
    old = bits(values)
    for number in (7, 1):
        kept.keep(values)
        for value in values.values():
            value.fill_(number)
        values['floats'][1] = NAN
        new = bits(values)
        assert new != old
        kept.restore_if(torch.tensor(float(chosen), device=device), values)
        assert bits(values) == (old if chosen else new)
        old = bits(values)


def test_memory_that_is_shared_and_what_is_sparse():
    """Each of those that share it would be changed twice."""
    whole, kept = torch.tensor([1., 2., 3.]), KeptTensors()
    sparse = torch.eye(3).to_sparse()
    values = dict(whole=whole, part=whole[:2], sparse=sparse)
    kept.keep(values)
    whole.fill_(9)
    kept.restore_if(torch.tensor(1.), values)
    assert whole.tolist() == [1, 2, 3]


def test_what_has_another_shape_stays():
    """As the range of a quantizer that its first batch has set."""
    values, kept = dict(a=torch.zeros(1), b=torch.zeros(2)), KeptTensors()
    kept.keep(values)
    values['a'].resize_(3).fill_(5)
    values['b'].fill_(5)
    kept.restore_if(torch.tensor(1.), values)
    assert values['a'].tolist() == [5] * 3 and values['b'].tolist() == [0] * 2
    kept.keep(values)
    values['a'].fill_(6)
    kept.restore_if(torch.tensor(1.), values)
    assert values['a'].tolist() == [5] * 3


def test_a_tensor_that_is_replaced_or_removed():
    values, kept = dict(a=torch.zeros(2, 2), b=torch.zeros(2)), KeptTensors()
    kept.keep(values)
    values = dict(a=torch.ones(2, 2).t(), new=torch.ones(1))
    kept.restore_if(torch.tensor(1.), values)
    assert not values['a'].any() and values['new'].all()
