# ResNet-8 distilled from ResNet-20, a few epochs each, as with FEED.
# Objective: CE + 100 squared error of the last maps (see
# _base_/distillers/fitnet.py).
_base_ = ['resnet20_to_resnet8_cifar100.py', '../_base_/distillers/fitnet.py']
model = dict(
    distiller=dict(edges=dict(_delete_=True, default={{_base_.fitnet_edge}})))
