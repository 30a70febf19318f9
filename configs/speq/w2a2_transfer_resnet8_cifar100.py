# ResNet-8 of the even classes, and then with ternary weights and
# activations of 2 bits on the odd ones, its own teacher (SPEQ): the paper's
# transfer, on CIFAR-100, four epochs each.
# Objective: CE, and for the low bits the cosine loss of SPEQ.
_base_ = [
    '../_base_/chains/resnet20_to_resnet8_cifar100.py',
    '../_base_/datasets/cifar100_bs128.py',
    '../_base_/schedules/sgd_4e_onecycle.py',
    '../_base_/default_runtime.py',
]
first, other = [{
    f'{split}_dataloader':
    dict(dataset=dict(filter_cfg=dict(classes=list(range(begin, 100, 2)))))
    for split in ('train', 'val', 'test')
} for begin in (0, 1)]
resnet8 = _base_.chain.networks.resnet8.model
resnet8 = dict(resnet8, head=dict(resnet8.head, num_classes=50))
chain = dict(
    guidance='none',
    logit_store=None,
    order=['resnet8', 'resnet8_w2a2'],
    networks=dict(
        _delete_=True,
        resnet8=dict(model=resnet8, stage=first),
        resnet8_w2a2=dict(
            init_from='resnet8',
            model=dict(type='mmrazor.SPEQ', architecture=resnet8, act_bits=2),
            stage=dict(
                other,
                optim_wrapper=dict(
                    optimizer=dict(lr=0.01),
                    paramwise_cfg=dict(
                        custom_keys=dict(quantizers=dict(decay_mult=0.))))))))
