# ResNet-8 distilled from ResNet-20, a few epochs each.
# Objective: CE + 100 squared error of the last maps (see
# _base_/distillers/fitnet.py).
_base_ = [
    '../_base_/chains/resnet20_to_resnet8_cifar100.py',
    '../_base_/distillers/fitnet.py',
    '../_base_/datasets/cifar100_bs128.py',
    '../_base_/schedules/sgd_4e_onecycle.py',
    '../_base_/default_runtime.py',
]
model = dict(
    type='mmrazor.DGKD',
    distiller=dict(
        type='mmrazor.MultiTeacherDistiller',
        edges=dict(default={{_base_.fitnet_edge}})))
chain = dict(
    guidance='direct',
    # It caches logits, no maps.
    logit_store=None,
    networks=dict(resnet14=None))
