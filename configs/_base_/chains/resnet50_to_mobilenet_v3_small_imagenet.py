# ResNet-50 of MMPretrain's zoo, 76.55 % top-1; MobileNetV3 large as the TA;
# MobileNetV3 small. Those that are trained have smoothed labels, and their
# images are mixed.
chain = dict(
    guidance='dense',
    # 300 epochs see each of 100 views three times: 16 GB a teacher.
    views=dict(num_views=100),
    logit_store=dict(dtype='float16', top_k=20),
    # Keys of a dict are sorted when MMEngine writes a config.
    order=['resnet50', 'mobilenet_v3_large', 'mobilenet_v3_small'],
    networks=dict(
        resnet50=dict(
            model=dict(cfg_path='mmpretrain::resnet/resnet50_8xb32_in1k.py'),
            ckpt_path='https://download.openmmlab.com/mmclassification/v0/'
            'resnet/resnet50_8xb32_in1k_20210831-ea4938fc.pth'),
        **{
            f'mobilenet_v3_{size}':
            dict(
                model=dict(
                    cfg_path='mmpretrain::mobilenet_v3/'
                    f'mobilenet-v3-{size}_8xb128_in1k.py',
                    head=dict(
                        loss=dict(
                            type='LabelSmoothLoss',
                            label_smooth_val=0.1,
                            mode='original')),
                    train_cfg=dict(augments=[
                        dict(type='Mixup', alpha=0.2),
                        dict(type='CutMix', alpha=1.0)
                    ])))
            for size in ('large', 'small')
        }))
