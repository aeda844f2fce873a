"""The trainers, for nnU-Net's search: it imports this module from the folders in `nnUNet_extTrainer`.

Re-exports only: the classes live in the library, since nnU-Net forgets the modules of a folder it has scanned, and a
class of a forgotten module cannot be pickled. The module's name is unique on `sys.path`, its imports are absolute.
"""

from nnunetv2_dale.trainer.all_trainers import ALL_TRAINERS

globals().update(ALL_TRAINERS)
