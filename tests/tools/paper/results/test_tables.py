# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import numpy as np
import pytest
from results.markdown import fill, stale
from results.results import Results
from results.tables import (blocks, main_table, order_table, overlap_table,
                            short_table, survival_table, tas_table,
                            teachers_table)

from mmdgkd import ConfigError


def rows(text):
    """The cells of a table by its rows, without heads and notes."""
    lines = [line for line in text.splitlines() if line.startswith('|')][2:]
    return [[cell.strip() for cell in line.strip('|').split('|')]
            for line in lines]


@pytest.fixture
def students(make_record):
    """A function that makes a student of each seed."""

    def make(method, figures, **kwargs):
        return [
            make_record(method, best, seed, **kwargs)
            for seed, best in enumerate(figures)
        ]

    return make


def test_main_table(students):
    results = Results(
        students('alone', [39., 40., 41.]) +
        students('kd', [44., 45., 46.], last=43.) + students('dgkd', [48.]))
    found = {
        row[0]: row[1:]
        for row in rows(main_table(results, 'released-none'))
    }
    assert list(found) == [
        'alone', 'KD', 'TAKD', 'DGKD', 'stochastic DGKD', 'equal-weight KD',
        'equal-weight TAKD'
    ]
    assert found['alone'] == [
        '40.00 ± 1.00', '40.00 ± 1.00', '3', '2', '-', '-', '41.09'
    ]
    # sqrt(1/3 + 1/3) is 0.82, and 5 is more than 2 sqrt(2).
    assert found['KD'] == [
        '45.00 ± 1.00', '43.00 ± 0.00', '3', '2', '+5.00 (0.82)*', '1', '44.57'
    ]
    # Against the same seed of alone only, which has no spread.
    assert found['DGKD'] == ['48.00', '48.00', '1', '2', '+9.00', '4', '48.92']
    assert found['TAKD'] == ['-'] * 6 + ['45.14']
    assert main_table(results, 'own-crop_flip') == 'No runs yet.'


def test_teachers_of_another_setting(make_record):
    """They are found by the files that the students have read."""
    wrong = np.arange(10000) < 4000
    results = Results([
        make_record('alone', 70., network='plain10', setting='own-crop_flip',
                    sha256='a' * 64),
        make_record('kd', 60., guide_sha256=dict(plain10='a' * 64)),
        make_record('alone', 50.),
        make_record('kd', 61., setting='released-crop_flip', wrong=wrong[::-1],
                    last=60., guide_sha256=dict(plain10='b' * 64)),
    ])  # yapf: disable
    note = ('In *released recipe, no augmentation* the students have the '
            'teacher and the TAs of *own recipe, crop + flip*: the same '
            'files, by their sha256.')
    assert teachers_table(results, 'released-none') == note
    assert note in main_table(results, 'released-none')
    assert note in short_table(results)
    assert results.teacher('released-none', 'kd', 'plain10').best == 70
    # No record has that file.
    assert results.teacher('released-crop_flip', 'kd', 'plain10') is None
    assert 'the students have' not in main_table(results, 'released-crop_flip')
    assert rows(teachers_table(results, 'own-crop_flip'))[0][1] == 'teacher'


def test_other_lengths_are_never_averaged(students, make_record):
    results = Results(
        students('alone', [40., 41.]) + students('kd', [44., 45.]) +
        [make_record('kd', 60., seed=2, epochs=9)] +
        [make_record('dgkd', 70., seed=0, epochs=9)])
    found = rows(main_table(results, 'released-none'))
    kd = [row for row in found if row[0] == 'KD']
    assert [(row[1], row[3], row[4]) for row in kd] == [
        ('44.50 ± 0.71', '2', '2'), ('60.00', '1', '9')]  # yapf: disable
    # No gain over what was trained for another time.
    assert kd[1][5] == '-'
    assert [row[5] for row in found if row[0] == 'DGKD'] == ['-']
    assert [row[1] for row in rows(short_table(results))[:4]
            ] == ['40.50 ± 0.71', '44.50 ± 0.71', '-', '-']
    text = order_table(results)
    assert '60' not in text and '70' not in text


@pytest.mark.parametrize('setting', ['own-crop_flip', 'short-crop_flip'])
def test_controls_of_equal_weight_have_no_row_where_all_weigh_the_same(
        students, setting):
    results = Results(
        students('kd', [50.], setting=setting) +
        students('dgkd', [51.], setting=setting, kd_weight=1))
    labels = [row[0] for row in rows(main_table(results, setting))]
    assert labels == ['alone', 'KD', 'TAKD', 'DGKD', 'stochastic DGKD']
    # By DGKD's weight, not by the name of the recipe.
    results = Results(students('dgkd', [51.], setting=setting))
    assert len(rows(main_table(results, setting))) == 7


def test_where_all_weigh_the_same_the_controls_are_those_two(students):
    own = dict(setting='own-crop_flip')
    results = Results(
        students('kd', [50., 51.], **own) +
        students('takd', [40., 41.], **own) +
        students('dgkd', [50.5], kd_weight=1, **own) +
        students('kd', [44.], variant='equal_weight', kd_weight=4))
    text = short_table(results)
    found = {row[0]: row[1:3] for row in rows(text)}
    assert found['equal-weight KD'] == ['44.00', '= KD']
    assert found['equal-weight TAKD'] == ['-', '= TAKD']
    assert '=: in that recipe all methods have one total weight' in text
    assert '(1 to 2 runs; without ± it is one)' in text


def test_the_short_recipe_is_in_its_own_table_alone(students):
    short = students('kd', [50.], setting='short-crop_flip')
    assert short_table(Results(short)) == 'No runs yet.'
    both = Results([*short, *students('kd', [44.])])
    assert [row[0] for row in rows(short_table(both))][1] == 'KD'
    assert '50.00' not in short_table(both)
    assert '50.00' in main_table(both, 'short-crop_flip')


def test_teachers_table(make_record):
    results = Results([
        make_record('alone', 60., network='plain10'),
        make_record('dgkd', 58., network='plain8'),
        make_record('dgkd', 57., network='plain6'),
        make_record('takd', 56., network='plain6'),
    ])
    found = rows(teachers_table(results, 'released-none'))
    assert [row[:4] for row in found] == [
        ['plain10', 'teacher', '-', '60.00'],
        ['plain8', 'DGKD and TAKD', 'plain10', '58.00'],
        ['plain6', 'TAKD', 'plain8', '56.00'],
        ['plain6', 'DGKD', 'plain10, plain8', '57.00'],
        ['plain4', '-', '-', '-'],
    ]


def test_number_of_tas(students):
    assert tas_table(Results(students('dgkd', [48.]))) == 'No runs yet.'
    results = Results(
        students('kd', [44.]) + students('takd', [45., 46.]) +
        students('dgkd', [48., 49.]) +
        students('dgkd', [46., 47.], variant='tas_1'))
    assert [row[1:6] for row in rows(tas_table(results))] == [
        ['0 (KD)', '44.00', '44.00', '-', '1'],
        ['1', '-', '46.50 ± 0.71', '-', '0 / 2'],
        ['3', '45.50 ± 0.71', '48.50 ± 0.71', '+3.00 (0.71)*', '2'],
    ]


def test_survival(students, make_record):
    results = Results(
        students('dgkd', [48., 49.]) + students('dgkd_stochastic', [50.]) +
        students('dgkd_stochastic', [49., 50.], variant='keep_0.75') +
        students('dgkd_stochastic', [46., 47.], variant='keep_0.5') +
        # A TA, of fewer teachers, does not count for the student's.
        [make_record('dgkd_stochastic', 55., network='plain6')])
    assert [row[1:4] + row[5:6] for row in rows(survival_table(results))] == [
        ['0.5', 'each at random', '46.50 ± 0.71', '-2.00 (0.71)'],
        ['0.75', 'exactly one', '50.00', '+2.00'],
        ['0.75', 'each at random', '49.50 ± 0.71', '+1.00 (0.71)'],
        ['1', 'none (DGKD)', '48.50 ± 0.71', '-'],
    ]


def test_overlap_by_hand(make_record):
    image = np.arange(10000)
    results = Results([
        make_record('alone', 60., network='plain10', wrong=image < 4000),
        make_record('dgkd', 58., network='plain8', wrong=image >= 5800),
        make_record('dgkd', 58., network='plain6', wrong=image >= 5800),
        make_record('dgkd', 50., wrong=(image >= 1000) & (image < 6000)),
        make_record('dgkd', 50., 1, wrong=(image >= 2000) & (image < 7000)),
    ])
    found = {row[1]: row[2:] for row in rows(overlap_table(results))}
    # 3,000 and 2,000 of the teacher's 4,000; TAKD shares the first TA.
    assert found['plain10 → plain2'] == [
        '-', '-', '-', '-', '2,500 ± 707', '62.5 ± 17.7', '50.0 ± 0.0',
        '1.25 ± 0.35'
    ]
    assert found['plain10 → plain8'] == ['0', '0.0', '42.0', '0.00'] * 2
    # The second TA is not shared; there is no third.
    assert found['plain8 → plain6'] == ['-'] * 4 + [
        '4,200', '100.0', '42.0', '2.38'
    ]
    assert len(found) == 3


def test_teacher_and_student_are_the_last_pair(make_record):
    # TAKD's TAs have no errors here.
    results = Results([
        make_record('alone', 60., network='plain10'),
        *(make_record('dgkd', 58., network=name)
          for name in ('plain8', 'plain6', 'plain4')),
        make_record('takd', 50.),
        make_record('dgkd', 50.),
    ])
    pairs = [row[1] for row in rows(overlap_table(results))]
    assert pairs == [
        'plain10 → plain8', 'plain8 → plain6', 'plain6 → plain4',
        'plain4 → plain2', 'plain10 → plain2'
    ]


def test_the_pairs_of_foreign_teachers_are_not_repeated(make_record):
    read = dict(plain10='a' * 64, plain4='b' * 64)
    results = Results([
        make_record('alone', network='plain10', setting='own-crop_flip',
                    sha256='a' * 64),
        make_record('takd', network='plain4', setting='own-crop_flip',
                    sha256='b' * 64),
        make_record('takd', setting='own-crop_flip'),
        make_record('takd', guide_sha256=read),
    ])  # yapf: disable
    found = [row[:2] for row in rows(overlap_table(results))]
    assert ['own recipe, crop + flip', 'plain4 → plain2'] in found
    released = [pair for name, pair in found if 'released' in name]
    assert released == ['plain4 → plain2', 'plain10 → plain2']


def test_order_and_what_differs(students, make_record):
    results = Results(
        students('alone', [39.9, 40., 40.1]) +
        students('kd', [44., 45., 46.], last=39.) +
        students('takd', [44., 45.5, 46.]) +
        students('dgkd', [38.9, 39., 39.1]) +
        students('dgkd_stochastic', [50.]) + [
            make_record('kd', 50., seed, variant='equal_weight')
            for seed in (7, 8)
        ])
    found = [row[1:] for row in rows(order_table(results))]
    assert [row[:3] + row[5:] for row in found] == [
        # One seed, and seeds that no other method has, show no difference.
        ['stochastic DGKD', '50.00', '?', '1'],
        ['equal-weight KD', '50.00 ± 0.00', '?', '2'],
        ['TAKD', '45.17 ± 1.04', 'alone, DGKD', '3'],
        ['KD', '45.00 ± 1.00', 'alone, DGKD', '3'],
        ['alone', '40.00 ± 0.10', 'KD, TAKD, DGKD', '3'],
        ['DGKD', '39.00 ± 0.10', 'alone, KD, TAKD', '3'],
    ]
    # By the last epoch KD is as good as DGKD.
    assert [row[3:5] for row in found if row[0] in ('KD', 'alone')] == [
        ['39.00 ± 0.00', 'alone, TAKD'],
        ['40.00 ± 0.10', 'KD, TAKD, DGKD']]  # yapf: disable
    assert rows(order_table(Results(students('kd', [40., 41.]))))[0][3] == '?'


def test_records_of_other_teachers_and_chains_are_refused(make_record):
    teacher = make_record('alone', 60., network='plain10', sha256='a')
    Results([teacher, make_record('kd', guide_sha256={'plain10': 'a'})])
    with pytest.raises(ConfigError, match='guide_sha256: kd plain2 seed 0'):
        Results([teacher, make_record('kd', guide_sha256={'plain10': 'b'})])
    # Stochastic DGKD has the TAs of DGKD.
    with pytest.raises(ConfigError, match='another plain6 than the recorded'):
        Results([
            make_record('dgkd', network='plain6', sha256='a'),
            make_record('dgkd_stochastic', guide_sha256={'plain6': 'b'})
        ])
    with pytest.raises(ConfigError, match='records: are of several chains'):
        Results([teacher, make_record('kd', dataset='cifar10')])


def test_no_records():
    assert set(blocks(Results([])).values()) == {'No runs yet.'}


def test_blocks_of_a_page():
    page = ('a\n<!-- results: one begin -->\nold\n<!-- results: one end -->\n'
            'b\n<!-- results: two begin --><!-- results: two end -->')
    texts = dict(one='new', two='table', three='unused')
    filled = fill('P', page, texts)
    assert filled == (
        'a\n<!-- results: one begin -->\nnew\n<!-- results: one end -->\nb\n'
        '<!-- results: two begin -->\ntable\n<!-- results: two end -->')
    assert fill('P', filled, texts) == filled
    assert stale('P', page, texts) == ['one', 'two']
    assert stale('P', filled, texts) == []


@pytest.mark.parametrize('page, message', [
    ('<!-- results: x begin --><!-- results: x end -->', 'x: is no block'),
    ('<!-- results: one begin -->', 'one: has no end mark'),
    ('<!-- results: one end -->', 'one: has no begin mark'),
    ('<!-- results: one begin --><!-- results: two begin -->'
     '<!-- results: two end --><!-- results: one end -->',
     'two: stands inside one'),
    ('<!-- results: one begin --><!-- results: two end -->',
     'one: has no end mark'),
    ('<!-- results: one begin --><!-- results: one end -->' * 2,
     'one: is there twice'),
])
def test_bad_marks_are_named(page, message):
    with pytest.raises(ConfigError, match=f'^P: results: {message}'):
        fill('P', page, dict(one='', two=''))
