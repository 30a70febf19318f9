# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from functools import partial
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Union

import torch
from mmrazor.models.task_modules import ModuleOutputsRecorder
from mmrazor.registry import TASK_UTILS
from torch import nn

from mmdgkd.models.utils.logits import LOGITS, find_source, is_found
from .sources import DEFAULT, check_source_names, recordable, refuse_source


@TASK_UTILS.register_module()
class MultiTeacherOutputsRecorder(ModuleOutputsRecorder):
    """Records the outputs of one module of every teacher that ran.

    In a config its type is ``'MultiTeacherOutputs'``. The record is a mapping
    ``{teacher name: output}`` of the teachers that ran in this step.

    Args:
        source (str | Mapping[str, str]): The module to record, such as
            ``'backbone'``, in each teacher; or ``'logits'``, the class scores
            of each, whatever computes them. A mapping has it by teacher,
            ``'default'`` for those that it does not name; without that it is
            ``'logits'``. Defaults to ``'logits'``.
    """

    def __init__(self, source: Union[str, Mapping[str, str]] = LOGITS) -> None:
        super().__init__(source)

    def source_of(self, name: str) -> str:
        """The source in one teacher.

        Args:
            name (str): The teacher.
        """
        if isinstance(self.source, Mapping):
            return self.source.get(name, self.source.get(DEFAULT, LOGITS))
        return self.source

    def prepare_from_model(self, model: Optional[nn.Module] = None) -> None:
        """Hook the source module of each teacher.

        Args:
            model (nn.ModuleDict): The teachers by name.

        Raises:
            ConfigError: If a teacher has no such module, or if there is no
                such teacher.
        """
        if isinstance(self.source, Mapping):
            check_source_names(self.source, [*model])
        for name, teacher in model.items():
            module, read = self._find(name, teacher)
            module.register_forward_hook(partial(self._read, name, read))

    def _find(self, name: str,
              teacher: nn.Module) -> Tuple[nn.Module, Callable]:
        """The module to hook in a teacher, and what to record of it."""
        source, owner = self.source_of(name), f'teacher "{name}"'
        names = recordable(teacher)
        if source not in names and not is_found(teacher, source):
            key = 'source'
            if isinstance(self.source, Mapping):
                key += f'.{name if name in self.source else DEFAULT}'
            raise refuse_source(source, teacher, names, owner, key=key)
        return find_source(teacher, source, 'tensor', owner)

    def _read(self, name: str, read: Callable, module: nn.Module,
              inputs: tuple, outputs: Any) -> None:
        if self.recording:
            self._record(name, module, inputs, read(module, inputs, outputs))

    def _record(self, name: str, module: nn.Module, inputs: tuple,
                outputs: Any) -> None:
        self.record(name, outputs)

    def record(self, name: str, outputs: Any) -> None:
        """Record the outputs of one call of the source.

        Args:
            name (str): The teacher.
            outputs (Any): The outputs.
        """
        # Call number k of each teacher goes into record number k.
        for record in self.data_buffer:
            if name not in record:
                record[name] = outputs
                return
        self.data_buffer.append({name: outputs})

    def records_of(self, name: str) -> List[Any]:
        """The records of one teacher, call by call.

        Args:
            name (str): The teacher.
        """
        return [record[name] for record in self.data_buffer if name in record]

    def supply(self, outputs: Dict[str, torch.Tensor]) -> None:
        """Replace all records.

        Args:
            outputs (dict[str, torch.Tensor]): Outputs of the source's only
                call, by teacher. Their order is that of the sums in the loss.
        """
        self.data_buffer[:] = [dict(outputs)]

    def get_record_data(self,
                        record_idx: int = 0,
                        data_idx: Optional[int] = None) -> Dict[str, Any]:
        """The outputs by teacher.

        Args:
            record_idx (int): Which call of the source, if a forward makes
                several. Defaults to 0.
            data_idx (int, optional): Which item, if the source returns a tuple
                or a list. Defaults to None.

        Returns:
            dict[str, Any]: Empty if no teacher ran.
        """
        if not self.data_buffer:
            return {}
        record = super().get_record_data(record_idx)
        if data_idx is None:
            return record
        return {name: data[data_idx] for name, data in record.items()}
