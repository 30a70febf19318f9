# Three ways to a smaller ResNet-8 side by side: half of its channels pruned, a
# subnet that was searched, weights and activations of 8 bits; each distilled
# from ResNet-20, 14 and 8, and from neither of the two others.
# Objective: the averaged form (see _base_/distillers).
_base_ = [
    '../_base_/chains/resnet20_to_three_resnet8_cifar100.py',
    '../_base_/distillers/dense_kd_averaged.py'
]
all_three = ['resnet20', 'resnet14', 'resnet8']
chain = dict(
    views=dict(num_views=3),
    guidance=dict(
        _delete_=True,
        resnet14=all_three[:1],
        resnet8=all_three[:2],
        resnet8_pruned=all_three,
        resnet8_searched=all_three,
        resnet8_int8=all_three))
