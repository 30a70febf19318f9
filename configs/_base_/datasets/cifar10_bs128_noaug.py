# CIFAR-10 as it is: what the released DGKD code trains on by default.
_base_ = './cifar10_bs128.py'
train_pipeline = [dict(type='PackInputs')]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
