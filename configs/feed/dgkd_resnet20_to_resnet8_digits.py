# FEED's maps and DGKD's logits from every teacher.
# Objective: as in the parent, + beta FEED (see _base_/distillers/feed.py).
_base_ = [
    '../dgkd/resnet20_to_resnet8_digits.py', '../_base_/distillers/feed.py'
]
model = dict(distiller=dict(edges=dict(default={{_base_.feed_edge}})))
# It caches logits, no maps.
chain = dict(logit_store=None)
