# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Optional

import torch
from mmengine import dist
from mmengine.logging import MessageHub


class StepClock:
    """Gives the current training iteration and the seed of the run.

    In a Runner both are MMEngine's, so that a resumed run goes on where it
    stopped. In a bare training loop the clock counts its ticks from 0, and the
    seed is 0 unless it is given.

    Args:
        seed (int, optional): The seed to use instead of the Runner's.
            Defaults to None.
    """

    def __init__(self, seed: Optional[int] = None) -> None:
        self._seed = seed
        self._ticks = -1

    def tick(self) -> int:
        """The iteration that begins now, counted from 0."""
        hub = MessageHub.get_current_instance()
        # The hub may be that of a finished Runner; its stage is "train" only
        # while a training loop runs.
        if hub.get_info('loop_stage') == 'train':
            return hub.get_info('iter')
        self._ticks += 1
        return self._ticks

    @property
    def rank(self) -> int:
        """The rank of this process, or in a replay that of the run."""
        hub = MessageHub.get_current_instance()
        return hub.get_info('rank', dist.get_rank())

    @property
    def seed(self) -> int:
        """The seed, the same on all ranks."""
        if self._seed is None:
            seed = MessageHub.get_current_instance().get_info('seed') or 0
            # With diff_rank_seed each rank has its own: take the first one.
            common = torch.tensor(seed)
            dist.broadcast(common)
            self._seed = int(common)
        return self._seed
