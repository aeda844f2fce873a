"""File name endings of images, in lower case, whether or not nnU-Net reads them: none must be passed over silently."""

VOLUME_ENDINGS = (
    *(".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".gipl", ".gipl.gz", ".hdr", ".img", ".img.gz"),
    *(".dcm", ".dicom", ".ima", ".mgz", ".mgh", ".mnc", ".vtk", ".npy", ".npz", ".h5"),
)
PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".jp2", ".ppm", ".pgm")


def is_image_name(name: str) -> bool:
    """Say whether a file of this name holds an image; hidden files, such as those of macOS, do not."""
    return name.lower().endswith((*VOLUME_ENDINGS, *PICTURE_ENDINGS)) and not name.startswith(".")
