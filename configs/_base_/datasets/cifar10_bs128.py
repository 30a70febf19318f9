# CIFAR-10, as CIFAR-100: the released DGKD code normalizes both alike.
_base_ = './cifar100_bs128.py'
dataset_type = 'BatchedCIFAR10'
data_root = 'data/cifar10'
dataset = dict(type=dataset_type, data_root=data_root)
data_preprocessor = dict(num_classes=10)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
