# ResNet-110-56-32-20-14-8 in a recipe of this project: crop and flip, one
# cycle of the learning rate, 20 epochs, 12 for the TAs, 30 for the student,
# whose tau was the best on held-out images (docs/which_guidance.md).
# *_released.py and *_paper.py have the recipe of the released code. On these
# networks KD (configs/kd) is a point better, and needs no TAs.
# Objective: the averaged form (see _base_/distillers).
_base_ = [
    '../_base_/chains/resnet110_to_resnet8_cifar100.py',
    '../_base_/distillers/dense_kd_averaged.py',
    '../_base_/datasets/cifar100_bs128.py',
    '../_base_/schedules/sgd_20e_12e_30e.py',
    '../_base_/default_runtime.py',
]
objective = dict(distiller=dict(distill_losses=dict(loss_kd=dict(tau=2.0))))
chain = dict(
    # Ten views of each image: the logits of the teachers are soon cached.
    views=dict(num_views=10),
    networks=dict(
        resnet56=dict(stage=_base_.assistant),
        resnet32=dict(stage=_base_.assistant),
        resnet20=dict(stage=_base_.assistant),
        resnet14=dict(stage=_base_.assistant),
        resnet8=dict(stage=dict(_base_.student, model=objective))))
