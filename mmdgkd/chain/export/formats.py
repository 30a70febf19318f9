# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The formats of a program: how one is written, and how a device runs it."""
import io
import json
import os.path as osp
import warnings
from importlib.util import find_spec
from typing import Any, Callable, Dict, NamedTuple, Tuple

import torch
from packaging.version import Version

from mmdgkd.errors import ConfigError

# The extra file in a *.pt2: what it takes.
INPUTS = 'inputs.json'


class Format(NamedTuple):
    """A format of programs.

    Attributes:
        save (Callable): An exported program and what is known of its images
            -> the bytes of the file.
        load (Callable): These bytes -> a function from images, shape
            (N, C, H, W), to logits, as a device runs it.
        needs (tuple[str]): Packages, of the extra of its name.
            Defaults to ().
        since (str): The oldest PyTorch that writes it. Defaults to ``'2.4'``.
    """

    save: Callable[[torch.export.ExportedProgram, Dict[str, Any]], bytes]
    load: Callable[[bytes], Callable[[torch.Tensor], torch.Tensor]]
    needs: Tuple[str, ...] = ()
    since: str = '2.4'


def save_pt2(exported: torch.export.ExportedProgram,
             inputs: Dict[str, Any]) -> bytes:
    """PyTorch's own; what it takes is in the extra file :data:`INPUTS`."""
    buffer = io.BytesIO()
    torch.export.save(
        exported, buffer, extra_files={INPUTS: json.dumps(inputs)})
    return buffer.getvalue()


def load_pt2(data: bytes) -> Callable[[torch.Tensor], torch.Tensor]:
    """Run it by PyTorch."""
    return torch.export.load(io.BytesIO(data)).module()


def save_onnx(exported: torch.export.ExportedProgram,
              inputs: Dict[str, Any]) -> bytes:
    """ONNX; what it takes is in its metadata, as JSON, a key each."""
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
    import onnxruntime
    session = onnxruntime.InferenceSession(
        data, providers=['CPUExecutionProvider'])

    def run(images: torch.Tensor) -> torch.Tensor:
        (logits, ) = session.run(['logits'], {'images': images.numpy()})
        return torch.from_numpy(logits)

    return run


FORMATS = dict(
    pt2=Format(save_pt2, load_pt2),
    # onnxscript 0.7 translates no normalization of 2.6.
    onnx=Format(save_onnx, load_onnx, ('onnx', 'onnxscript', 'onnxruntime'),
                '2.7'))


def format_of(path: str) -> Format:
    """The format of a file, by its ending.

    Raises:
        ConfigError: If a package that it needs is not installed, or PyTorch is
            too old.
    """
    name = osp.splitext(path)[1][1:]
    require_torch(FORMATS[name].since, f'--format: {name}')
    for package in FORMATS[name].needs:
        if find_spec(package) is None:
            raise ConfigError(f'--format: {name} needs {package}, which is '
                              f"not installed: pip install 'mmdgkd[{name}]'")
    return FORMATS[name]


def require_torch(since: str, what: str) -> None:
    """Check that PyTorch is new enough for a program.

    Args:
        since (str): The oldest that is.
        what (str): What needs it, for messages.

    Raises:
        ConfigError: If it is not.
    """
    version = torch.__version__
    if Version(version).release < Version(since).release:
        raise ConfigError(
            f'{what} needs torch>={since}, {version} is installed')
