# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import numpy as np
import pytest
import torch
from mmengine.device import get_device

from mmdgkd.utils.device import DeviceFlag, to_device


@pytest.mark.gpu
def test_what_is_sent_arrives():
    """There, and back at once."""
    device = torch.device(get_device())
    numbers = np.arange(1 << 20)
    for values in (numbers, torch.from_numpy(numbers)):
        sent = to_device(values, device)
        assert sent.device.type == device.type
        back = to_device(sent * 2, torch.device('cpu'))
        assert np.array_equal(back.numpy(), 2 * numbers)


@pytest.mark.gpu
@pytest.mark.parametrize('number', [0., 1.])
def test_a_flag_is_that_of_its_time(number):
    flag = torch.full((), number, device=get_device())
    found = DeviceFlag(flag.clone())
    flag.fill_(1 - number)
    assert found.read() == bool(number)
