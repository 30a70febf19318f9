# ResNet-8 pruned to learned sizes, by the attention of every teacher (AT),
# which works with any number of channels, and by their logits.
# Objective: as in the parent, + 250 AT (see _base_/distillers).
_base_ = [
    '../pruning/dmcp_resnet20_to_resnet8_digits.py',
    '../_base_/distillers/at.py',
]
model = dict(distiller=dict(edges=dict(default={{_base_.at_edge}})))
# It caches logits, no maps.
chain = dict(logit_store=None)
