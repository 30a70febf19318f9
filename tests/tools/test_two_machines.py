# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Two machines as namespaces of Linux: networks and folders of their own."""
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

SURVIVOR = 'tests/configs/survivor.py'
MACHINE = """
mount --bind "$FOLDER" /mnt
mount -t tmpfs none /media
export TMPDIR=/media
cd "$ROOT"
exec bash tools/dist_train.sh "$@"
"""


def ip(*words):
    subprocess.run(['ip', *words], check=True, capture_output=True)


@pytest.fixture
def networks():
    """The names of two networks, with a link between them."""
    names = [f'mmdgkd{os.getpid()}_{each}' for each in (0, 1)]
    try:
        for name in names:
            ip('netns', 'add', name)
        ip('link', 'add', 'veth0', 'netns', names[0], 'type', 'veth', 'peer',
           'name', 'veth1', 'netns', names[1])
        for each, name in enumerate(names):
            address = f'10.77.0.{each + 1}/24'
            ip('-n', name, 'addr', 'add', address, 'dev', f'veth{each}')
            for device in ('lo', f'veth{each}'):
                ip('-n', name, 'link', 'set', device, 'up')
        subprocess.run(['unshare', '-m', 'true'], check=True)
        yield names
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f'no networks can be made here: {error}')
    finally:
        for name in names:
            subprocess.run(['ip', 'netns', 'del', name], capture_output=True)


@pytest.fixture
def machines(networks, tmp_path, root):
    """A function that starts a training on both, with a folder of its own."""
    started = []
    script = Path(tmp_path / 'machine.sh')
    script.write_text(MACHINE)
    path = os.pathsep.join(
        [os.path.dirname(sys.executable), os.environ['PATH']])

    def start(*words):
        started.clear()
        for each, name in enumerate(networks):
            folder = tmp_path / str(each)
            folder.mkdir(exist_ok=True)
            env = dict(
                os.environ,
                PATH=path,
                ROOT=str(root),
                FOLDER=str(folder),
                GLOO_SOCKET_IFNAME=f'veth{each}',
                NNODES='2',
                NODE_RANK=str(each),
                MASTER_ADDR='10.77.0.1',
                OMP_NUM_THREADS='1')
            with open(tmp_path / f'err{each}', 'w') as err:
                started.append(
                    subprocess.Popen([
                        'ip', 'netns', 'exec', name, 'unshare', '-m', 'bash',
                        str(script), SURVIVOR, '1', '--work-dir', '/mnt',
                        *words
                    ],
                                     stderr=err,
                                     env=env))
        return started

    yield start
    for process in started:
        process.kill()


@pytest.mark.slow
def test_a_link_that_is_cut_and_no_shared_folder(machines, networks, tmp_path,
                                                 fork_ranks):
    """Both end, go on later, and have the weights of one machine."""

    def messages():
        return [(tmp_path / f'err{each}').read_text() for each in '01']

    options = ('--stage', 'resnet20', '--cfg-options',
               'train_cfg.max_epochs=20', 'chain.preflight=True')
    # Far more than a process may wait for a core of a busy machine.
    both = machines(*options, 'env_cfg.peer_timeout=20')
    while not [*(tmp_path / '0' / 'resnet20').glob('iter_*.pth')]:
        assert [each.poll() for each in both] == [None, None], messages()
        time.sleep(0.02)
    ip('-n', networks[1], 'link', 'set', 'veth1', 'down')
    assert [each.wait(120) for each in both] == [75, 75], messages()
    for text in messages():
        assert 'stopped: ' in text and 'Traceback' not in text
    ip('-n', networks[1], 'link', 'set', 'veth1', 'up')
    both = machines('--resume', *options, 'env_cfg.peer_timeout=60')
    assert [each.wait(240) for each in both] == [0, 0], messages()
    fork_ranks('tools/train.py', SURVIVOR, '--work-dir', tmp_path / 'whole',
               *options)
    found = [
        torch.load(tmp_path / each / 'resnet20/resnet20.pth')['state_dict']
        for each in ('0', '1', 'whole')
    ]
    for key, value in found.pop().items():
        for state in found:
            assert torch.equal(state[key], value), key
