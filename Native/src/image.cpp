// Pictures: JPEG by libjpeg(-turbo) and PNG by libpng, to red, green and blue as Pillow converts them, and a window of the resampled picture.
#include "shim.h"

#ifdef IMTA_IMAGES
#include <cstdio>
#include <jpeglib.h>
#include <png.h>

#include <algorithm>
#include <cmath>
#include <csetjmp>
#include <cstring>
#include <limits>
#include <memory>
#endif

namespace {

// What imta_image_read tells of a picture besides its pixels, summed; mirrors Native/Picture.cs.
enum Trait : int { Grey = 1, Cmyk = 2, Rotated = 4, Damaged = 8, Png = 16 };

#ifdef IMTA_IMAGES

struct Picture {
  int width = 0;
  int height = 0;
  int traits = 0;
  int top = 0, left = 0, stride = 0;  // of the part that was decoded: where it begins, and its columns
  std::vector<uint8_t> pixels;        // [rows, stride, 3]
};

// The pixels that are wanted of a picture: rows from top to before bottom, columns from left to before right.
struct Part {
  int top, bottom, left, right;
};

constexpr int64_t most_pixels = int64_t{1} << 27;  // beyond: no photograph, and more memory than a decoder should take unasked

void demand_size(int64_t width, int64_t height) {
  if (width <= 0 || height <= 0 || width * height > most_pixels) {
    throw std::runtime_error("a picture of " + std::to_string(width) + " x " + std::to_string(height) + " pixels");
  }
}

// --- JPEG ---

struct JpegErrors {
  jpeg_error_mgr base;
  jmp_buf back;
  char text[JMSG_LENGTH_MAX];
};

[[noreturn]] void jpeg_fail(j_common_ptr info) {
  auto* errors = reinterpret_cast<JpegErrors*>(info->err);
  info->err->format_message(info, errors->text);
  longjmp(errors->back, 1);
}

void jpeg_be_quiet(j_common_ptr) {}

// The Exif segment's orientation, 1 to 8; 1 where it says nothing.
int orientation(const jpeg_decompress_struct& info) {
  for (jpeg_saved_marker_ptr marker = info.marker_list; marker; marker = marker->next) {
    const uint8_t* data = marker->data;
    const size_t length = marker->data_length;
    if (marker->marker != JPEG_APP0 + 1 || length < 14 || std::memcmp(data, "Exif\0\0", 6) != 0) continue;
    const uint8_t* tiff = data + 6;
    const size_t size = length - 6;
    const bool big = tiff[0] == 'M';
    const auto number = [&](size_t at, int bytes) {
      uint32_t value = 0;
      for (int k = 0; k < bytes; k++) value = value << 8 | tiff[at + (big ? k : bytes - 1 - k)];
      return value;
    };
    const size_t directory = number(4, 4);
    if (directory + 2 > size || directory > size) continue;
    const uint32_t entries = number(directory, 2);
    for (uint32_t k = 0; k < entries; k++) {
      const size_t entry = directory + 2 + size_t{12} * k;
      if (entry + 12 > size) break;
      if (number(entry, 2) == 0x0112) {
        const uint32_t value = number(entry + 8, 2);
        return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
      }
    }
  }
  return 1;
}

// Ink as Pillow turns it into light: it takes every file for one of Adobe's, which hold it inverted.
void light_of_ink(const uint8_t* ink, int width, uint8_t* row) {
  for (int x = 0; x < width; x++, ink += 4, row += 3) {
    const int rest = ink[3];
    for (int c = 0; c < 3; c++) {
      const int product = (255 - ink[c]) * rest + 128;
      row[c] = static_cast<uint8_t>(std::clamp(rest - ((product + (product >> 8)) >> 8), 0, 255));
    }
  }
}

#ifdef LIBJPEG_TURBO_VERSION
constexpr bool skips = true;
#else
constexpr bool skips = false;
JDIMENSION jpeg_skip_scanlines(j_decompress_ptr, JDIMENSION) { return 0; }
void jpeg_crop_scanline(j_decompress_ptr, JDIMENSION*, JDIMENSION*) {}
#endif

// Begins behind what nobody wants, and returns whether the rest may be skipped too. libjpeg-turbo computes only the blocks that a part touches; its
// smooth upsampling looks at neighbours, so the part takes blocks around it, and its pixels stay those of the whole picture. Of several scans, some may be
// missing, and what smooths the blocks then looks further: such a picture is decoded whole.
bool skip_to(const Part& part, Picture& picture, jpeg_decompress_struct& info) {
  picture.stride = picture.width;
  if (!skips || jpeg_has_multiple_scans(&info)) return false;
  const int across = info.max_h_samp_factor * DCTSIZE, down = 2 * info.max_v_samp_factor * DCTSIZE;
  JDIMENSION left = std::max(0, part.left - across), width = std::min(picture.width, part.right + across) - left;
  if (width < info.output_width) {
    jpeg_crop_scanline(&info, &left, &width);
    picture.left = static_cast<int>(left);
  }
  if (part.top > down) picture.top = static_cast<int>(jpeg_skip_scanlines(&info, part.top - down));
  picture.stride = static_cast<int>(info.output_width);
  return true;
}

// Nothing with a destructor may be made between setjmp and the last call that may jump: all of it is the caller's.
bool decode_jpeg(const uint8_t* bytes, size_t length, const Part* part, Picture& picture, std::vector<uint8_t>& line, jpeg_decompress_struct& info, JpegErrors& errors) {
  if (setjmp(errors.back)) return false;
  jpeg_create_decompress(&info);
  jpeg_save_markers(&info, JPEG_APP0 + 1, 0xFFFF);
  jpeg_mem_src(&info, bytes, length);
  jpeg_read_header(&info, TRUE);
  picture.width = static_cast<int>(info.image_width);
  picture.height = static_cast<int>(info.image_height);
  const bool ink = info.num_components == 4;
  picture.traits = (info.num_components == 1 ? Grey : 0) | (ink ? Cmyk : 0) | (orientation(info) != 1 ? Rotated : 0);
  if (!part || int64_t{picture.width} * picture.height > most_pixels) return true;
  info.out_color_space = ink ? JCS_CMYK : info.num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_start_decompress(&info);
  const bool skipping = skip_to(*part, picture, info);
  const int bottom = skipping ? part->bottom : picture.height;
  picture.pixels.resize(size_t{3} * picture.stride * (bottom - picture.top));
  line.resize(size_t{4} * picture.stride);
  while (static_cast<int>(info.output_scanline) < bottom) {
    uint8_t* row = picture.pixels.data() + size_t{3} * picture.stride * (info.output_scanline - picture.top);
    JSAMPROW target = info.out_color_space == JCS_RGB ? row : line.data();
    jpeg_read_scanlines(&info, &target, 1);
    if (ink) {
      light_of_ink(line.data(), picture.stride, row);
    } else if (info.out_color_space == JCS_GRAYSCALE) {
      for (int x = 0; x < picture.stride; x++) std::memset(row + 3 * x, line[x], 3);
    }
  }
  if (info.output_scanline < info.output_height) {  // damage there is told too; what is skipped to the very end would not be looked at
    jpeg_skip_scanlines(&info, info.output_height - info.output_scanline - 1);
    JSAMPROW last = line.data();
    jpeg_read_scanlines(&info, &last, 1);
  }
  jpeg_finish_decompress(&info);
  picture.traits |= errors.base.num_warnings != 0 ? Damaged : 0;
  return true;
}

Picture read_jpeg(const uint8_t* bytes, size_t length, const Part* part) {
  Picture picture;
  std::vector<uint8_t> line;
  jpeg_decompress_struct info{};
  JpegErrors errors{};
  info.err = jpeg_std_error(&errors.base);
  errors.base.error_exit = jpeg_fail;
  errors.base.output_message = jpeg_be_quiet;
  const std::unique_ptr<jpeg_decompress_struct, decltype(&jpeg_destroy_decompress)> until(&info, &jpeg_destroy_decompress);
  if (!decode_jpeg(bytes, length, part, picture, line, info, errors)) throw std::runtime_error(errors.text);
  return picture;
}

// --- PNG ---

struct PngSource {
  const uint8_t* bytes;
  size_t left;
  jmp_buf back;
  char text[200];
};

[[noreturn]] void png_fail(png_structp png, png_const_charp message) {
  auto* source = static_cast<PngSource*>(png_get_error_ptr(png));
  std::snprintf(source->text, sizeof(source->text), "%s", message);
  longjmp(source->back, 1);
}

void png_be_quiet(png_structp, png_const_charp) {}

void png_take(png_structp png, png_bytep target, size_t count) {
  auto* source = static_cast<PngSource*>(png_get_io_ptr(png));
  if (count > source->left) png_error(png, "the file ends too early");
  std::memcpy(target, source->bytes, count);
  source->bytes += count;
  source->left -= count;
}

// All of it: rows are packed together, whichever part is wanted.
bool decode_png(const Part* part, Picture& picture, std::vector<png_bytep>& rows, png_structp png, png_infop info, PngSource& source) {
  if (setjmp(source.back)) return false;
  png_set_read_fn(png, &source, png_take);
  png_read_info(png, info);
  picture.width = static_cast<int>(std::min<png_uint_32>(png_get_image_width(png, info), std::numeric_limits<int>::max()));
  picture.height = static_cast<int>(std::min<png_uint_32>(png_get_image_height(png, info), std::numeric_limits<int>::max()));
  picture.traits = Png | ((png_get_color_type(png, info) & PNG_COLOR_MASK_COLOR) ? 0 : Grey);
  picture.stride = picture.width;
  if (!part || int64_t{picture.width} * picture.height > most_pixels) return true;
  // Pillow cuts grey of 16 bits off at 255 and takes the upper 8 of all else.
  const bool deep = png_get_color_type(png, info) == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(png, info) == 16;
  if (!deep) {
    png_set_expand(png);
    png_set_strip_16(png);
    png_set_strip_alpha(png);
    png_set_gray_to_rgb(png);
  }
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  const size_t row = size_t{deep ? 2u : 3u} * picture.width;
  if (png_get_rowbytes(png, info) != row) png_error(png, "its rows are no red, green and blue");
  picture.pixels.resize(size_t{3} * picture.width * picture.height);
  rows.resize(picture.height);
  for (int y = 0; y < picture.height; y++) rows[y] = picture.pixels.data() + row * y;
  png_read_image(png, rows.data());  // what follows the pixels may be cut off
  if (deep) {
    for (size_t k = picture.pixels.size() / 3; k-- > 0;) {
      const uint8_t* value = picture.pixels.data() + 2 * k;
      std::memset(picture.pixels.data() + 3 * k, value[0] ? 255 : value[1], 3);
    }
  }
  return true;
}

Picture read_png(const uint8_t* bytes, size_t length, const Part* part) {
  Picture picture;
  std::vector<png_bytep> rows;
  PngSource source{bytes, length, {}, {}};
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &source, png_fail, png_be_quiet);
  png_infop info = png ? png_create_info_struct(png) : nullptr;
  const auto destroy = [&info](png_structp one) { png_destroy_read_struct(&one, &info, nullptr); };
  const std::unique_ptr<png_struct, decltype(destroy)> until(png, destroy);
  if (!info || !decode_png(part, picture, rows, png, info, source)) throw std::runtime_error(source.text[0] ? source.text : "libpng cannot begin");
  return picture;
}

// A part of a picture, which lies within it; without, its head.
Picture read_picture(const uint8_t* bytes, int64_t length, const Part* part) {
  if (length >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8) {
    Picture picture = read_jpeg(bytes, static_cast<size_t>(length), part);
    demand_size(picture.width, picture.height);
    return picture;
  }
  if (length >= 8 && png_sig_cmp(bytes, 0, 8) == 0) {
    Picture picture = read_png(bytes, static_cast<size_t>(length), part);
    demand_size(picture.width, picture.height);
    return picture;
  }
  throw std::runtime_error("neither a JPEG nor a PNG file");
}

// --- Resampling: bilinear over a support that grows with the reduction, in whole numbers, as Pillow's and so torchvision's Resize has it ---

constexpr int bits = 22;  // of a weight behind the point

// For each place of the result, from which input on it is summed, and the weights.
struct Taps {
  std::vector<int> first;
  std::vector<std::vector<int32_t>> weights;

  int low() const { return first.front(); }
  int high() const { return first.back() + static_cast<int>(weights.back().size()); }
};

Taps taps_of(int input, int output, int start, int count) {
  Taps taps;
  const double scale = static_cast<double>(input) / output, support = std::max(scale, 1.0);
  for (int place = start; place < start + count; place++) {
    const double centre = (place + 0.5) * scale;
    const int low = std::max(static_cast<int>(centre - support + 0.5), 0), high = std::min(static_cast<int>(centre + support + 0.5), input);
    std::vector<double> exact;
    double sum = 0;
    for (int k = low; k < high; k++) {
      exact.push_back(std::max(0.0, 1.0 - std::abs((k - centre + 0.5) / support)));
      sum += exact.back();
    }
    std::vector<int32_t> weights;
    for (double weight : exact) weights.push_back(static_cast<int32_t>(0.5 + weight / sum * (1 << bits)));
    taps.first.push_back(low);
    taps.weights.push_back(std::move(weights));
  }
  return taps;
}

// Weights sum up to 2^bits, so 32 bits hold a sum of bytes.
uint8_t rounded(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> bits, 0, 255)); }

struct Window {
  int top, left, height, width;     // of the picture: what is resampled
  int rows, columns;                // to this size
  int row, column, side_y, side_x;  // of which this is taken
  bool flip;
};

// Planes [3, side_y, side_x].
void resample(const Picture& picture, const Window& w, const Taps& across, const Taps& down, uint8_t* planes) {
  const int from = down.low(), to = down.high();
  std::vector<uint8_t> narrow(size_t{3} * w.side_x * (to - from));
  for (int y = from; y < to; y++) {
    const uint8_t* line = picture.pixels.data() + size_t{3} * (size_t(picture.stride) * (w.top + y - picture.top) + w.left - picture.left);
    uint8_t* target = narrow.data() + size_t{3} * w.side_x * (y - from);
    for (int x = 0; x < w.side_x; x++, target += 3) {
      const auto& weights = across.weights[x];
      const uint8_t* source = line + size_t{3} * across.first[x];
      int32_t sums[3] = {1 << (bits - 1), 1 << (bits - 1), 1 << (bits - 1)};
      for (int32_t weight : weights) {
        for (int c = 0; c < 3; c++) sums[c] += weight * source[c];
        source += 3;
      }
      for (int c = 0; c < 3; c++) target[c] = rounded(sums[c]);
    }
  }
  std::vector<int32_t> sums(size_t{3} * w.side_x);
  for (int y = 0; y < w.side_y; y++) {
    std::fill(sums.begin(), sums.end(), 1 << (bits - 1));
    const uint8_t* source = narrow.data() + size_t{3} * w.side_x * (down.first[y] - from);
    for (int32_t weight : down.weights[y]) {
      for (size_t k = 0; k < sums.size(); k++) sums[k] += weight * source[k];
      source += sums.size();
    }
    for (int x = 0; x < w.side_x; x++) {
      const int at = w.flip ? w.side_x - 1 - x : x;
      for (int c = 0; c < 3; c++) planes[(size_t(c) * w.side_y + y) * w.side_x + at] = rounded(sums[size_t{3} * x + c]);
    }
  }
}

void demand_window(const Picture& picture, const Window& w) {
  const bool inside = w.top >= 0 && w.left >= 0 && w.height > 0 && w.width > 0 && int64_t{w.top} + w.height <= picture.height && int64_t{w.left} + w.width <= picture.width &&
                      w.row >= 0 && w.column >= 0 && w.side_y > 0 && w.side_x > 0 && int64_t{w.row} + w.side_y <= w.rows && int64_t{w.column} + w.side_x <= w.columns &&
                      w.rows <= 1 << 28 && w.columns <= 1 << 28;
  if (!inside) throw std::invalid_argument("a window that is not within its picture");
}

#endif

}  // namespace

// Whether this build reads pictures.
IMTA_API int imta_image_available() {
#ifdef IMTA_IMAGES
  return 1;
#else
  return 0;
#endif
}

#ifdef IMTA_IMAGES

// Width, height and traits by the file's head.
IMTA_API int imta_image_look(const uint8_t* bytes, int64_t length, int* shape) {
  return imta::guarded<int>(-1, [&] {
    const Picture picture = read_picture(bytes, length, nullptr);
    shape[0] = picture.width;
    shape[1] = picture.height;
    shape[2] = picture.traits;
    return 0;
  });
}

// The part of the picture that begins at (top, left), height x width, resampled to rows x columns; of that what begins at (row, column),
// side_y x side_x, to planes [3, side_y, side_x]. Returns the picture's traits.
IMTA_API int imta_image_read(const uint8_t* bytes, int64_t length, const int* window, int flip, uint8_t* planes) {
  return imta::guarded<int>(-1, [&] {
    const Window w{window[0], window[1], window[2], window[3], window[4], window[5], window[6], window[7], window[8], window[9], flip != 0};
    demand_window(read_picture(bytes, length, nullptr), w);
    const Taps across = taps_of(w.width, w.columns, w.column, w.side_x), down = taps_of(w.height, w.rows, w.row, w.side_y);
    const Part part{w.top + down.low(), w.top + down.high(), w.left + across.low(), w.left + across.high()};
    const Picture picture = read_picture(bytes, length, &part);
    resample(picture, w, across, down, planes);
    return picture.traits;
  });
}

#endif
