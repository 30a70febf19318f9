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
model = dict(
    generator=dict(hidden_channels=64),
    generator_distiller=dict(
        edges=dict(
            default=dict(
                distill_losses=dict(
                    loss_onehot=dict(loss_weight=0.05),
                    loss_entropy=dict(loss_weight=5.0),
                    loss_activation=dict(loss_weight=0.01))))))
chain = dict(
    guidance='direct',
    # No image comes twice.
    logit_store=None,
    networks=dict(
        resnet20=dict(model=dict(head=dict(num_classes=10))),
        resnet14=None,
        resnet8=dict(
            model=dict(head=dict(num_classes=10)),
            stage=dict(
                train_dataloader=dict(
                    batch_size=128,
                    dataset=dict(
                        _delete_=True,
                        type='NoImages',
                        length=12800,
                        shape=(3, 32, 32))),
                optim_wrapper=dict(
                    constructor='mmrazor.GeneratorOptimWrapperConstructor',
                    generator=dict(optimizer=dict(type='Adam', lr=1e-3))),
                # The generator's stays what it is.
                param_scheduler=dict(
                    _delete_=True,
                    student=_base_.param_scheduler,
                    generator=[])))))
