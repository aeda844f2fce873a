"""Result folders of nnU-Net: what was trained, validated and logged, and the files it was made of."""
