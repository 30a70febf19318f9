# Weights of 8 bits with a range per channel, activations of 8 bits with one
# per tensor. For the `model` of a network of type mmrazor.MMArchitectureQuant.
quantizer = dict(
    type='mmrazor.OpenVINOQuantizer',
    global_qconfig=dict(
        w_observer=dict(type='mmrazor.PerChannelMinMaxObserver'),
        a_observer=dict(type='mmrazor.MovingAverageMinMaxObserver'),
        w_fake_quant=dict(type='mmrazor.FakeQuantize'),
        a_fake_quant=dict(type='mmrazor.FakeQuantize'),
        w_qscheme=dict(
            qdtype='qint8', bit=8, is_symmetry=True, is_symmetric_range=True),
        a_qscheme=dict(qdtype='quint8', bit=8, is_symmetry=False)),
    tracer=dict(
        type='mmrazor.CustomTracer',
        skipped_methods=[
            'mmpretrain.models.heads.ClsHead._get_loss',
            'mmpretrain.models.heads.ClsHead._get_predictions'
        ]))
