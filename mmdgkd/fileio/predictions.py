# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""``predictions.npz``: what a network says of each image of its validation."""
import os.path as osp
from dataclasses import dataclass, fields

import numpy as np

from .npz import read_arrays, write_arrays

FILE = 'predictions.npz'


@dataclass
class Predictions:
    """The predictions of a network for N images, 12 bytes each.

    Attributes:
        indices (np.ndarray): Their indices in the data set, int32 of shape
            (N, ), ascending.
        labels (np.ndarray): Their classes, likewise.
        preds (np.ndarray): The predicted classes, likewise; stored as int16
            where that is enough, as labels are.
        label_scores (np.ndarray): The probability of the true class, float16
            of shape (N, ).
        pred_scores (np.ndarray): That of the predicted class, likewise.
        classes (np.ndarray): The names of the classes; empty if not known.
        data (str): A hash of the config of the data set, see :func:`data_key`.
        note (str): Why there are none, in one line; else empty.
        weights (str): The sha256 of the file of the network's weights, or its
            address.
    """

    indices: np.ndarray
    labels: np.ndarray
    preds: np.ndarray
    label_scores: np.ndarray
    pred_scores: np.ndarray
    classes: np.ndarray
    data: str = ''
    note: str = ''
    weights: str = ''


def write_predictions(folder: str, predictions: Predictions) -> None:
    """Write the file of a network, atomically and with a checksum.

    Args:
        folder (str): The folder of the network.
        predictions (Predictions): Its predictions.
    """
    write_arrays(
        osp.join(folder, FILE), {
            field.name: getattr(predictions, field.name)
            for field in fields(Predictions)
        })


def read_predictions(folder: str) -> Predictions | None:
    """Read the file of a network; nothing in it is executed.

    Args:
        folder (str): The folder of the network.

    Returns:
        Predictions, optional: None if there is no file.

    Raises:
        ValueError: If it is damaged or holds anything else.
    """
    arrays = read_arrays(
        osp.join(folder, FILE), [field.name for field in fields(Predictions)])
    if arrays is None:
        return None
    found = Predictions(**arrays)
    for key in ('data', 'note', 'weights'):
        setattr(found, key, str(getattr(found, key)))
    columns = (found.indices, found.labels, found.preds, found.label_scores,
               found.pred_scores)
    if len({array.shape for array in columns}) > 1 or columns[0].ndim != 1:
        raise ValueError(f'{FILE} cannot be read (its parts differ in length)')
    return found
