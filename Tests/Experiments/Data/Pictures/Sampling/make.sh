#!/usr/bin/env bash
# JPEGs of every usual sampling of colours, by libjpeg-turbo's programs: make.sh, beside ../Torchvision.
set -euo pipefail
cd "$(dirname "$0")"
djpeg -pnm -scale 1/2 ../Torchvision/landscape.jpg >picture.ppm
for sampling in 1x1 2x1 1x2 2x2 4x1 4x2; do
  cjpeg -quality 60 -sample $sampling -outfile $sampling.jpg picture.ppm
  cjpeg -quality 60 -sample $sampling -progressive -outfile $sampling-progressive.jpg picture.ppm
done
cjpeg -quality 60 -sample 2x2 -restart 1 -outfile 2x2-restart.jpg picture.ppm
cjpeg -quality 60 -sample 2x2 -arithmetic -outfile 2x2-arithmetic.jpg picture.ppm || rm -f 2x2-arithmetic.jpg
rm picture.ppm
