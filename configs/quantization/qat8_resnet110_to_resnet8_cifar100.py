# ResNet-8 of the chain with weights and activations of 8 bits, trained on
# (quantization-aware), distilled from all before it, the float ResNet-8
# included.
# Objective: as in resnet110_to_resnet8_cifar100_released.py.
_base_ = [
    '../dgkd/resnet110_to_resnet8_cifar100_released.py',
    '../_base_/quantization/openvino_8bit.py',
]
chain = dict(
    networks=dict(
        resnet8_int8=dict(
            init_from='resnet8',
            model=dict(
                type='mmrazor.MMArchitectureQuant',
                architecture={{_base_.chain.networks.resnet8.model}},
                input_shapes=(1, 3, 32, 32),
                quantizer={{_base_.quantizer}}),
            stage=dict(optim_wrapper=dict(optimizer=dict(lr=0.01))))))
