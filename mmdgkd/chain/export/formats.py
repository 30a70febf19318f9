# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The formats of a program: how one is written, and how a device runs it."""
import io
import json
import warnings
from typing import Any, Callable, Dict, NamedTuple

import torch

from mmdgkd.errors import ConfigError

# The extra file in a *.pt2 that says what it takes.
INPUTS = 'inputs.json'


class Format(NamedTuple):
    """A format of programs.

    Attributes:
        save (Callable): An exported program and what is known of its images
            -> the bytes of the file.
        load (Callable): These bytes -> a function from images, shape
            (N, C, H, W), to logits, as a device runs it.
    """

    save: Callable[[torch.export.ExportedProgram, Dict[str, Any]], bytes]
    load: Callable[[bytes], Callable[[torch.Tensor], torch.Tensor]]


def save_pt2(exported: torch.export.ExportedProgram,
             inputs: Dict[str, Any]) -> bytes:
    """PyTorch's own; the extra file :data:`INPUTS` has what it takes."""
    buffer = io.BytesIO()
    torch.export.save(
        exported, buffer, extra_files={INPUTS: json.dumps(inputs)})
    return buffer.getvalue()


def load_pt2(data: bytes) -> Callable[[torch.Tensor], torch.Tensor]:
    """Run it by PyTorch."""
    return torch.export.load(io.BytesIO(data)).module()


def save_onnx(exported: torch.export.ExportedProgram,
              inputs: Dict[str, Any]) -> bytes:
    """ONNX; its metadata have what it takes, a key each, as JSON."""
    _need('onnx', 'onnxscript')
    with warnings.catch_warnings():
        # Of packages below, about their own future.
        warnings.simplefilter('ignore')
        program = torch.onnx.export(
            exported,
            dynamo=True,
            verbose=False,
            input_names=['images'],
            output_names=['logits'])
    model = program.model_proto
    for key, value in inputs.items():
        model.metadata_props.add(key=key, value=json.dumps(value))
    return model.SerializeToString()


def load_onnx(data: bytes) -> Callable[[torch.Tensor], torch.Tensor]:
    """Run it by onnxruntime, on the CPU."""
    _need('onnxruntime')
    import onnxruntime
    session = onnxruntime.InferenceSession(
        data, providers=['CPUExecutionProvider'])

    def run(images: torch.Tensor) -> torch.Tensor:
        (logits, ) = session.run(['logits'], {'images': images.numpy()})
        return torch.from_numpy(logits)

    return run


def _need(*packages: str) -> None:
    """Refuse a format whose packages are not installed."""
    from importlib.util import find_spec
    for package in packages:
        if find_spec(package) is None:
            raise ConfigError(f'--format: onnx needs {package}, which is not '
                              "installed: pip install 'mmdgkd[onnx]'")


FORMATS = dict(
    pt2=Format(save_pt2, load_pt2), onnx=Format(save_onnx, load_onnx))
