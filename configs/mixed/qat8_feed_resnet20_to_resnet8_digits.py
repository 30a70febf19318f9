# ResNet-8 with 8 bits, by the last feature map of every teacher through a
# transformation layer of its own (FEED), and by their logits.
# Objective: as in the parent, + beta FEED (see _base_/distillers/feed.py).
_base_ = [
    '../quantization/qat8_resnet20_to_resnet8_digits.py',
    '../_base_/distillers/feed.py'
]
# A traced network has no blocks: the map is the input of its pooling.
maps = dict(type='mmrazor.ModuleInputs', source='neck.gap')
quantized = dict(
    distiller=dict(
        edges=dict(
            default=dict(_base_.feed_edge, student_recorders=dict(
                maps=maps)))))
chain = dict(
    # It caches logits, no maps.
    logit_store=None,
    networks=dict(resnet8_int8=dict(stage=dict(model=quantized))))
