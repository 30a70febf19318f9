# ResNet-20 is trained on every tenth class of CIFAR-100, 5,000 images, and
# ResNet-8 learns from it on images of a generator.
# Objective: KD at tau = 1, without labels; for the generator 0.05 one-hot + 5
# entropy + 0.01 activation, DAFL's weights for CIFAR-10.
_base_ = [
    '../_base_/chains/resnet20_to_resnet8_cifar100.py',
    '../_base_/distillers/dafl.py',
    '../_base_/datasets/cifar100_bs128.py',
    '../_base_/schedules/sgd_20e_onecycle.py',
    '../_base_/default_runtime.py',
]
data_preprocessor = dict(num_classes=10)
ten = dict(dataset=dict(filter_cfg=dict(classes=list(range(0, 100, 10)))))
train_dataloader, val_dataloader, test_dataloader = ten, ten, ten
weights = dict(loss_onehot=0.05, loss_entropy=5.0, loss_activation=0.01)
edge = dict(distill_losses={
    name: dict(loss_weight=weight)
    for name, weight in weights.items()
})
model = dict(
    generator=dict(hidden_channels=64),
    generator_distiller=dict(edges=dict(default=edge)))
head = dict(head=dict(num_classes=10))
data_free = dict(
    train_dataloader=dict(
        dataset=dict(_delete_=True, type='NoImages', length=12800)),
    optim_wrapper=dict(
        constructor='mmrazor.GeneratorOptimWrapperConstructor',
        generator=dict(optimizer=dict(type='Adam', lr=1e-3))),
    # The generator's stays what it is.
    param_scheduler=dict(
        _delete_=True, student=_base_.param_scheduler, generator=[]))
networks = dict(
    resnet20=dict(model=head),
    resnet14=None,
    resnet8=dict(model=head, stage=data_free))
# No image comes twice.
chain = dict(guidance='direct', logit_store=None, networks=networks)
