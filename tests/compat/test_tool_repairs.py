# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""MMPretrain's own tools, on a chain."""
import os
import os.path as osp
import sys
from importlib.util import find_spec
from types import FunctionType, ModuleType, SimpleNamespace

import matplotlib._tight_bbox
import pytest
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from mmengine.config import Config
from sklearn.manifold import TSNE

from mmdgkd.compat.tool_repairs import CamDevice, TightBox, TSNEIterations


def test_nothing_is_imported_for_a_repair(monkeypatch):
    for name, repair in (('matplotlib._tight_bbox',
                          TightBox), ('sklearn.manifold', TSNEIterations),
                         ('pytorch_grad_cam', CamDevice)):
        monkeypatch.delitem(sys.modules, name, raising=False)
        assert repair.symptom() is None
        assert name not in sys.modules


def test_a_figure_is_cut_without_a_renderer(monkeypatch):
    own = matplotlib._tight_bbox.adjust_bbox
    # As before any repair, and bound by the name that a tool has for it.
    adjust_bbox = FunctionType(own.__code__, own.__globals__, own.__name__,
                               (None, ), own.__closure__)
    monkeypatch.setitem(sys.modules, 'matplotlib._tight_bbox',
                        SimpleNamespace(adjust_bbox=adjust_bbox))
    figure, box = Figure(), Bbox([[0, 0], [1, 2]])
    figure.add_subplot()
    with pytest.raises(TypeError):
        adjust_bbox(figure, box)
    assert 'renderer' in TightBox.symptom()
    TightBox.fix()
    assert TightBox.symptom() is None
    adjust_bbox(figure, box)
    assert figure.bbox_inches.size.tolist() == [1, 2]
    # As matplotlib itself calls it.
    adjust_bbox(figure, box, None, 50)


def test_tsne_takes_its_old_name(monkeypatch):

    class Own(TSNE):

        def __init__(self, perplexity=30.0, max_iter=None):
            super().__init__(perplexity=perplexity, max_iter=max_iter)

    monkeypatch.setitem(sys.modules, 'sklearn.manifold',
                        SimpleNamespace(TSNE=Own))
    with pytest.raises(TypeError):
        Own(n_iter=300)
    assert 'max_iter' in TSNEIterations.symptom()
    TSNEIterations.fix()
    assert Own(5.0, n_iter=300).max_iter == 300
    assert Own(max_iter=250).get_params() == dict(
        perplexity=30.0, max_iter=250)


def test_cams_are_told_no_device(monkeypatch):

    class BaseCAM:

        def __init__(self, model):
            self.model = model

    class GradCAM(BaseCAM):

        def __init__(self, model):
            super().__init__(model)

    class Inherits(BaseCAM):
        pass

    module = ModuleType('pytorch_grad_cam')
    module.GradCAM = GradCAM
    module.base_cam = SimpleNamespace(BaseCAM=BaseCAM)
    monkeypatch.setitem(sys.modules, 'pytorch_grad_cam', module)
    assert CamDevice.symptom() == 'GradCAM takes no use_cuda'
    CamDevice.fix()
    for kind in (GradCAM, Inherits):
        assert kind(model=1, use_cuda=False).model == kind(2).model - 1


TOOLS = osp.join(osp.dirname(find_spec('mmpretrain').origin), '.mim', 'tools')


@pytest.mark.slow
@pytest.mark.parametrize('tool, config, words', [
    ('visualization/browse_dataset', 'config.py',
     '-o {out} -n 2 --not-show -m pipeline'),
    ('visualization/vis_tsne', 'resnet8/config.py',
     '--checkpoint {ckpt} --work-dir {out} --perplexity 5'),
    ('analysis_tools/confusion_matrix', 'resnet8/config.py',
     '{ckpt} --show-path {out}/matrix.png'),
    ('analysis_tools/confusion_matrix', 'resnet8/resnet8.py',
     '{ckpt} --show-path {out}/matrix.png'),
    ('analysis_tools/get_flops', 'resnet8/resnet8.py', '--shape 8'),
])
def test_tools_run_on_a_work_dir(trained, tmp_path, run_tool, run_here, tool,
                                 config, words):
    """What is repaired in a process of its own, which imports mmdgkd late."""
    work = trained[0].work_dir
    words = words.format(out=tmp_path, ckpt=f'{work}/resnet8/resnet8.pth')
    cfg = Config.fromfile(f'{work}/{config}')
    # The chains of the tests have none.
    cfg.visualizer = dict(type='UniversalVisualizer')
    cfg.dump(tmp_path / 'shown.py')
    run = run_tool if 'visualization' in tool else run_here
    done = run(f'{TOOLS}/{tool}.py', tmp_path / 'shown.py', *words.split())
    assert 'do not match' not in done.stdout + done.stderr
    if 'shape' in words:
        assert 'Params: 78.042K' in done.stdout
    else:
        assert any(
            name.endswith(('.jpg', '.png'))
            for _, _, names in os.walk(tmp_path) for name in names)
    if 'matrix' in tool:
        last = trained[1].work.ledger['resnet8']['metric']['last']
        numbers = done.stdout.split('tensor(')[-1].split(')')[0]
        rows = eval(numbers)  # a list of lists of integers
        assert sum(map(sum, rows)) == 64
        right = sum(row[i] for i, row in enumerate(rows))
        assert right == round(last * 64 / 100)
