# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What the logit store saved, estimated from what was measured."""
from dataclasses import dataclass
from typing import Dict, Optional, Sequence, Tuple

from .records import Run, Stage


@dataclass(frozen=True)
class Saving:
    """What the store was good for in one stage.

    Attributes:
        recalled (int): Outputs of teachers that were read.
        computed (int): Outputs that teachers had to compute.
        computing (float, optional): Seconds that took.
        saved (float, optional): Estimate: the outputs that were read, times
            the measured seconds of computing one of that teacher's.
    """

    recalled: int
    computed: int
    computing: Optional[float]
    saved: Optional[float]


class Savings:
    """The savings of all stages.

    An output costs what computing one of that teacher took on average in the
    same stage, or, where it computed none there, in the others that were
    guided by the same file on the same device.

    Args:
        runs (Sequence[Run]): All of them.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self._measured: Dict[Tuple, Tuple[float, int]] = {}
        for run in runs:
            for stage in run.stages.values():
                for teacher, asked in (stage.store or {}).items():
                    if asked.computed and asked.seconds is not None:
                        key = self._key(stage, teacher)
                        seconds, rows = self._measured.get(key, (0.0, 0))
                        self._measured[key] = (seconds + asked.seconds,
                                               rows + asked.computed)

    def of(self, stage: Stage) -> Optional[Saving]:
        """What it saved in a stage; None where that is not recorded.

        Args:
            stage (Stage): The stage.
        """
        if not stage.store:
            return None
        computing: Optional[float] = 0.0
        saved: Optional[float] = 0.0
        for teacher, asked in stage.store.items():
            computing = _plus(computing, asked.seconds)
            if asked.recalled:
                cost = self._cost(stage, teacher)
                saved = _plus(saved,
                              None if cost is None else cost * asked.recalled)
        return Saving(
            sum(asked.recalled for asked in stage.store.values()),
            sum(asked.computed for asked in stage.store.values()), computing,
            saved)

    def _cost(self, stage: Stage, teacher: str) -> Optional[float]:
        asked = (stage.store or {})[teacher]
        if asked.computed and asked.seconds is not None:
            return asked.seconds / asked.computed
        seconds, rows = self._measured.get(self._key(stage, teacher), (0.0, 0))
        return seconds / rows if rows else None

    @staticmethod
    def _key(stage: Stage, teacher: str) -> Tuple:
        return stage.read.get(teacher), stage.environment.get('device')


def _plus(first: Optional[float], second: Optional[float]) -> Optional[float]:
    return None if first is None or second is None else first + second
