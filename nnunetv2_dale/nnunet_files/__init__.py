"""nnU-Net's folders on disk, read and written safely."""
