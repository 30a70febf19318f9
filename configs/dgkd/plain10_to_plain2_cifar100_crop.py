# The released code's recipe with its --crop switch: pad-4 crop and flip.
# Objective: as in the parent. Ten views of each image, so that the teachers'
# logits fit on a disk and are computed once.
_base_ = './plain10_to_plain2_cifar100.py'
train_dataloader = dict(
    dataset=dict(pipeline=[
        dict(type='RandomCrop', crop_size=32, padding=4),
        dict(type='RandomFlip', prob=0.5, direction='horizontal'),
        dict(type='PackInputs')
    ]))
chain = dict(views=dict(num_views=10))
