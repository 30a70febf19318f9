# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Reports of real and of hand-made work dirs."""
import base64
import copy
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmdgkd import ConfigError
from mmdgkd.chain.method import METHODS, Method, register_method
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.report import write_report
from mmdgkd.report.groups import Levels, Savings, group_runs, group_stages
from mmdgkd.report.records import Stage, read_runs
from mmdgkd.report.settings import add_settings


def read(path):
    return json.loads(Path(path, 'chain.json').read_text())


def stage(last, sha256, teachers=(), **entries):
    return dict(
        dict(
            state='done',
            guides=list(teachers),
            seconds=10.0,
            metric=dict(
                name='accuracy/top1',
                best=last + 1,
                best_at=1,
                last=last,
                history=[[1, last + 1], [2, last]]),
            config_sha256='',
            wrote=dict(file='x', sha256=sha256)), **entries)


def make_run(folder, stages, guidance='dense', seed=0):
    folder.mkdir()
    data = dict(version=1, stages=stages, guidance=guidance, seed=seed)
    (folder / 'chain.json').write_text(json.dumps(data))
    return str(folder)


@pytest.fixture(scope='module')
def given(trained, tmp_path_factory):
    """The student of ``trained`` once more, its teachers given: (cfg, runner).

    The metrics of the teachers are in no ledger of its own.
    """
    cfg = copy.deepcopy(trained[0])
    cfg.work_dir = str(tmp_path_factory.mktemp('given'))
    for name in ('resnet20', 'resnet14'):
        cfg.chain.networks[name].ckpt_path = (
            f'{trained[0].work_dir}/{name}/{name}.pth')
    cfg.randomness = dict(seed=1)
    runner = ChainRunner(cfg)
    runner.train()
    return cfg, runner


@pytest.fixture(scope='module')
def page(trained, given, tmp_path_factory):
    """The folder of a report on both."""
    out = tmp_path_factory.mktemp('report')
    write_report([trained[0].work_dir, given[0].work_dir], str(out))
    return out


def test_the_page_has_what_the_ledger_has(page, trained):
    text = (page / 'report.html').read_text()
    ledger = trained[1].work.ledger
    for name in ('resnet20', 'resnet14'):
        metric = ledger[name]['metric']
        assert f'<td class="number">{metric["last"]:.2f}</td>' in text
        assert (f'<td class="number">{metric["best"]:.2f} (epoch '
                f'{metric["best_at"]})</td>') in text
    for word in ('272,474', '175,258', '78,042', 'resnet20, resnet14', 'DGKD',
                 'labels x 0.5 + DenseKDLoss(form=paper', 'SGD(lr=0.1',
                 '2 epochs', 'Digits', 'seeds', '0, 1'):
        assert word in text, word
    versions = ledger['resnet8']['environment']['versions']
    for name, version in versions.items():
        assert f'<th scope="row">{name}</th><td class="short">{version}</td>' \
            in text


def test_the_page_needs_nothing_else(page):
    text = (page / 'report.html').read_text()
    assert text.startswith('<!DOCTYPE html>')
    assert '<script' not in text and '<link' not in text
    assert 'url(' not in text and '@import' not in text
    found = re.findall(r'(?:src|href|srcset|action)="([^"]*)"', text)
    # Two costs, curves of three networks, two matrices, times, and images on
    # which teacher and student differ.
    assert len(found) == 8 + text.count('alt="Image ')
    for value in found:
        assert value.startswith('data:image/png;base64,')
        assert base64.b64decode(value[22:])[:8] == b'\x89PNG\r\n\x1a\n'


def test_pictures_fit_a_page_of_any_width(page):
    text = (page / 'report.html').read_text()
    images = [
        image for image in re.findall('<img [^>]*>', text)
        if 'alt="Image ' not in image
    ]
    assert len(images) == 8
    for image in images:
        assert re.search(r' alt="[^"]{20,}"', image)
        data = base64.b64decode(re.search('base64,([^"]*)', image)[1])
        shown = int(re.search(r' width="(\d+)"', image)[1])
        # Two or three beside each other, each as sharp as a screen can show.
        assert shown <= 988 / 2 and int.from_bytes(data[16:20]) > 1.6 * shown
    assert '.panels img { max-width: 100%; height: auto; }' in text
    # The arcs of the chain have words for those who do not see them, and
    # where the page is too narrow for arcs.
    assert ('aria-label="The chain resnet20 to resnet14 to resnet8, DGKD: '
            'resnet14 is distilled from resnet20; resnet8 is distilled from '
            'resnet20 and resnet14."') in text
    assert text.count('<div class="from">distilled from') == 2


def test_markdown_has_its_pictures_beside_it(page):
    text = (page / 'report.md').read_text()
    names = re.findall(r'<img src="([^"]*)"', text)
    plots = [name for name in names if not name.startswith('image_')]
    assert plots == [
        'accuracy_macs.png', 'accuracy_params.png', 'curves_1_1.png',
        'curves_1_2.png', 'curves_1_3.png', 'confusion_1_1.png',
        'confusion_1_2.png', 'time_1.png'
    ]
    assert sorted(names) == sorted(path.name for path in page.glob('*.png'))
    assert '| resnet8 (student) | DGKD | resnet20, resnet14 | done |' in text
    assert re.search(
        r'- \*\*resnet8\*\* \(student\): 78 k parameters, '
        r'[\d.]+ %; distilled from resnet20 and resnet14\n', text)
    # No folder of this machine.
    for kind in ('report.md', 'report.html'):
        assert str(page.parent) not in (page / kind).read_text()


def test_a_method_of_another_package(trained, tmp_path):

    @register_method
    class Boxed(Method):

        def objective(self, model):
            return 'toy <1>', 'its toys'

    try:
        write_report([trained[0].work_dir], str(tmp_path))
    finally:
        del METHODS['Boxed']
    text = (tmp_path / 'report.html').read_text()
    assert '<td class="short">toy &lt;1&gt;</td>' in text  # without a teacher
    assert '<td class="short">DGKD, toy &lt;1&gt;</td>' in text
    assert ', and its toys</td>' in text


def test_given_networks_get_their_level_by_file(trained, given, tmp_path):
    ledger = trained[1].work.ledger
    runs = read_runs([given[0].work_dir, trained[0].work_dir])
    for run in runs:
        add_settings(run)
        assert run.note is None
    variants = group_runs(runs)
    assert [len(variant.runs) for variant in variants] == [2]
    assert Levels(runs).of_teachers(variants[0], 'resnet8') == {
        name: ledger[name]['metric']['last']
        for name in ('resnet20', 'resnet14')
    }
    alone = runs[:1]
    assert Levels(alone).of_teachers(group_runs(alone)[0], 'resnet8') == dict(
        resnet20=None, resnet14=None)
    write_report([given[0].work_dir], str(tmp_path))
    text = (tmp_path / 'report.md').read_text()
    assert '| resnet14 (TA) | given | – | given | 175,258 |' in text
    assert '- **resnet14** (TA): 175 k parameters, given' in text


def test_runs_of_other_settings_are_not_the_same(trained, tmp_path):
    path = tmp_path / 'other'
    shutil.copytree(trained[0].work_dir, path)
    config = path / 'config.py'
    text = config.read_text()
    assert text.count('lr=0.1,') == 1
    config.write_text(text.replace('lr=0.1,', 'lr=0.2,'))
    data = read(path)
    for entry in data['stages'].values():
        entry['wrote']['sha256'] += 'other'
    (path / 'chain.json').write_text(json.dumps(data))
    runs = read_runs([trained[0].work_dir, str(path)])
    for run in runs:
        add_settings(run)
    methods = [group.method for group in group_stages(runs)]
    assert methods == [
        'alone (lr=0.1)', 'alone (lr=0.2)', 'DGKD (lr=0.1)', 'DGKD (lr=0.2)',
        'DGKD (lr=0.1)', 'DGKD (lr=0.2)'
    ]
    assert len(group_runs(runs)) == 2


def test_seeds_are_put_together(tmp_path):
    """90, 92 and 97: the mean is 93, the variance (9 + 1 + 16) / 2."""
    paths = []
    for seed, last in enumerate((90.0, 92.0, 97.0)):
        stages = dict(
            big=stage(99.0, 'the same file'),
            small=stage(last, f's{seed}', ['big']))
        paths.append(make_run(tmp_path / f'd{seed}', stages, seed=seed))
    paths.append(
        make_run(
            tmp_path / 'none',
            dict(big=stage(99.0, 'the same file'), small=stage(80.0, 'alone')),
            'none'))
    groups = {
        (group.network, group.method): group
        for group in group_stages(read_runs(paths))
    }
    assert set(groups) == {('big', 'alone'), ('small', 'DGKD'),
                           ('small', 'alone')}
    last = groups['small', 'DGKD'].last
    assert last.values == [90.0, 92.0, 97.0] and last.mean == 93.0
    assert last.deviation == pytest.approx(13**0.5)
    assert str(last) == '93.00\u00a0±\u00a03.61'
    # One file is one training, in however many work dirs it is.
    assert groups['big', 'alone'].last.values == [99.0]
    write_report(paths, str(tmp_path / 'out'))
    text = (tmp_path / 'out/report.html').read_text()
    assert '<td class="number">3</td><td class="number">93.00\u00a0±' in text
    assert ('ended with accuracy/top1 80.00\u00a0% alone and 93.00\u00a0±'
            '\u00a03.61\u00a0% by DGKD (n=3)') in text


def test_chains_of_other_networks_are_distinguished(tmp_path):
    big, small = stage(99.0, 'big'), stage(80.0, 'small', ['big'])
    paths = [
        make_run(tmp_path / 'kd', dict(big=big, small=small), 'direct'),
        make_run(
            tmp_path / 'dgkd',
            dict(
                big=big,
                middle=stage(90.0, 'middle', ['big']),
                small=stage(85.0, 'other', ['big', 'middle']))),
    ]
    write_report(paths, str(tmp_path / 'out'))
    text = (tmp_path / 'out/report.md').read_text()
    chains = 'big → small and big → middle → small'
    assert text.startswith(f'# Training the chains {chains}\n')
    assert (f'2 chains, {chains}, were trained in 2 ways (KD, DGKD), 2 runs. '
            'The student small ended with accuracy/top1 80.00') in text


def test_what_has_just_begun_does_not_hide_the_metric(tmp_path):
    paths = [
        make_run(tmp_path / 'a', dict(one=dict(state='pending', guides=[]))),
        make_run(tmp_path / 'b', dict(one=stage(80.0, 'x')), seed=1)
    ]
    write_report(paths, str(tmp_path / 'out'))
    text = (tmp_path / 'out/report.md').read_text()
    assert 'one ended with accuracy/top1 80.00' in text and 'None' not in text


def test_other_metrics_are_not_averaged(tmp_path):
    paths = []
    for name in ('accuracy/top1', 'loss'):
        one = stage(80.0, name)
        one['metric']['name'] = name
        paths.append(make_run(tmp_path / name[:4], dict(one=one)))
    assert [group.last.values
            for group in group_stages(read_runs(paths))] == [[80.0], [80.0]]


def test_long_settings_are_distinguished():
    groups = []
    for end in 'ab':
        run = SimpleNamespace(stages={})
        run.stages['one'] = Stage(
            'one',
            'network',
            'done', (),
            'alone',
            settings=dict(x=30 * '-' + end))
        groups.append(run)
    methods = [group.method for group in group_stages(groups)]
    assert len(set(methods)) == 2 and methods[1].endswith('…, variant 2)')


def test_unfinished_stages_are_shown_and_not_counted(tmp_path):
    running = stage(50.0, None, ['a'], state='running')
    del running['wrote']
    path = make_run(
        tmp_path / 'run',
        dict(
            a=stage(99.0, 'a'),
            b=running,
            c=dict(state='pending', guides=['a', 'b'])))
    groups = group_stages(read_runs([path]))
    assert [group.last.mean for group in groups] == [99.0, None, None]
    write_report([path], str(tmp_path / 'out'))
    text = (tmp_path / 'out/report.html').read_text()
    assert 'Not finished: 2 of 3 stages (b of run is running, 2 so far; c of '\
        'run is pending); they are not counted.' in text
    assert '<td class="short">running, 2 so far</td>' in text
    assert '<td class="short">pending</td>' in text
    # A note says that its config.py is missing; its cells have dashes.
    assert 'run: its config.py could not be read' in text
    assert str(tmp_path) not in text


def test_nothing_trained_yet(tmp_path):
    path = make_run(tmp_path / 'run', dict(a=dict(state='pending', guides=[])))
    names = [Path(name).name for name in write_report([path])]
    assert names == ['report.md', 'report.html']
    assert (tmp_path / 'run/report/report.html').exists()


def test_names_are_escaped(tmp_path):
    bad = '"><script>$\\q$|\'&<i onload="x'
    path = make_run(tmp_path / 'a<b>', {
        bad: stage(90.0, 'x'),
        'c': stage(80.0, 'y', [bad])
    })
    write_report([path], str(tmp_path / 'out'), title='<script>|&')
    found = []

    class Parser(HTMLParser):

        def handle_starttag(self, tag, attrs):
            found.append((tag, {key for key, _ in attrs}))

    text = (tmp_path / 'out/report.html').read_text()
    Parser().feed(text)
    assert len(found) > 100
    for tag, keys in found:
        assert tag not in ('script', 'i') and 'onload' not in keys, text
    assert sum(tag == 'b' for tag, _ in found) == 4  # of two boxes
    assert '&lt;script&gt;|&amp;</h1>' in text
    text = (tmp_path / 'out/report.md').read_text()
    assert '<script' not in text and '<i ' not in text
    lines = [
        line for line in text.splitlines()
        if line.startswith('| ">&lt;script>')
    ]
    assert lines
    for line in lines:
        assert len(re.findall(r'(?<!\\)\|', line)) == 10


def test_what_the_store_saved(tmp_path):
    """100 outputs took 2 s; the 50 hits would have taken 1 s."""
    teacher = dict(big=dict(file='x', sha256='b'))
    count = dict(recalled=0, computed=100, seconds=2.0)
    first = stage(80.0, 'm', ['big'], read=teacher, store=dict(big=count))
    second = stage(
        70.0,
        's', ['big'],
        read=teacher,
        store=dict(big=dict(recalled=50, computed=0, seconds=0.0)))
    stages = dict(big=stage(90.0, 'b'), middle=first, small=second)
    run = read_runs([make_run(tmp_path / 'run', stages, 'direct')])[0]
    savings = Savings([run])
    assert savings.of(run.stages['middle']) == 0.0
    assert savings.of(run.stages['small']) == 1.0
    assert savings.of(run.stages['big']) is None
    write_report([run.path], str(tmp_path / 'out'))
    assert ('| KD | small | 10.0 s | 50 | 50 | 0.0 s | 1.0 s |'
            in (tmp_path / 'out/report.md').read_text())
    # Of another file, or without a measured time, there is no result.
    for change in (dict(file='x', sha256='other'), None):
        stages = copy.deepcopy(stages)
        if change:
            stages['small']['read'] = dict(big=change)
        else:
            del stages['small']['read']
        path = make_run(tmp_path / f'run {change}', stages, 'direct')
        other = read_runs([path])[0]
        assert Savings([other]).of(other.stages['small']) is None


@pytest.mark.parametrize('text, message', [
    (None, 'holds no chain.json'),
    ('{"version": 1, "stages": {"a": {"sta', 'is not readable as a ledger'),
    ('{"version": 1, "stages": {"a": 5}}', 'is not readable as a ledger'),
    ('{"version": 1, "stages": {}}', r'stages: {} '),
    ('{"version": 7, "stages": {}}', 'is of version 7, should be 1'),
    ('[]', 'is not readable as a ledger'),
])
def test_bad_work_dirs(tmp_path, text, message):
    if text is not None:
        (tmp_path / 'chain.json').write_text(text)
    with pytest.raises(ConfigError, match=message) as info:
        write_report([str(tmp_path)])
    assert str(tmp_path) in str(info.value) and '\n' not in str(info.value)
    assert not (tmp_path / 'report').exists()


def test_bad_folders(trained, tmp_path):
    work_dir = trained[0].work_dir
    for paths, out, message in (([str(tmp_path / 'no')], None,
                                 'there is no folder'),
                                ([work_dir,
                                  work_dir + '/'], None, 'is given twice'),
                                ([work_dir], work_dir + '/resnet8',
                                 'the folder of the network'),
                                ([work_dir], work_dir + '/chain.json',
                                 'cannot be made')):
        with pytest.raises(ConfigError, match=message):
            write_report(paths, out)


def test_a_teacher_is_the_one_of_its_file(tmp_path):
    """Two chains, whose teachers have a name in common."""
    first = make_run(
        tmp_path / 'a',
        dict(
            big=stage(90., 'a1'),
            small=stage(
                80., 'a2', ['big'],
                read=dict(big=dict(file='x', sha256='a1')))))
    second = make_run(
        tmp_path / 'b',
        dict(
            big=dict(
                state='given', guides=[], wrote=dict(file='y', sha256='b1')),
            small=stage(
                70., 'b2', ['big'],
                read=dict(big=dict(file='y', sha256='b1')))),
        seed=1)
    write_report([first, second], str(tmp_path / 'out'))
    text = (tmp_path / 'out/report.md').read_text()
    assert '70.00' in text and '80.00' in text
    # The given one has no level here: that of the other chain is not its.
    assert text.count('big') > 2
    runs = read_runs([second])
    variants = group_runs(runs, group_stages(runs))
    assert Levels(read_runs([first,
                             second])).of_teachers(variants[0],
                                                   'small') == dict(big=None)
    alone = tmp_path / 'alone'
    write_report([second, first], str(alone))
    rows = [
        line for line in (alone / 'report.md').read_text().splitlines()
        if 'given' in line and 'big' in line
    ]
    assert rows


def test_headings_are_the_names_in_the_charts(tmp_path):
    """Of two variants of one method, and legends fit their pictures."""
    paths = [
        make_run(
            tmp_path / name,
            dict(
                big=stage(90. + seed, f'{name}1', config_sha256=name),
                small=stage(80. + seed, f'{name}2', ['big'])),
            seed=seed) for seed, name in enumerate(('one', 'two'))
    ]
    runs = read_runs(paths)
    for run, tau in zip(runs, (1, 4)):
        for one in run.stages.values():
            one.settings = {
                'a_very_long_key_of_a_distiller_in_a_config.tau': str(tau)
            }
    groups = group_stages(runs)
    variants = group_runs(runs, groups)
    names = {group.method for group in groups if group.network == 'small'}
    assert len(names) == 2
    assert {variant.method for variant in variants} == names
