# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The table of mutations fits the code; ``mutations.py`` runs them."""
import re

import pytest
from _mutation_table import MUTATIONS


def test_there_are_at_least_forty_of_different_names():
    assert len({each.name for each in MUTATIONS}) == len(MUTATIONS) >= 40


@pytest.mark.parametrize('mutation', MUTATIONS, ids=lambda each: each.name)
def test_it_is_not_stale(mutation, root):
    text = (root / mutation.file).read_text()
    assert text.count(mutation.old) == 1 and mutation.new != mutation.old
    if mutation.file.endswith('.py'):
        changed = text.replace(mutation.old, mutation.new)
        compile(changed, mutation.file, 'exec')
    assert mutation.tests
    for test in mutation.tests:
        file, name = test.split('::')
        name = re.escape(name.split('[')[0])
        assert re.search(rf'^def {name}\(', (root / file).read_text(), re.M)
