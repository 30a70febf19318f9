# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Repairs of MMRazor 1.0.0.

They import MMRazor in their functions alone: the order of the repairs matters.
"""
import importlib
import importlib.util
import inspect
import sys
from functools import wraps
from types import ModuleType, SimpleNamespace
from typing import Any, Dict, Optional, Sequence, Tuple


class Quantization:
    """MMRazor builds its quantization backends at import, out of torch.ao
    names that moved in torch 2.0 (open-mmlab/mmrazor issue 615), so that
    nothing of mmrazor.models imports."""

    name = 'quantization'
    package = 'mmrazor.structures.quantization.backend_config'
    own = 'torch.ao.quantization.backend_config'

    @classmethod
    def symptom(cls) -> Optional[str]:
        import torch
        from packaging.version import Version
        if f'{cls.package}.mapping' in sys.modules:
            return None
        # The failing module is part of every import of mmrazor.models, and a
        # failed import leaves half of its registrations behind: so the
        # condition is looked up, not provoked.
        if Version(torch.__version__).release < (2, 0):
            return None
        return f'torch {torch.__version__} has other torch.ao names'

    @classmethod
    def fix(cls) -> None:
        """Put PyTorch's own helpers where MMRazor has its copies of them.

        MMRazor's are those of torch 1.13. PyTorch's have the same patterns of
        modules, in the order that it has reversed since, and some more.

        Raises:
            ImportError: If this PyTorch has none.
        """
        import torch
        try:
            own = importlib.import_module(
                f'{cls.own}._common_operator_config_utils')
            # PyTorch names it by its package, which does not import it.
            importlib.import_module(f'{cls.own}.utils')
        except ImportError as error:
            raise ImportError(
                'mmdgkd needs a PyTorch with torch.ao.quantization, as MMRazor'
                f' does; torch {torch.__version__} has none ({error})'
            ) from None
        helpers = ModuleType(f'{cls.package}.common_operator_config_utils')
        for name in dir(own):
            if name.startswith('_get_'):
                setattr(helpers, name, getattr(own, name))
        sys.modules[helpers.__name__] = helpers


class MMClsNames:
    """mmcls became mmpretrain; KDSoftCELoss, the searchable classifiers and
    the transforms of CRD in MMRazor still import from mmcls, where mmpretrain
    has the same names, or two others."""

    name = 'mmcls names'

    @staticmethod
    def symptom() -> Optional[str]:
        if importlib.util.find_spec('mmcls') is not None:
            return None
        if 'mmrazor.models' in sys.modules:
            # Too late: MMRazor has bound its placeholders. Only the loss that
            # distillation needs is looked at then.
            from mmrazor.models.losses import kd_soft_ce_loss
            bound = kd_soft_ce_loss.soft_cross_entropy
            if not bound.__module__.startswith('mmrazor'):
                return None
        return 'mmcls is not installed'

    @staticmethod
    def fix() -> None:
        """Import MMRazor with mmpretrain under the name mmcls."""
        importlib.import_module('mmpretrain.models')
        importlib.import_module('mmpretrain.datasets')
        alias = {
            'mmcls' + name[len('mmpretrain'):]: module
            for name, module in sys.modules.items()
            if name.split('.')[0] == 'mmpretrain'
        }
        already = 'mmrazor.models' in sys.modules
        sys.modules.update(alias)
        try:
            importlib.import_module('mmrazor.models')
            # Only now: what mmrazor.models does with these two counts on the
            # form of mmcls's samples as well.
            for part, name, old in (('structures', 'DataSample',
                                     'ClsDataSample'),
                                    ('datasets.transforms.formatting',
                                     'PackInputs', 'PackClsInputs')):
                names = vars(sys.modules[f'mmpretrain.{part}'])
                sys.modules[f'mmcls.{part}'] = ModuleType(f'mmcls.{part}')
                vars(sys.modules[f'mmcls.{part}']).update(
                    names, **{old: names[name]})
            importlib.import_module('mmrazor.datasets')
        finally:
            # Nobody else is to take mmpretrain for an installed mmcls.
            for name in alias:
                sys.modules.pop(name, None)
        if already:
            from mmpretrain.models.losses.cross_entropy_loss import \
                soft_cross_entropy
            from mmrazor.models.losses import kd_soft_ce_loss
            kd_soft_ce_loss.soft_cross_entropy = soft_cross_entropy


class InplaceModules:
    """nn.Module keeps its children in a plain dict since torch 2.5, where
    MMRazor looks for an OrderedDict, and MMRazor never looks inside of a
    ConvModule: in-place ReLUs stay in place and overwrite what a recorder
    before them has recorded."""

    name = 'in-place modules'

    @staticmethod
    def symptom() -> Optional[str]:
        from mmrazor.models.algorithms.base import BaseAlgorithm
        from torch import nn
        relu, inner = nn.ReLU(inplace=True), nn.ReLU(inplace=True)
        outer = nn.Sequential(inner)
        outer.inplace = True
        probe = BaseAlgorithm.__new__(BaseAlgorithm)
        nn.Module.__init__(probe)
        probe.architecture = nn.Sequential(relu, outer)
        probe.set_module_inplace_false(probe.architecture, 'self.architecture')
        if relu.inplace:
            return 'set_module_inplace_false leaves ReLU(inplace=True) on'
        if inner.inplace:
            return 'set_module_inplace_false leaves the ReLU of a ConvModule'
        return None

    @staticmethod
    def fix() -> None:
        from mmrazor.models.algorithms.base import BaseAlgorithm

        def set_module_inplace_false(self: Any, architecture: Any,
                                     varstr: str) -> None:
            for module in architecture.modules():
                if hasattr(module, 'inplace'):
                    module.inplace = False

        BaseAlgorithm.set_module_inplace_false = set_module_inplace_false


class DemoInputs:
    """MMRazor traces a classifier with a demo input whose labels are of mmcls,
    so that none of its channel mutators, and with them no pruning, takes a
    classifier of mmpretrain."""

    name = 'demo inputs'

    @staticmethod
    def symptom() -> Optional[str]:
        from mmrazor.models.task_modules.demo_inputs import \
            DefaultMMClsDemoInput
        probe = SimpleNamespace(data_preprocessor=lambda data, training: data)
        try:
            DefaultMMClsDemoInput()._get_mm_data(probe, (1, 1, 1, 1))
        except ImportError as error:
            return f'the demo inputs of classifiers: {error}'
        return None

    @staticmethod
    def fix() -> None:
        from mmrazor.models.task_modules.demo_inputs import \
            DefaultMMClsDemoInput
        DefaultMMClsDemoInput._get_mm_data = _get_mm_data


def _get_mm_data(self: Any,
                 model: Any,
                 input_shape: Sequence[int],
                 training: bool = False) -> Dict:
    """Replace ``DefaultMMClsDemoInput._get_mm_data``.

    Args:
        model (ImageClassifier): A classifier of MMPretrain.
        input_shape (Sequence[int]): Shape (N, C, H, W).
        training (bool): Whether the data is to be prepared for training.
            Defaults to False.

    Returns:
        dict: ``inputs`` and ``data_samples``, of class 0.
    """
    import torch
    from mmpretrain.structures import DataSample
    samples = [
        DataSample(metainfo=dict(
            img_shape=tuple(input_shape[2:]))).set_gt_label(0)
        for _ in range(input_shape[0])
    ]
    data = dict(inputs=torch.rand(*input_shape), data_samples=samples)
    return model.data_preprocessor(data, training)


class ResumedPruning:
    """ItePruneAlgorithm makes its schedule in the first step that it sees,
    from the channels that are left then: resumed between two prunings, it
    would prune to other ratios than without a stop."""

    name = 'resumed pruning'

    @staticmethod
    def symptom() -> Optional[str]:
        from mmrazor.models.algorithms import ItePruneAlgorithm
        mutator = SimpleNamespace(
            current_choices=dict(unit=.5), mutable_units=[])
        probe = SimpleNamespace(
            mutator=mutator,
            target_pruning_ratio=None,
            by_epoch=False,
            step_freq=1,
            prune_times=1,
            linear_schedule=True)
        manager = ItePruneAlgorithm._init_prune_config_manager(probe)
        if manager.supernet['unit'] == 1:
            return None
        return 'ItePruneAlgorithm takes the channels that are left for all'

    @staticmethod
    def fix() -> None:
        from mmrazor.models.algorithms import ItePruneAlgorithm
        method = ItePruneAlgorithm._init_prune_config_manager

        @wraps(method)
        def _init_prune_config_manager(self: Any) -> Any:
            manager = method(self)
            units = {unit.name: unit for unit in self.mutator.mutable_units}
            manager.supernet = {
                # A ratio, or a number of channels.
                name:
                1.0 if isinstance(choice, float) else units[name].num_channels
                for name, choice in manager.supernet.items()
            }
            return manager

        ItePruneAlgorithm._init_prune_config_manager = \
            _init_prune_config_manager


class Quantizers:
    """An argument of torch.ao.quantization.quantize_fx._fuse_fx, which all
    quantizers of MMRazor call, has another name since torch 2.0."""

    name = 'quantizers'

    @staticmethod
    def symptom() -> Optional[str]:
        from mmrazor.models.quantizers import academic_quantizer
        fuse = academic_quantizer._fuse_fx
        try:
            known = inspect.signature(fuse).parameters
        except (TypeError, ValueError):
            return None  # a placeholder, which raises an error of its own
        if 'graph_module' in known or 'model' not in known:
            return None
        return '_fuse_fx of torch.ao takes model, not graph_module'

    @staticmethod
    def fix() -> None:
        from mmrazor.models.quantizers import (academic_quantizer,
                                               native_quantizer)

        def _fuse_fx(graph_module: Any, **kwargs: Any) -> Any:
            from torch.ao.quantization import quantize_fx
            return quantize_fx._fuse_fx(graph_module, **kwargs)

        academic_quantizer._fuse_fx = native_quantizer._fuse_fx = _fuse_fx


class SampledChoices:
    """MMRazor writes the subnets that it compares as text and reads them
    again, and NumPy 2 writes its own strings in a way that Python cannot read:
    every evolutionary search would end with a NameError."""

    name = 'sampled choices'

    @staticmethod
    def symptom() -> Optional[str]:
        import numpy as np
        written = repr(np.str_('a'))
        if written == repr('a'):
            return None
        return f"a choice is written as {written}, not as 'a'"

    @staticmethod
    def fix() -> None:
        from mmrazor.models.mutables import OneShotMutableOP
        method = OneShotMutableOP.sample_choice

        @wraps(method)
        def sample_choice(self: Any) -> str:
            return str(method(self))

        OneShotMutableOP.sample_choice = sample_choice


class LayerDepths:
    """An algorithm of MMRazor does not hand get_layer_depth of its network on,
    by which MMPretrain gives early layers lower learning rates."""

    name = 'layer depths'

    @staticmethod
    def symptom() -> Optional[str]:
        from mmrazor.models.algorithms import BaseAlgorithm
        if hasattr(BaseAlgorithm, 'get_layer_depth'):
            return None
        return 'BaseAlgorithm has no get_layer_depth'

    @staticmethod
    def fix() -> None:
        from mmrazor.models.algorithms import BaseAlgorithm

        def get_layer_depth(self: Any, param_name: str) -> Tuple[int, int]:
            """The depth of a parameter, for layer-wise learning rates.

            That of the network that it belongs to; other parameters of the
            algorithm, such as those of a distiller, are as deep as a head.

            Args:
                param_name (str): Such as ``'architecture.head.fc.bias'``.

            Returns:
                tuple[int, int]: The depth and the number of layers.

            Raises:
                AttributeError: If the network has no ``get_layer_depth``.
            """
            parts = param_name.split('.')
            for i in range(1, len(parts)):
                owner = self.get_submodule('.'.join(parts[:i]))
                if hasattr(owner, 'get_layer_depth'):
                    return owner.get_layer_depth('.'.join(parts[i:]))
            network = self.architecture
            while isinstance(network, BaseAlgorithm):
                network = network.architecture
            return network.get_layer_depth(param_name)

        BaseAlgorithm.get_layer_depth = get_layer_depth
