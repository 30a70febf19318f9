# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import os
import time

import pytest
import torch

from mmdgkd import ConfigError
from mmdgkd.fileio.object_folder import ObjectFolder
from mmdgkd.logit_store.cleaning import collect_garbage
from mmdgkd.logit_store.inventory import (check_store, find_store,
                                          inspect_store, list_store)
from mmdgkd.logit_store.piece import unpack


def states_of(path, **kwargs):
    entries = inspect_store(find_store(str(path)), **kwargs)
    return {entry.teacher: entry.state for entry in entries}


def test_the_table_of_files(trained, capsys):
    list_store(trained[0].work_dir)
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
        list_store(str(copied))
        assert '4 files' in capsys.readouterr().out
        assert len(states_of(copied)) == 2
        collect_garbage(str(copied), [kept])
        assert 'removed 2 files' in capsys.readouterr().out
        assert set(states_of(copied)) == {'resnet20'}
    finally:
        os.rename(hidden, trained[0].work_dir)


def test_the_teacher_of_any_file_counts(copied):
    """The others are of a work dir that was removed."""
    for path in views_of(copied, 'resnet20')[:1]:
        piece = unpack(path.read_bytes())
        piece.header['info'] = dict(piece.header['info'], path='/gone.pth')
        piece.header['info'].pop('beside', None)
        store = find_store(str(copied))
        store.write(f'{path.parent.name}/{path.name.split("-")[0]}', '.npz',
                    piece.pack())
        path.unlink()
    assert states_of(copied)['resnet20'] == 'in use'
    views_of(copied, 'resnet20')[1].unlink()
    assert states_of(copied)['resnet20'] == 'its teacher is gone'


def views_of(copied, name):
    return sorted((copied / 'logits').glob(f'{name}-*/view_*'))


def test_damaged_and_unfinished_files_are_stale(copied):
    """A part that was just begun may be another process's."""
    folder = copied / 'logits'
    first, second = views_of(copied, 'resnet14')
    for path in (first, second):
        assert set(states_of(copied).values()) == {'in use'}
        with open(path, 'r+b') as file:
            file.seek(30)
            file.write(b'\0\0')
    parts = [folder / first.parent.name / f'view_{i}.part' for i in (0, 1)]
    for path in parts:
        path.write_bytes(b'half')
    os.utime(parts[0], (time.time() - 7200, ) * 2)
    old = folder / f'net-{"2" * 16}.logits'
    old.write_bytes(b'mmdgkd logits 1')
    for foreign in ('film.part', 'my.logits'):
        (folder / foreign).write_text('not ours')
    states = sorted(
        entry.state for entry in inspect_store(find_store(str(copied))))
    assert states == [
        'in use', 'is damaged', 'of an older mmdgkd',
        'unfinished, left by a kill'
    ]
    collect_garbage(str(copied))
    assert sorted(
        path.name for path in folder.rglob('*')
        if path.name.startswith(('film', 'my.', 'view', 'net'))) == [
            'film.part', 'my.logits',
            *(path.name for path in views_of(copied, 'resnet20')),
            'view_1.part'
        ]
    assert states_of(copied) == dict(resnet20='in use')


def test_a_store_of_an_older_format_is_refused_by_name(tmp_path):
    check_store(str(tmp_path / 'none'))
    check_store(str(tmp_path))
    path = tmp_path / f'net-{"2" * 16}.logits'
    path.write_bytes(b'mmdgkd logits 1')
    with pytest.raises(ConfigError) as error:
        check_store(str(tmp_path))
    assert str(path) in str(error.value)
    assert f'mmdgkd store gc {tmp_path}' in str(error.value)
    assert '\n' not in str(error.value)


def test_beside_a_training(copied, monkeypatch):
    """Files may be merged between the list and the look at them."""
    size = ObjectFolder.size

    def gone(self, name):
        os.remove(os.path.join(self.path, name))
        return size(self, name)

    monkeypatch.setattr(ObjectFolder, 'size', gone)
    assert set(states_of(copied).values()) == {'in use'}


def test_teachers_on_another_machine_are_not_stale(copied, tmp_path):
    """A store on a server has the paths of whoever trained them."""
    address = f'memory://{tmp_path.name}/logits'
    store = ObjectFolder(address, str(tmp_path / 'cache'))
    for path in views_of(copied, 'resnet20'):
        header = unpack(path.read_bytes())
        header.header['info']['path'] = '/elsewhere/resnet20.pth'
        store.write(f'{path.parent.name}/{path.name.split("-")[0]}', '.npz',
                    header.pack())
    collect_garbage(address)
    (entry, ) = inspect_store(find_store(address))
    assert entry.state == 'in use' and len(entry.files) == 2
