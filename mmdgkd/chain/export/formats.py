# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The formats of a program: how one is written, and how a device runs it.

To run one, each takes as many threads as PyTorch has.
"""
import contextlib
import io
import json
import logging
import os.path as osp
import warnings
from importlib.util import find_spec
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional, Tuple

import torch
from packaging.version import Version
from torch.export import ExportedProgram

from mmdgkd.errors import ConfigError

# The extra file in a *.pt2, and the method of a *.pte: what it takes.
INPUTS = 'inputs.json'
INPUTS_METHOD = 'inputs'
# Images that a *.pte takes at once: its memory is planned for so many. From 16
# on PyTorch chooses other convolutions, and ExecuTorch plans for one side.
_AT_ONCE = 8
# The longest edge of an image of any size, in pixels.
_EDGE = 2**16


class Format(NamedTuple):
    """A format of programs.

    Attributes:
        ending (str): Of its files, without a dot.
        save (Callable): An exported program and what is known of its images
            -> the bytes of the file.
        load (Callable): These bytes -> a function from images, shape
            (N, C, H, W), to logits, as a device runs it.
        needs (tuple[str]): Packages, of the extra of its name.
            Defaults to ().
        since (str): The oldest PyTorch that writes it. Defaults to ``'2.4'``.
        at_once (int, optional): Images that it takes at most in one call.
            Defaults to None: any number.
        edge (int): Pixels of the longest edge, where it takes any size.
            Defaults to 65,536. 0: it takes one size only.
    """

    ending: str
    save: Callable[[ExportedProgram, Dict[str, Any]], bytes]
    load: Callable[[bytes], Callable[[torch.Tensor], torch.Tensor]]
    needs: Tuple[str, ...] = ()
    since: str = '2.4'
    at_once: Optional[int] = None
    edge: int = _EDGE


def save_pt2(exported: ExportedProgram, inputs: Dict[str, Any]) -> bytes:
    """PyTorch's own; what it takes is in the extra file :data:`INPUTS`."""
    table = {
        node.target: _PLAIN[node.target._opname]
        for node in _levels_of(exported)
    }
    if table:
        # The operators of levels are there only where they are imported.
        exported = exported.run_decompositions(table)
    buffer = io.BytesIO()
    torch.export.save(
        exported, buffer, extra_files={INPUTS: json.dumps(inputs)})
    return buffer.getvalue()


def load_pt2(data: bytes) -> Callable[[torch.Tensor], torch.Tensor]:
    """Run it by PyTorch."""
    return torch.export.load(io.BytesIO(data)).module()


def save_onnx(exported: ExportedProgram, inputs: Dict[str, Any]) -> bytes:
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
    # The lines of the source of each operator, with the paths of this machine.
    for part in (*model.graph.node, *model.graph.value_info):
        part.ClearField('metadata_props')
    for key, value in inputs.items():
        model.metadata_props.add(key=key, value=json.dumps(value))
    return model.SerializeToString()


def load_onnx(data: bytes) -> Callable[[torch.Tensor], torch.Tensor]:
    """Run it by onnxruntime, on the CPU."""
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        data, options, providers=['CPUExecutionProvider'])

    def run(images: torch.Tensor) -> torch.Tensor:
        (logits, ) = session.run(['logits'], {'images': images.numpy()})
        return torch.from_numpy(logits)

    return run


def save_executorch(exported: ExportedProgram, inputs: Dict[str,
                                                            Any]) -> bytes:
    """ExecuTorch with XNNPACK; what it takes is JSON, by the method
    :data:`INPUTS_METHOD`."""
    with _quiet():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import \
            XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower
        from executorch.exir.passes.constant_prop_pass import \
            constant_prop_pass
        _as_int8(exported)
        program = to_edge_transform_and_lower(
            exported,
            partitioner=[XnnpackPartitioner()],
            constant_methods={INPUTS_METHOD: json.dumps(inputs)})
        lowered = program.exported_program()
        # Levels of weights that XNNPACK does not take become floats.
        constant_prop_pass(lowered, custom_skip_targets=set())
        if any(_levels_of(lowered)):
            # A device needs them, too.
            import executorch.kernels.quantized  # noqa: F401
        return program.to_executorch().buffer


def load_executorch(data: bytes) -> Callable[[torch.Tensor], torch.Tensor]:
    """Run it by ExecuTorch."""
    with _quiet():
        from executorch.extension.pybindings import portable_lib
        from executorch.runtime import Runtime
    portable_lib._unsafe_reset_threadpool(torch.get_num_threads())
    program = Runtime.get().load_program(data)
    method = program.load_method('forward')

    def run(images: torch.Tensor) -> torch.Tensor:
        # It reads the memory of all three as long as it runs.
        assert data and program
        # Of another memory format it would read pixels as they lie there; and
        # its output is overwritten by the next call.
        return method.execute([images.contiguous()])[0].clone()

    return run


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what packages say of their own future."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(before)


FORMATS = dict(
    pt2=Format('pt2', save_pt2, load_pt2),
    # onnxscript 0.7 translates no normalization of 2.6.
    onnx=Format('onnx', save_onnx, load_onnx,
                ('onnx', 'onnxscript', 'onnxruntime'), '2.7'),
    executorch=Format(
        'pte',
        save_executorch,
        load_executorch, ('executorch', ),
        at_once=_AT_ONCE,
        edge=0))


def format_of(path: str) -> Format:
    """The format of a file, by its ending.

    Raises:
        ConfigError: If a package that it needs is not installed, or PyTorch is
            too old.
    """
    ending = osp.splitext(path)[1][1:]
    for name, form in FORMATS.items():
        if form.ending == ending:
            break
    require_torch(form.since, path)
    for package in form.needs:
        if find_spec(package) is None:
            raise ConfigError(f'{path}: needs {package}, which is not '
                              f"installed: pip install 'mmdgkd[{name}]'")
    return form


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


def _levels_of(exported: ExportedProgram) -> Iterator[torch.fx.Node]:
    """The operators between levels of 8 bits and their values."""
    for node in exported.graph.nodes:
        if 'quantized_decomposed' in str(node.target):
            yield node


def _as_int8(exported: ExportedProgram) -> None:
    """XNNPACK knows only levels of int8: move those of uint8 by 128."""
    for node in _levels_of(exported):
        inputs, scale, *levels, kind = node.args
        if kind is torch.uint8:
            node.args = (inputs, scale, *(level - 128
                                          for level in levels), torch.int8)


def _quantize(inputs: torch.Tensor, scale: float, zero_point: int, low: int,
              high: int, kind: torch.dtype) -> torch.Tensor:
    levels = (inputs * (1 / scale)).round() + zero_point
    return levels.clamp(low, high).to(kind)


def _dequantize(levels: torch.Tensor, scale: float, zero_point: int, *args:
                Any, **kwargs: Any) -> torch.Tensor:
    return (levels.float() - zero_point) * scale


def _dequantize_per_channel(levels: torch.Tensor, scale: torch.Tensor,
                            zero_point: torch.Tensor, axis: int, *args: Any,
                            **kwargs: Any) -> torch.Tensor:
    shape = [1] * levels.dim()
    shape[axis] = -1
    return _dequantize(levels, scale.reshape(shape), zero_point.reshape(shape))


_PLAIN = dict(
    quantize_per_tensor=_quantize,
    dequantize_per_tensor=_dequantize,
    dequantize_per_channel=_dequantize_per_channel)
