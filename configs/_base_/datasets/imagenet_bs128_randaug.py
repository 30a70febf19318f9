# ImageNet by MMPretrain's recipe for DeiT and Swin: RandAugment, random
# erasing and bicubic crops of 224 px; batches of 128 for 8 processes.
_base_ = 'mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py'
train_dataloader = dict(batch_size=128)
val_dataloader = dict(batch_size=128)
test_dataloader = dict(batch_size=128)
