# ResNet-34 of MMPretrain's zoo, 73.62 % top-1; a TA of 56 instead of 64
# channels, with operations between those of the two; ResNet-18.
chain = dict(
    guidance='dense',
    # 16 GB a teacher; all 1,000 logits would take 256.
    logit_store=dict(dtype='float16', top_k=20),
    # Keys of a dict are sorted when MMEngine writes a config.
    order=['resnet34', 'resnet34_56', 'resnet18'],
    networks=dict(
        resnet34=dict(
            model=dict(cfg_path='mmpretrain::resnet/resnet34_8xb32_in1k.py'),
            ckpt_path='https://download.openmmlab.com/mmclassification/v0/'
            'resnet/resnet34_8xb32_in1k_20210831-f257d4e6.pth'),
        resnet34_56=dict(
            model=dict(
                cfg_path='mmpretrain::resnet/resnet34_8xb32_in1k.py',
                backbone=dict(base_channels=56),
                head=dict(in_channels=448))),
        resnet18=dict(
            model=dict(cfg_path='mmpretrain::resnet/resnet18_8xb32_in1k.py'))))
