# ResNet-8 of the chain with ternary weights (2 bits: -1, 0 and 1) and learned
# steps, started from the float one, distilled from all before it.
# Objective: as in resnet20_to_resnet8_digits.py.
_base_ = '../dgkd/resnet20_to_resnet8_digits.py'
chain = dict(
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
