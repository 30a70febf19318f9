# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Where teacher and student differ, by their predictions in the work dirs."""
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mmdgkd.fileio.predictions import Predictions, read_predictions
from .formatting import format_count
from .groups import Levels, Variant
from .images import Thumbnail, load_thumbnails
from .plots import Panel
from .records import Run, Stage

_PAIRS = 12  # rows of the table of confused classes
_IMAGES = 12


@dataclass
class Difference:
    """An image that the teacher knows and the student does not."""

    index: int  # in the data set
    truth: str
    taken_for: str
    teacher: float  # its probability of the true class
    student: float  # likewise
    wrong: float  # the student's probability of what it takes it for
    picture: Panel | None = None


@dataclass
class Comparison:
    """What a page shows of the teacher and the student of a variant.

    Attributes:
        title (str): The method, and the work dir where there are several.
        names (list[str]): Teacher and student, or the only network.
        matrices (list[np.ndarray]): For each the number of images by true and
            predicted class, int64 of shape (C, C).
        classes (list[str]): The names of the classes.
        agreement (list[tuple]): Rows of a table: who is right.
        pairs (list[tuple]): Likewise: what is taken for what.
        differences (list[Difference]): Images, the most different first.
        note (str): What is missing and why; one line.
        panels (list[Panel]): The matrices, drawn.
    """

    title: str
    names: list[str] = field(default_factory=list)
    matrices: list[np.ndarray] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    agreement: list[tuple] = field(default_factory=list)
    pairs: list[tuple] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    note: str = ''
    panels: list[Panel] = field(default_factory=list)


def compare(variants: Sequence[Variant], levels: Levels) -> list[Comparison]:
    """Compare teacher and student of each variant, by its first run with both.

    Args:
        variants (Sequence[Variant]): Runs of the same chain.
        levels (Levels): Knows where a given network was trained.
    """
    return [
        _of_variant(variant, levels, i)
        for i, variant in enumerate(variants, 1)
    ]


def _of_variant(variant: Variant, levels: Levels, number: int) -> Comparison:
    names = list(dict.fromkeys((variant.names[0], variant.names[-1])))
    notes = []
    for run in variant.runs:
        found, note = _predictions_of(run, names, levels)
        if found:
            title = variant.method
            if len(variant.runs) > 1:
                title += f' ({run.label})'
            return _of_run(run, title, names, found, number)
        notes.append(note)
    return Comparison(variant.method, note=notes[0])


def _predictions_of(run: Run, names: Sequence[str],
                    levels: Levels) -> tuple[list[Predictions], str]:
    """The predictions of some networks of a run, or why there are none."""
    found = []
    for name in names:
        one = _predictions(run, run.stages[name], levels)
        if isinstance(one, str):
            return [], f'Not shown: {name} of {run.label} {one}.'
        found.append(one)
    first, last = found[0], found[-1]
    for key in ('data', 'indices', 'labels'):
        if not np.array_equal(getattr(first, key), getattr(last, key)):
            return [], (f'Not shown: {" and ".join(names)} of {run.label} '
                        'were run on different images; '
                        f'mmdgkd test {run.config or "CONFIG"} runs all '
                        'networks on the same.')
    return found, ''


def _predictions(run: Run, stage: Stage, levels: Levels) -> Predictions | str:
    """Those of the very file of a network, or why there are none."""
    if stage.state not in ('done', 'given'):
        return 'is not trained yet'
    reason = ''
    for one in (stage, levels.origin(stage)):
        if one is None or one.folder is None:
            continue
        try:
            found = read_predictions(one.folder)
        except ValueError as error:
            reason = f': {error}'
            continue
        if found is None or found.weights != stage.weights:
            continue
        if found.note or not len(found.labels):
            return f'has none: {found.note or "no image was read"}'
        return found
    return (f'has no predictions of its weights in the work dir{reason}; '
            f'mmdgkd test {run.config or "CONFIG"} writes them')


def _of_run(run: Run, title: str, names: list[str], found: list[Predictions],
            number: int) -> Comparison:
    labels = found[-1].labels.astype(np.int64)
    count = int(max(max(one.labels.max(), one.preds.max()) for one in found))
    count = max(count + 1, *(len(one.classes) for one in found))
    classes = [str(name) for name in found[-1].classes]
    classes += [f'class {i}' for i in range(len(classes), count)]
    matrices = [_matrix(labels, one.preds, count) for one in found]
    result = Comparison(title, names, matrices, classes)
    result.pairs = _confused(matrices, classes)
    if len(found) > 1:
        result.agreement = _agreement(*found, *names)
        _add_differences(result, run, *found, number)
    return result


def _matrix(labels: np.ndarray, preds: np.ndarray, count: int) -> np.ndarray:
    cells = np.bincount(labels * count + preds, minlength=count * count)
    return cells.reshape(count, count)


def _confused(matrices: Sequence[np.ndarray],
              classes: Sequence[str]) -> list[tuple]:
    """What the last network confuses most often, and how often the others."""
    errors = matrices[-1].copy()
    totals = errors.sum(1)
    np.fill_diagonal(errors, 0)
    order = np.argsort(-errors, axis=None, kind='stable')[:_PAIRS]
    rows = []
    for truth, taken in zip(*np.unravel_index(order, errors.shape)):
        if errors[truth, taken]:
            rows.append(
                (classes[truth], classes[taken], *(str(matrix[truth, taken])
                                                   for matrix in matrices),
                 format_count(totals[truth])))
    return rows


def _agreement(teacher: Predictions, student: Predictions, *names:
               str) -> list[tuple]:
    """How many images both, one or none of the two get right."""
    right = [one.preds == one.labels for one in (teacher, student)]
    wrong = ~right[0] & ~right[1]
    alike = teacher.preds == student.preds
    rows = {
        'both right': right[0] & right[1],
        f'only the teacher, {names[0]}, right': right[0] & ~right[1],
        f'only the student, {names[1]}, right': ~right[0] & right[1],
        'both wrong, by the same class': wrong & alike,
        'both wrong, by other classes': wrong & ~alike
    }
    return [(name, format_count(chosen.sum()),
             f'{chosen.mean():.1%}'.replace('%', '\u00a0%'))
            for name, chosen in rows.items()]


def _add_differences(result: Comparison, run: Run, teacher: Predictions,
                     student: Predictions, number: int) -> None:
    """Images of which the teacher is right and sure, and the student not.

    By the difference in their probabilities of the true class.
    """
    gap = (teacher.label_scores.astype(np.float32) - student.label_scores)
    chosen = np.flatnonzero((teacher.preds == teacher.labels)
                            & (student.preds != student.labels))
    chosen = chosen[np.argsort(-gap[chosen], kind='stable')][:_IMAGES]
    result.differences = [
        Difference(
            int(student.indices[i]), result.classes[student.labels[i]],
            result.classes[student.preds[i]], float(teacher.label_scores[i]),
            float(student.label_scores[i]), float(student.pred_scores[i]))
        for i in chosen
    ]
    if not result.differences:
        return
    pictures = load_thumbnails(
        run, student.data,
        [(int(student.indices[i]), int(student.labels[i])) for i in chosen])
    if isinstance(pictures, str):
        result.note = f'The images are not shown: {pictures}.'
        return
    for place, (one,
                picture) in enumerate(zip(result.differences, pictures), 1):
        one.picture = _as_panel(picture, f'image_{number}_{place}', one)


def _as_panel(picture: Thumbnail, name: str, one: Difference) -> Panel:
    return Panel(
        name, f'Image {one.index} of the validation data: {one.truth}, which '
        f'the student takes for {one.taken_for}.', picture.width, picture.png)
