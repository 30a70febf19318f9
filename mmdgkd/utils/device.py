# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What the host sends to a device and reads from it, without waiting."""
from typing import Union

import numpy as np
import torch


def to_device(values: Union[np.ndarray, torch.Tensor],
              device: torch.device) -> torch.Tensor:
    """Send numbers to a device.

    Out of page-locked memory: from other memory the host would wait until the
    device has done all that it was given before.

    Args:
        values (np.ndarray | torch.Tensor): The numbers.
        device (torch.device): Where to.

    Returns:
        torch.Tensor: Likewise.
    """
    values = torch.as_tensor(values)
    if device.type == 'cuda' and values.device.type == 'cpu':
        values = values.pin_memory()
    # A copy to the CPU is read at once.
    return values.to(device, non_blocking=device.type != 'cpu')


class DeviceFlag:
    """A number on a device that is read later.

    Reading waits until it is computed, and for nothing that the device is
    given after it.

    Args:
        flag (torch.Tensor): Of one element.
    """

    def __init__(self, flag: torch.Tensor) -> None:
        self._flag, self._event = flag, None
        if flag.is_cuda:
            self._flag = torch.empty_like(flag, device='cpu', pin_memory=True)
            self._flag.copy_(flag, non_blocking=True)
            self._event = torch.cuda.current_stream(flag.device).record_event()

    def read(self) -> bool:
        """Whether it is not 0."""
        if self._event is not None:
            self._event.synchronize()
        return bool(self._flag)
