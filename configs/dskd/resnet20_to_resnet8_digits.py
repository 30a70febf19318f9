# ResNet-20-14-8; each network learns from its own features, denoised as if
# they were those of a teacher (DSKD).
# Objective: CE + LSH, and the denoiser's (see _base_/distillers/dskd.py).
_base_ = [
    '../_base_/chains/resnet20_to_resnet8_digits.py',
    '../_base_/distillers/dskd.py',
    '../_base_/datasets/digits_bs64.py',
    '../_base_/schedules/sgd_20e_onecycle.py',
    '../_base_/default_runtime.py',
]
# It caches logits, no maps.
chain = dict(logit_store=None)
