# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import os
import shutil

import pytest
import torch

from mmdgkd.logit_store.inventory import find_store, inspect_store, show_store


@pytest.fixture
def copied(trained, tmp_path):
    """The work dir of a trained chain, moved."""
    path = tmp_path / 'moved'
    shutil.copytree(trained[0].work_dir, path)
    return path


def states_of(path, **kwargs):
    entries = inspect_store(find_store(str(path)), **kwargs)
    return {entry['file'].split('-')[0]: entry['state'] for entry in entries}


def test_the_table_of_files(trained, capsys):
    show_store(trained[0].work_dir)
    lines = [[cell.strip() for cell in line.split('|')[1:-1]]
             for line in capsys.readouterr().out.splitlines()
             if line.startswith('| resnet')]
    assert len(lines) == 2
    for line in lines:
        assert line[1] == 'BatchedDigits, 64 samples, view seed 0'
        assert line[2] == 'float16' and line[3] == '2: 128'
        assert line[5] == 'in use'


def test_a_changed_teacher_is_stale(copied, trained, capsys):
    assert set(states_of(copied).values()) == {'in use'}
    # Hide the files of the first run, so that only the copies count.
    hidden = trained[0].work_dir + '.hidden'
    os.rename(trained[0].work_dir, hidden)
    try:
        assert set(states_of(copied).values()) == {'in use'}
        path = copied / 'resnet14' / 'resnet14.pth'
        file = torch.load(path)
        first = next(iter(file['state_dict'].values()))
        first.view(-1)[0] += 1
        torch.save(file, path)
        (copied / 'resnet20' / 'resnet20.pth').unlink()
        assert states_of(copied) == dict(
            resnet14='its teacher has changed', resnet20='its teacher is gone')
        kept = os.path.join(hidden, 'resnet20', 'resnet20.pth')
        assert states_of(copied, networks=[kept])['resnet20'] == 'in use'
        show_store(str(copied))
        assert '2 files' in capsys.readouterr().out
        assert len(states_of(copied)) == 2
        show_store(str(copied), [kept], drop=True)
        assert 'dropped 1 files' in capsys.readouterr().out
        assert set(states_of(copied)) == {'resnet20'}
    finally:
        os.rename(hidden, trained[0].work_dir)


def test_damaged_and_unfinished_files_are_stale(copied):
    folder = copied / 'logits'
    first = sorted(folder.glob('*.logits'))[0]
    with open(first, 'r+b') as file:
        file.seek(30)
        file.write(b'\0\0')
    half = folder / f'net-{"2" * 16}.logits.part'
    half.write_bytes(b'half')
    for foreign in ('film.part', 'my.logits'):
        (folder / foreign).write_text('not ours')
    states = states_of(copied)
    assert states.pop('net') == 'unfinished, left by a kill'
    assert sorted(states.values()) == ['in use', 'its header is damaged']
    show_store(str(copied), drop=True)
    assert sorted(path.name for path in folder.iterdir()
                  if path.name[0] != '.')[:2] == ['film.part', 'my.logits']
    assert list(states_of(copied).values()) == ['in use']
