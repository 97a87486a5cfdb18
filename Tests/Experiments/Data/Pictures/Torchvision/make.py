#!/usr/bin/env python3
"""Pictures of every kind that ImageNet has, and what torchvision 0.14 makes of them: Debian's python3-torchvision, python3-pil.

    make.py FOLDER     writes NAME.jpg or .png, NAME.eval.png (resize 256, centre crop 224), NAME.crop.png (its crop resized to 224, flipped),
                       and pictures.csv: the numbers that the crop was drawn by and its geometry
"""
import csv
import math
import sys
from pathlib import Path

import numpy
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import functional as F

CROP = transforms.RandomResizedCrop(224)
EVAL = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])


def waves(width: int, height: int, seed: int) -> Image.Image:
    """Smooth colours and a few hard edges: they compress well, and show a shift of a fraction of a pixel."""
    random = numpy.random.default_rng(seed)
    y, x = numpy.mgrid[0:height, 0:width]
    planes = []
    for _ in range(3):
        a, b, c = random.uniform(0.01, 0.06, 3)
        planes.append(127 + 60 * numpy.sin(a * x + b * y) + 50 * numpy.cos(c * (x - y)))
    pixels = numpy.stack(planes, 2)
    pixels[height // 3:height // 2, width // 4:width // 2] = random.uniform(0, 255, 3)
    return Image.fromarray(pixels.clip(0, 255).astype(numpy.uint8))


def pictures():
    yield "landscape.jpg", waves(500, 375, 1), {"quality": 85}
    yield "portrait.jpg", waves(333, 500, 2), {"quality": 85, "progressive": True}
    yield "small.jpg", waves(120, 80, 3), {"quality": 90, "subsampling": 0}
    yield "long.jpg", waves(900, 150, 4), {"quality": 70}
    yield "grey.jpg", waves(400, 300, 5).convert("L"), {"quality": 85}
    yield "ink.jpg", waves(200, 180, 14).convert("CMYK"), {"quality": 85}
    yield "cmyk.jpg", waves(320, 280, 6).convert("CMYK"), {"quality": 85}
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "rotated.jpg", waves(300, 260, 7), {"quality": 85, "exif": exif}
    yield "colour.png", waves(260, 300, 8), {}
    yield "palette.png", waves(256, 256, 9).quantize(32), {"transparency": 3}
    clear = waves(270, 240, 10)
    clear.putalpha(waves(270, 240, 11).convert("L"))
    yield "alpha.png", clear, {}
    yield "grey-alpha.png", clear.convert("LA"), {}
    deep = numpy.asarray(waves(60, 50, 12).convert("L")).astype(numpy.int32) * 2
    yield "deep.png", Image.fromarray(deep, "I"), {}
    yield "line.png", waves(2, 700, 13), {}


def without_adobe(path: Path) -> None:
    """Takes out the segment by which Adobe's files are known."""
    data = path.read_bytes()
    start = data.index(b"\xff\xee")
    length = int.from_bytes(data[start + 2:start + 4], "big")
    path.write_bytes(data[:start] + data[start + 2 + length:])


def drawn(image: Image.Image, seed: int):
    """The crop that torchvision draws, and the numbers by which it did: of the last try the share of the area and the aspect ratio."""
    torch.manual_seed(seed)
    i, j, h, w = CROP.get_params(image, CROP.scale, CROP.ratio)
    torch.manual_seed(seed)
    width, height = image.size
    log_ratio = torch.log(torch.tensor(CROP.ratio))
    for tries in range(10):
        share = torch.empty(1).uniform_(*CROP.scale).item()
        aspect = torch.exp(torch.empty(1).uniform_(log_ratio[0], log_ratio[1])).item()
        if 0 < round(math.sqrt(width * height * share * aspect)) <= width and 0 < round(math.sqrt(width * height * share / aspect)) <= height:
            return share, aspect, tries, i, j, h, w
    return 0.0, 0.0, 10, i, j, h, w


def main() -> None:
    folder = Path(sys.argv[1])
    rows = []
    for number, (name, picture, options) in enumerate(pictures()):
        picture.save(folder / name, **options)
        if name == "ink.jpg":
            without_adobe(folder / name)
        image = Image.open(folder / name).convert("RGB")
        stem = Path(name).stem
        EVAL(image).save(folder / f"{stem}.eval.png", optimize=True)
        share, aspect, tries, i, j, h, w = drawn(image, number)
        F.hflip(F.resized_crop(image, i, j, h, w, (224, 224))).save(folder / f"{stem}.crop.png", optimize=True)
        rows.append([name, *image.size, repr(share), repr(aspect), tries, i, j, h, w])
    # Geometry alone, of many sizes: those that no try fits too.
    for number in range(60):
        random = numpy.random.default_rng(number)
        width, height = (int(random.integers(20, 700)), int(random.integers(20, 700))) if number % 3 else (int(random.integers(900, 3000)), int(random.integers(20, 60)))[:: 1 if number % 2 else -1]
        share, aspect, tries, i, j, h, w = drawn(Image.new("L", (width, height)), 100 + number)
        rows.append(["", width, height, repr(share), repr(aspect), tries, i, j, h, w])
    with open(folder / "pictures.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow("file,width,height,area_share,aspect_ratio,failed_tries,top,left,height_of_crop,width_of_crop".split(","))
        writer.writerows(rows)


if __name__ == "__main__":
    main()
