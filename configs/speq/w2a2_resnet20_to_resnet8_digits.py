# ResNet-8 of the chain with ternary weights and activations of 2 bits, started
# from the float one; its teachers are itself, with activations whose precision
# is drawn for each layer and step (SPEQ), and all networks before it.
# Objective: the parent's, the cosine loss of SPEQ being one of the network's.
_base_ = '../fewbit/w2_resnet20_to_resnet8_digits.py'
few_bits = _base_.chain.networks.resnet8_w2
chain = dict(
    networks=dict(
        resnet8_w2=None,
        resnet8_w2a2=dict(
            init_from='resnet8',
            model=dict(few_bits.model, type='mmrazor.SPEQ', act_bits=2),
            stage=few_bits.stage)))
