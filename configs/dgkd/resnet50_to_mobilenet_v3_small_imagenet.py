# ResNet-50 to MobileNetV3 small with one TA, on ImageNet: RandAugment, MixUp
# and CutMix, smoothed labels, averaged weights; 300 epochs in batches of 1,024
# (8 processes of 128). Objective: the averaged form at tau = 1.
_base_ = [
    '../_base_/chains/resnet50_to_mobilenet_v3_small_imagenet.py',
    '../_base_/distillers/dense_kd_imagenet.py',
    '../_base_/datasets/imagenet_bs128_randaug.py',
    '../_base_/schedules/imagenet_sgd_300e.py',
    '../_base_/default_runtime.py',
]
custom_hooks = [
    dict(type='mmrazor.FastNetworkHook', channels_last=True),
    dict(type='EMAHook', momentum=1e-4, update_buffers=True)
]
