# A recipe of this project for the same five networks: crop and flip, one cycle
# of the learning rate, 20 epochs and 12 for the TAs; the student's tau is the
# best one on held-out training images (README.md).
# Objective: the averaged form (see _base_/distillers), in which all guidances
# have the same total weight.
_base_ = [
    '../_base_/chains/plain10_to_plain2_cifar100.py',
    '../_base_/distillers/dense_kd_averaged.py',
    '../_base_/datasets/cifar100_bs128.py',
    '../_base_/schedules/sgd_20e_12e_30e.py',
    '../_base_/default_runtime.py',
]
optim_wrapper = dict(optimizer=dict(lr=0.05))
objective = dict(distiller=dict(distill_losses=dict(loss_kd=dict(tau=2.0))))
chain = dict(
    # Ten views of each image: the logits of the teachers are soon cached.
    views=dict(num_views=10),
    networks=dict(
        plain8=dict(stage={{_base_.assistant}}),
        plain6=dict(stage={{_base_.assistant}}),
        plain4=dict(stage={{_base_.assistant}}),
        plain2=dict(stage=dict(model=objective))))
