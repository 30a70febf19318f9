# WRN-40-2 to 16-2 with one TA, on Tiny ImageNet.
# Objective: the averaged form (see _base_/distillers).
_base_ = [
    '../_base_/chains/wrn40_2_to_wrn16_2_tiny_imagenet.py',
    '../_base_/distillers/dense_kd_averaged.py',
    '../_base_/datasets/tiny_imagenet_bs128.py',
    '../_base_/schedules/sgd_160e.py',
    '../_base_/default_runtime.py',
]
