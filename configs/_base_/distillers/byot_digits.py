# The same for 8x8 pixels and 10 classes.
_base_ = './byot.py'
byot = dict(
    connectors={f'head{i}': dict(pool_size=2, num_classes=10)
                for i in (1, 2)})
