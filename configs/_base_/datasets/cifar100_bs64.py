_base_ = './cifar100_bs128.py'
train_dataloader = dict(batch_size=64)
