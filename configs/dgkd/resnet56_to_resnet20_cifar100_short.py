# ResNet-56-44-32-20 in the short recipe of this project: 12 epochs of the
# teacher, 8 of a TA, and 15 of the student.
# Objective: the averaged form (see _base_/distillers).
_base_ = [
    '../_base_/chains/resnet56_to_resnet20_cifar100.py',
    '../_base_/distillers/dense_kd_averaged.py',
    '../_base_/datasets/cifar100_bs128.py',
    '../_base_/schedules/sgd_12e_8e_15e.py',
    '../_base_/default_runtime.py',
]
objective = dict(distiller=dict(distill_losses=dict(loss_kd=dict(tau=2.0))))
chain = dict(
    # Ten views of each image: the logits of the teachers are soon cached.
    views=dict(num_views=10),
    networks=dict(
        resnet44=dict(stage=_base_.assistant),
        resnet32=dict(stage=_base_.assistant),
        resnet20=dict(stage=dict(_base_.student, model=objective))))
