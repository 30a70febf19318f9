# ResNet-8 of the chain with weights and activations of 8 bits, trained on
# (quantization-aware), guided by all before it, the float ResNet-8 too.
# Objective: as in resnet110_to_resnet8_cifar100.py.
_base_ = '../dgkd/resnet110_to_resnet8_cifar100.py'
chain = dict(
    networks=dict(
        resnet8_int8=dict(
            init_from='resnet8',
            model=dict(
                type='mmrazor.MMArchitectureQuant',
                architecture={{_base_.chain.networks.resnet8.model}},
                input_shapes=(1, 3, 32, 32),
                quantizer=dict(
                    type='mmrazor.OpenVINOQuantizer',
                    global_qconfig=dict(
                        w_observer=dict(
                            type='mmrazor.PerChannelMinMaxObserver'),
                        a_observer=dict(
                            type='mmrazor.MovingAverageMinMaxObserver'),
                        w_fake_quant=dict(type='mmrazor.FakeQuantize'),
                        a_fake_quant=dict(type='mmrazor.FakeQuantize'),
                        w_qscheme=dict(
                            qdtype='qint8',
                            bit=8,
                            is_symmetry=True,
                            is_symmetric_range=True),
                        a_qscheme=dict(
                            qdtype='quint8', bit=8, is_symmetry=False)),
                    tracer=dict(
                        type='mmrazor.CustomTracer',
                        skipped_methods=[
                            'mmpretrain.models.heads.ClsHead._get_loss',
                            'mmpretrain.models.heads.ClsHead._get_predictions'
                        ]))),
            stage=dict(optim_wrapper=dict(optimizer=dict(lr=0.01))))))
