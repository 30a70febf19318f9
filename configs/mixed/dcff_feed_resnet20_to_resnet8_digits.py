# ResNet-8 with half as many filters, fused, by the last feature map of every
# teacher through a transformation layer of its own (FEED), and by their
# logits.
# Objective: as in the parent, + beta FEED (see _base_/distillers/feed.py).
_base_ = [
    '../pruning/dcff_resnet20_to_resnet8_digits.py',
    '../_base_/distillers/feed.py'
]
narrow = dict(
    distiller=dict(
        edges=dict(
            default=dict(
                _base_.feed_edge,
                # There are 32, not 64.
                connectors=dict(
                    ntl=dict(
                        type='mmrazor.Translator',
                        in_channel=32,
                        out_channel=64))))))
chain = dict(
    # It caches logits, no maps.
    logit_store=None,
    networks=dict(resnet8_pruned=dict(stage=dict(model=narrow))))
