# ResNet-8 of the chain with weights and activations of 8 bits, trained on
# (quantization-aware), distilled from ResNet-20, 14 and the float ResNet-8.
# Objective: as in resnet20_to_resnet8_digits.py.
_base_ = [
    '../dgkd/resnet20_to_resnet8_digits.py',
    '../_base_/quantization/openvino_8bit.py',
]
chain = dict(
    networks=dict(
        resnet8_int8=dict(
            init_from='resnet8',
            model=dict(
                type='mmrazor.MMArchitectureQuant',
                architecture={{_base_.chain.networks.resnet8.model}},
                input_shapes=(1, 3, 8, 8),
                quantizer={{_base_.quantizer}}),
            stage=dict(optim_wrapper=dict(optimizer=dict(lr=0.01))))))
