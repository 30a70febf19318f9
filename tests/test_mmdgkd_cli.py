# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The command ``mmdgkd``: the same as the tools, from anywhere."""
import argparse
import configparser
import importlib.util
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections import Counter

import pytest
from chain_fixtures import CIFAR100
from PIL import Image

import mmdgkd_cli
from mmdgkd.chain.chain import GUIDANCES
from mmdgkd_cli.common import add_common_arguments
from mmdgkd_cli.store import views_from


@pytest.fixture
def mmdgkd(monkeypatch, capsys, tmp_path):
    """A function that types ``mmdgkd ...`` in an empty folder."""

    def run(*words):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, 'argv', ['mmdgkd', *map(str, words)])
        code = 0
        try:
            mmdgkd_cli.main()
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return run


def test_without_a_command_it_lists_them(mmdgkd):
    for words in ((), ('--help', ), ('-h', )):
        code, output, _ = mmdgkd(*words)
        assert code == 0
        for command in ('new', 'plan', 'train', 'test', 'export', 'report',
                        'store', 'compat', 'weigh'):
            assert f'\n  {command} ' in output


@pytest.mark.parametrize('command', mmdgkd_cli.COMMANDS)
def test_the_help_of_each_command_has_an_example(mmdgkd, command):
    code, output, _ = mmdgkd(command, '--help')
    assert code == 0
    assert output.startswith(f'usage: mmdgkd {command} [-h]')
    # Python 3.13 takes the indentation of a docstring away.
    (example, *_) = re.findall(rf'^ *mmdgkd ({command}\b.*)', output, re.M)
    # Its flags are there.
    words = re.sub(r'\\\n', '', example).split()
    assert all(f'{word}' in output for word in words if word[0] == '-')


def test_a_tool_of_the_checkout_is_a_command(run_here, mmdgkd):
    for command in ('new', 'train', 'test', 'export', 'report'):
        tool = run_here(f'tools/{command}.py', '--help').stdout
        _, output, _ = mmdgkd(command, '--help')
        # Their usage is wrapped elsewhere.
        assert tool.split()[2:] == output.split()[3:]


def test_a_plan_and_its_table_alone(mmdgkd):
    config = 'mmdgkd::dgkd/resnet20_to_resnet8_digits.py'
    code, table, _ = mmdgkd('plan', config, '--no-rehearsal')
    assert code == 0 and '| 3 resnet8  | resnet20, resnet14 |' in table
    code, plan, _ = mmdgkd('plan', config)
    assert code == 0 and plan.startswith(table.rstrip())
    assert 'rehearsal: ' in plan and 'rehearsal' not in table
    code, _, errors = mmdgkd('plan', 'mmdgkd::dgkd/no.py')
    assert code == 2 and errors.count('\n') == 1


def test_a_plan_of_several_runs(mmdgkd, trained, tmp_path):
    """Their jobs, what each waits for, and its state."""
    words = ('plan', 'mmdgkd::dgkd/resnet20_to_resnet8_digits.py',
             '--no-rehearsal', '--work-dir', tmp_path / 'work', '--guidance',
             'none', 'dense', '--seeds', '0', '1')
    code, table, errors = mmdgkd(*words)
    assert code == 0, errors
    jobs = [[cell.strip() for cell in line.split('|')[1:-1]]
            for line in table.splitlines() if '/resnet' in line]
    assert ['none_seed0/resnet20', '-', 'pending'] in jobs
    assert [
        'dense_seed1/resnet8', 'none_seed0/resnet20, dense_seed0/resnet14',
        'pending'
    ] in jobs
    assert not (tmp_path / 'work').exists()
    code, _, errors = mmdgkd(*words, '--stage', 'resnet14')
    assert code == 2 and errors.startswith('error: --stage: is one of a chain')
    code, _, errors = mmdgkd(*words[:-1], '0')
    assert code == 2 and errors == 'error: --seeds: 0 is given twice\n'


def test_a_store(mmdgkd, trained, tmp_path):
    """It is filled, checked, listed and cleaned."""
    work, store = str(tmp_path / 'work'), str(tmp_path / 'logits')
    shutil.copytree(trained[0].work_dir, work)
    config = (os.path.join(work, 'config.py'), '--work-dir', work,
              '--cfg-options', f'chain.logit_store.store_dir={store}')
    code, output, errors = mmdgkd('store', 'fill', *config, '--teacher',
                                  'resnet14', '--views', '1')
    assert code == 0, errors
    assert output.startswith('view 1: 64 rows computed of resnet14, ')
    code, output, _ = mmdgkd('store', 'verify', *config, '--teacher',
                             'resnet14', '--samples', '1')
    assert code == 0 and re.search(r'\| resnet14 +\| +1 \| +32 \| +32 ',
                                   output)
    code, output, _ = mmdgkd('store', 'list', store)
    assert code == 0 and '| resnet14-' in output and ' 1: 64 ' in output
    code, output, _ = mmdgkd('store', 'gc', store)
    assert code == 0 and output == 'removed 0 files, 0.0 MB\n'
    code, output, _ = mmdgkd('store', 'drop', store, '--teacher', 'resnet14')
    assert code == 0 and output.startswith('removed 1 files, 0.0 MB')
    assert os.listdir(store) == []


def test_the_repairs(mmdgkd):
    code, output, _ = mmdgkd('compat')
    assert code == 0 and ': in force\n  symptom: ' in output


@pytest.mark.parametrize('errors', [subprocess.PIPE, subprocess.STDOUT])
def test_an_output_that_is_closed_ends_it(root, errors):
    """As by ``mmdgkd compat | head -1``, or ``2>&1 | head -1``."""
    done = subprocess.Popen(
        [sys.executable, '-c', 'import mmdgkd_cli; mmdgkd_cli.main()'] +
        ['compat'],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True)
    done.stdout.close()
    if done.stderr:
        assert done.stderr.read() == 'stopped: the output was closed\n'
    assert done.wait() == 141


def test_another_broken_pipe_is_no_closed_output(mmdgkd, monkeypatch):
    """Such as one of a worker."""

    def broken(args):
        raise BrokenPipeError('of a worker')

    monkeypatch.setattr('mmdgkd_cli.compat.run', broken)
    code, _, errors = mmdgkd('compat')
    assert code == 3 and errors.startswith(
        'error: BrokenPipeError: of a worker; the traceback is in ')


@pytest.mark.parametrize('line, wanted',
                         [('mmdgkd pl', 'plan'),
                          ('mmdgkd plan --no', '--no-rehearsal')])
def test_a_shell_completes_commands_and_flags(run_tool, root, tmp_path, line,
                                              wanted):
    """As its completion function calls it; the answer is in a file."""
    pytest.importorskip('argcomplete')
    found = tmp_path / 'found'
    run_tool(
        sys.executable,
        '-c',
        'import mmdgkd_cli; mmdgkd_cli.main()',
        PYTHONPATH=str(root),
        _ARGCOMPLETE='1',
        _ARGCOMPLETE_STDOUT_FILENAME=str(found),
        _ARGCOMPLETE_IFS='\n',
        COMP_LINE=line,
        COMP_POINT=str(len(line)))
    assert [word.strip() for word in found.read_text().split()] == [wanted]


def test_the_words_of_guidance_are_those_of_a_chain():
    """They are written out: the help imports no package."""
    parser = argparse.ArgumentParser()
    add_common_arguments(parser)
    for word in GUIDANCES:
        args = parser.parse_args(['config.py', '--guidance', word])
        assert args.guidance == word


@pytest.mark.parametrize('words, message', [
    (('trian', ), "'trian' is none of .*; did you mean train?"),
    (('train', 'no.py'), "config: there is no file 'no.py'"),
    (('report', 'no'), "'no'"),
    (('store', 'list', 'no'), "'no': is no folder"),
    (('store', 'list', 's4://no'), 'fsspec knows no such protocol'),
    (('store', 'fill', 'no.py'), "config: there is no file 'no.py'"),
])
def test_a_mistake_is_one_line(mmdgkd, words, message):
    code, output, errors = mmdgkd(*words)
    assert code == 2 and not output and errors.count('\n') == 1
    assert errors.startswith('error: ') and re.search(message, errors)


@pytest.mark.parametrize('text, wanted', [
    ('3', range(3, 4)),
    ('3:7', range(3, 7)),
    ('3:', None),
    (':3', None),
    ('a', None),
])
def test_the_views_of_a_command(text, wanted):
    if wanted is None:
        with pytest.raises(argparse.ArgumentTypeError, match='must be A:B'):
            views_from(text)
    else:
        assert views_from(text) == wanted


def test_a_missing_package_is_one_line(run_tool, root):
    """Also one that the flags of a command are read by."""
    script = ('import sys, mmdgkd_cli; sys.argv[1:] = ["train", "x.py"]\n'
              'sys.modules["mmengine"] = None; mmdgkd_cli.main()')
    done = run_tool(
        sys.executable, '-c', script, check=False, PYTHONPATH=str(root))
    assert done.returncode == 1 and done.stderr.count('\n') == 1
    assert done.stderr.startswith('error: ') and 'mmengine' in done.stderr


def test_its_help_imports_no_package(run_tool, root):
    """Nor does that of a command, but what reads key=value."""
    script = ('import sys, mmdgkd_cli; sys.argv[1:] = ["train", "--help"]\n'
              'try: mmdgkd_cli.main()\n'
              'finally: print("torch" in sys.modules, '
              '"mmdgkd" in sys.modules)')
    done = run_tool(sys.executable, '-c', script, PYTHONPATH=str(root))
    assert done.stdout.endswith('False False\n')


def test_the_package_has_the_tools_and_the_configs(root):
    """As links in a checkout, and as files in a wheel (setup.cfg)."""
    package = importlib.util.find_spec('mmdgkd').origin
    inside = root / 'mmdgkd' / '.mim'
    assert package == str(root / 'mmdgkd' / '__init__.py')
    for name in ('tools', 'configs', 'model-index.yml'):
        assert (inside / name).resolve() == root / name


def test_a_wheel_has_all_of_them(root):
    setup = configparser.ConfigParser()
    setup.read(root / 'setup.cfg')
    patterns = setup['options.package_data']['mmdgkd'].split()
    packed = {
        path.resolve()
        for pattern in patterns
        for path in (root / 'mmdgkd').glob(pattern)
    }
    wanted = [
        *root.glob('configs/**/*.py'), *root.glob('tools/*.py'),
        *root.glob('tools/*.sh'), *root.glob('configs/*/metafile.yml')
    ]
    assert len(wanted) > 150 and {*wanted} <= packed


@pytest.fixture
def images(request, tmp_path):
    """A folder of images of ten classes, 64 px: of CIFAR-100 or of digits."""
    if CIFAR100.exists():
        files = request.getfixturevalue('cifar100') / 'cifar-100-python'
        with open(files / 'test', 'rb') as file:
            data = pickle.load(file, encoding='bytes')
        pixels = data[b'data'].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        labels = data[b'fine_labels']
    else:
        from sklearn.datasets import load_digits
        digits = load_digits()
        pixels = (digits.images * 15.9).astype('uint8')[..., None].repeat(3, 3)
        labels = digits.target
    taken = Counter()
    for image, label in zip(pixels, labels):
        if label < 10 and taken[label] < 12:
            folder = tmp_path / 'images' / f'class {label}'
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).resize(
                (64, 64)).save(folder / f'{taken[label]}.png')
            taken[label] += 1


@pytest.mark.slow
@pytest.mark.xdist_group('cifar100')
def test_from_a_folder_of_images_to_a_report(mmdgkd, images, tmp_path):
    """Three kinds of networks, by their names, in two commands; the rest
    looks at what they have made."""
    pytest.importorskip('timm')
    code, output, errors = mmdgkd('new', 'own.py', '--data', 'images',
                                  '--teacher', 'timm:resnet18', '--tas',
                                  'deit-tiny_4xb256_in1k', '--student',
                                  'mobilenet-v3-small-050_3rdparty_in1k',
                                  '--epochs', '1')
    assert code == 0, errors
    assert output.endswith('next: mmdgkd train own.py\n')
    assert len((tmp_path / 'own.py').read_text().splitlines()) <= 40
    # It has been rehearsed already.
    code, output, errors = mmdgkd('train', 'own.py', '--cfg-options',
                                  'chain.preflight=False')
    assert code == 0, errors
    names = ('resnet18', 'deit_tiny', 'mobilenet_v3_small_050')
    for i, name in enumerate(names, 1):
        assert f'stage {i}/3 {name}: accuracy/top1 ' in output
    work = tmp_path / 'work_dirs' / 'own'
    # One for each teacher: all networks have the same views.
    assert len([*work.glob('logits/*')]) == 2
    for words in (('test', 'own.py'), ('export', 'own.py'), ('report', work)):
        code, output, errors = mmdgkd(*words)
        assert code == 0, errors
    for name in names:
        assert (work / name / f'{name}.pt2').exists()
    assert (work / 'report' / 'report.html').exists()
