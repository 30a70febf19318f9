# CIFAR-100 without augmentation, the default of the released DGKD code.
_base_ = './cifar100_bs128.py'
train_pipeline = [dict(type='PackInputs')]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
