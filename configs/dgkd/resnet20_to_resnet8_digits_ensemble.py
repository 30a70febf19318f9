# Three ResNet-20 that know nothing of each other, each with initial weights
# and an order of images of its own and trained from the labels alone; ResNet-8
# is distilled from the mean of their probabilities, as of one teacher.
# Objective: the averaged form (see _base_/distillers) with one teacher, of
# which the three are members.
_base_ = [
    '../_base_/chains/resnet20_to_resnet8_digits.py',
    '../_base_/distillers/dense_kd_averaged.py',
    '../_base_/datasets/digits_bs64.py',
    '../_base_/schedules/sgd_20e_onecycle.py',
    '../_base_/default_runtime.py',
]
default_hooks = dict(logger=dict(interval=20))
teachers = {
    f'resnet20_{seed}': dict(
        model=_base_.chain.networks.resnet20.model,
        stage=dict(randomness=dict(seed=seed)))
    for seed in range(3)
}  # yapf: disable
chain = dict(
    guidance='independent',
    order=[*teachers, 'resnet8'],
    networks=dict(teachers, resnet20=None, resnet14=None))
model = dict(
    distiller=dict(
        ensembles=dict(
            # tau is that of the loss.
            independent=dict(members=[*teachers], mean='probs', tau=4.0))))
