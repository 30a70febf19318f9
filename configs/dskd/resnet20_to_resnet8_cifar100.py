# ResNet-8, a few epochs; it learns from its own features, denoised as if they
# were those of ResNet-20 (DSKD).
# Objective: CE + LSH, and the denoiser's (see _base_/distillers/dskd.py).
_base_ = [
    '../_base_/chains/resnet20_to_resnet8_cifar100.py',
    '../_base_/distillers/dskd.py',
    '../_base_/datasets/cifar100_bs128.py',
    '../_base_/schedules/sgd_4e_onecycle.py',
    '../_base_/default_runtime.py',
]
chain = dict(
    guidance='direct',
    # It caches logits, no maps.
    logit_store=None,
    networks=dict(resnet14=None))
