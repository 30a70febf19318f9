# Plain10 four times, independent of each other, and plain2, by the recipe of
# plain10_to_plain2_cifar100_own.py.
# Objective: the averaged form (see _base_/distillers): the four weigh as much
# as one.
_base_ = [
    '../_base_/chains/plain10_x4_to_plain2_cifar100.py',
    '../_base_/distillers/dense_kd_averaged.py',
    '../_base_/datasets/cifar100_bs128.py',
    '../_base_/schedules/sgd_20e_onecycle.py',
    '../_base_/default_runtime.py',
]
optim_wrapper = dict(optimizer=dict(lr=0.05))
model = dict(distiller=dict(distill_losses=dict(loss_kd=dict(tau=2.0))))
# Ten views of each image: the logits of the teachers are soon cached.
chain = dict(views=dict(num_views=10))
