# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from typing import Dict

from mmpretrain.models.utils import ClsDataPreprocessor
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from mmdgkd.structures.image_batch import ImageBatch
from mmdgkd.structures.views import SampleList


@MODELS.register_module()
class BatchedDataPreprocessor(ClsDataPreprocessor):
    """MMPretrain's data preprocessor, also for batched data sets.

    It crops, mirrors and mixes the images of an :class:`ImageBatch` on the
    device of the training; the base class does the rest, and all for other
    data.

    Args:
        **kwargs: As for ``ClsDataPreprocessor``.
    """

    # The type that does the same with other data, in a network's file.
    plain = 'ClsDataPreprocessor'

    def forward(self, data: Dict, training: bool = False) -> Dict:
        """Make the inputs of the model.

        Args:
            data (dict): ``inputs`` and ``data_samples``, as collated.
            training (bool): Whether to mix images, if so configured.
                Defaults to False.

        Returns:
            dict: ``inputs``, normalized, of shape (N, C, H, W), and
            ``data_samples``.
        """
        samples = data.get('data_samples')
        if samples and isinstance(samples[0], ImageBatch):
            batch = samples[0].to(self.device)
            labels = batch.labels.split(1)
            samples = [DataSample() for _ in labels]
            for sample, label in zip(samples, labels):
                # As set_gt_label(), which looks at the type of each.
                sample.set_field(label, 'gt_label')
            if batch.scores is not None:
                for sample, score in zip(samples, batch.scores):
                    sample.set_gt_score(score)
            if batch.views is None:
                for sample, index in zip(samples, batch.indices.tolist()):
                    sample.set_metainfo(dict(sample_idx=index))
            else:
                samples = SampleList(samples, batch.views)
                samples[0].set_metainfo(dict(batch_views=batch.views))
            data = dict(inputs=batch.cut(), data_samples=samples)
            if batch.scores is None and not self.to_onehot:
                # The base class would join the labels and set each again.
                found = super().forward(dict(inputs=data['inputs']), training)
                return dict(found, data_samples=samples)
        return super().forward(data, training)
