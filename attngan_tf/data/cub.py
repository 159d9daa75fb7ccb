"""CUB-200-2011 with the captions of Reed et al. (2016)."""

import os
import shutil

from attngan_tf.data import cub_files, pictures
from attngan_tf.data.entries import Box, Entry
from attngan_tf.data.files import listing
from attngan_tf.data.raw import Findings, RawPictures, read_captions
from attngan_tf.data.records import WHOLE_PICTURE


class Cub(RawPictures):
    """`CUB_200_2011/` as downloaded, or its .tgz, and `text/` or `text_c10/`.

    The split is the released one, in `train/` and `test/filenames.pickle`, or
    that of Reed et al. by classes, in `trainvalclasses.txt` and
    `testclasses.txt`. Pictures are cropped to 1.5 times the longer side of
    the bird's box, at reading: the bytes stay as they are.
    """

    name = "attngan_cub"
    DESCRIPTION = "CUB-200-2011, ten captions a picture, cropped to the bird."
    CAPTIONS_PER_IMAGE = 10

    @staticmethod
    def files(source: str) -> dict[str, tuple[int, int]]:
        """See `RawPictures`."""
        places = cub_files.locate(source)
        return listing(places.home, places.read())

    def entries(self, findings: Findings) -> dict[str, list[Entry]]:
        """See `RawPictures`."""
        places = cub_files.locate(self.builder_config.source)
        birds = os.path.join(places.home, places.birds)
        if places.packed:
            birds = cub_files.extract(birds, self._unpacked)
        boxes = cub_files.read_boxes(birds, findings)
        splits = cub_files.read_splits(places, boxes, findings)
        entries = {split: [] for split in splits}
        for split, class_ids in splits.items():
            for name, class_id in class_ids.items():
                where = f"{places.text}/{name}.txt"
                captions = read_captions(
                    os.path.join(places.home, where),
                    where,
                    self.builder_config.captions_per_image,
                    findings,
                )
                path = f"images/{name}.jpg"
                entry = Entry(
                    name,
                    path,
                    os.path.join(birds, path),
                    captions,
                    class_id,
                    boxes[name],
                )
                entries[split].append(entry)
        return entries

    def crop_of(
        self, entry: Entry, picture: pictures.Picture, findings: Findings
    ) -> tuple[int, int, int, int]:
        """See `RawPictures`."""
        width, height = picture.width, picture.height
        x, y, w, h = entry.box
        outside = max(-x, -y, x + w - width, y + h - height)
        # Published boxes end up to a pixel behind the edge: 5 + 496 > 500.
        tolerance = max(2, 0.01 * max(width, height))
        inside = min(
            min(x + w, width) - max(x, 0), min(y + h, height) - max(y, 0)
        )
        crop = WHOLE_PICTURE
        if inside >= 1 and outside <= tolerance:
            crop = crop_around(entry.box, width, height)
        if min(crop[2:]) < 1:
            findings.fault(
                entry.where,
                f"its bounding box must lie in the {width} x {height} "
                f"picture; found x {x:g}, y {y:g}, width {w:g}, height {h:g}",
            )
            return WHOLE_PICTURE
        if outside > 0:
            findings.note("bounding boxes cut at the edge", entry.name)
        return crop

    @property
    def _unpacked(self) -> str:
        # In TFDS's temporary folder, which it removes where anything fails.
        return os.path.join(self.data_dir, "unpacked")

    def _download_and_prepare(self, dl_manager, download_config):
        super()._download_and_prepare(dl_manager, download_config)
        shutil.rmtree(self._unpacked, ignore_errors=True)


def crop_around(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """The square of 1.5 times the box's longer side, cut at the edges.

    As in the released code, which takes whole numbers first.

    Args:
      box: x, y, width, height in pixels.
      width: the picture's, in pixels.
      height: the picture's, in pixels.

    Returns:
      top, left, height, width in pixels.
    """
    x, y, w, h = (int(number) for number in box)
    radius = int(0.75 * max(w, h))
    center_x, center_y = int((2 * x + w) / 2), int((2 * y + h) / 2)
    left, right = max(0, center_x - radius), min(width, center_x + radius)
    top, bottom = max(0, center_y - radius), min(height, center_y + radius)
    return top, left, bottom - top, right - left
