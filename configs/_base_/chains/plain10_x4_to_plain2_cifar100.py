# Four plain CNNs of 10 convolutions with initial weights and an order of
# images of their own, trained from the labels alone, and one of 2.
_base_ = './plain10_to_plain2_cifar100.py'
teachers = {
    f'plain10_{seed}': dict(
        model=_base_.chain.networks.plain10.model,
        stage=dict(randomness=dict(seed=seed)))
    for seed in range(4)
}  # yapf: disable
chain = dict(
    guidance='independent',
    order=[*teachers, 'plain2'],
    networks=dict(
        teachers, plain10=None, plain8=None, plain6=None, plain4=None))
