# ResNet-8 of a chain on CIFAR-100 with ternary weights (2 bits: -1, 0 and 1)
# and learned steps, started from the float one, distilled from all before it.
# Objective: the averaged form (see _base_/distillers).
_base_ = [
    '../_base_/chains/resnet20_to_resnet8_cifar100.py',
    '../_base_/distillers/dense_kd_averaged.py',
    '../_base_/datasets/cifar100_bs128.py',
    '../_base_/schedules/sgd_4e_onecycle.py',
    '../_base_/default_runtime.py',
]
chain = dict(
    views=dict(num_views=3),
    networks=dict(
        resnet8_w2=dict(
            init_from='resnet8',
            model=dict(
                type='mmrazor.FewBitNetwork',
                architecture=_base_.chain.networks.resnet8.model,
                weight_bits=2,
                step='learned'),
            stage=dict(
                optim_wrapper=dict(
                    optimizer=dict(lr=0.01),
                    # Steps are no weights: they do not decay.
                    paramwise_cfg=dict(
                        custom_keys=dict(quantizers=dict(decay_mult=0.))))))))
