# ResNet-14 learns from ResNet-20 on images of a generator, and ResNet-8 from
# both; with the file of ResNet-20,
# --cfg-options chain.networks.resnet20.ckpt_path=resnet20.pth
# nothing of CIFAR-100 is read but the test images, to measure.
# Objective: the mean of the teachers' KD at tau = 1, without labels; for the
# generator 0.5 one-hot + 20 entropy + 0.1 activation, DAFL's for CIFAR-100.
_base_ = [
    '../_base_/chains/resnet20_to_resnet8_cifar100.py',
    '../_base_/distillers/dafl.py',
    '../_base_/datasets/cifar100_bs128.py',
    '../_base_/schedules/sgd_160e.py',
    '../_base_/default_runtime.py',
]
data_free = dict(
    train_dataloader=dict(
        batch_size=256,
        dataset=dict(
            _delete_=True, type='NoImages', length=50000, shape=(3, 32, 32))),
    optim_wrapper=dict(
        constructor='mmrazor.GeneratorOptimWrapperConstructor',
        generator=dict(optimizer=dict(type='Adam', lr=1e-3))),
    # The generator's stays what it is.
    param_scheduler=dict(
        _delete_=True, student=_base_.param_scheduler, generator=[]))
chain = dict(
    # No image comes twice.
    logit_store=None,
    networks=dict(
        resnet14=dict(stage=data_free), resnet8=dict(stage=data_free)))
