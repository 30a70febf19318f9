# A network that is searched, by the last feature map of every teacher through
# a transformation layer of its own (FEED), and by their logits.
# Objective: as in the parent, + beta FEED (see _base_/distillers/feed.py).
_base_ = [
    '../nas/spos_resnet20_to_resnet8_digits.py', '../_base_/distillers/feed.py'
]
model = dict(distiller=dict(edges=dict(default={{_base_.feed_edge}})))
# It caches logits, no maps.
chain = dict(logit_store=None)
