#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#if defined(__unix__)
#include <unistd.h>
#endif

#include "pack.h"

namespace lbw::conv {
namespace {

constexpr int kUnitsPerThread = 8;
constexpr int kFewColumns = 48;  // of a unit, where rows are one
constexpr int kMostColumns = 1 << 30;  // so that a column and a unit behind it fit an int

// Bytes of a core's second-level cache. A guess is good enough: only speed depends on it.
std::ptrdiff_t cache_bytes() {
#if defined(_SC_LEVEL2_CACHE_SIZE)
  static const long size = sysconf(_SC_LEVEL2_CACHE_SIZE);
  if (size >= 256 << 10) return std::min<std::ptrdiff_t>(size, 2 << 20);
#endif
  return 1 << 20;
}

int groups(int length, int size) { return (length + size - 1) / size; }

// Size of equal groups that are no larger than `limit`.
int equal_size(int length, std::ptrdiff_t limit) {
  const std::ptrdiff_t count = (length + std::max<std::ptrdiff_t>(limit, 1) - 1) /
                               std::max<std::ptrdiff_t>(limit, 1);
  return groups(length, static_cast<int>(count));
}

void require(bool condition, const char* what) {
  if (!condition) throw std::invalid_argument(std::string("convolution: ") + what);
}

std::int64_t output_size(std::int64_t size, std::int64_t kernel, std::int64_t stride,
                         std::int64_t padding, std::int64_t dilation) {
  const std::int64_t room = size + 2 * padding - dilation * (kernel - 1) - 1;
  return room < 0 ? 0 : room / stride + 1;
}

// How far the last window reaches beyond the map.
std::int64_t excess(std::int64_t output, std::int64_t size, std::int64_t kernel,
                    std::int64_t stride, std::int64_t padding, std::int64_t dilation) {
  return (output - 1) * stride - padding + (kernel - 1) * dilation - (size - 1);
}

// Whether a plan may keep where each pixel of a residual lies.
bool knows_columns(const Spec& s, const Map& out) {
  return !s.upsample && static_cast<std::int64_t>(out.h) * out.w <= kMostOffsets;
}

}  // namespace

std::int64_t output_height(const Spec& s, std::int64_t height) {
  return output_size(height, s.kernel_h, s.stride_h, s.padding_h, s.dilation_h);
}

std::int64_t output_width(const Spec& s, std::int64_t width) {
  return output_size(width, s.kernel_w, s.stride_w, s.padding_w, s.dilation_w);
}

std::int64_t needed_border(const Spec& s, std::int64_t height, std::int64_t width) {
  const std::int64_t below = excess(output_height(s, height), height, s.kernel_h, s.stride_h,
                                    s.padding_h, s.dilation_h);
  const std::int64_t right = excess(output_width(s, width), width, s.kernel_w, s.stride_w,
                                    s.padding_w, s.dilation_w);
  return std::max<std::int64_t>({s.padding_h, s.padding_w, below, right, 0});
}

void Plan::init(const Map& in, int out_n, int out_h, int out_w, int out_c, bool joins_rows,
                int threads) {
  const Layout& l = *layout_;
  const Spec& s = l.spec;
  require(in.c == s.in_channels && out_c == s.out_channels, "channels of a map do not fit");
  require(in.n == out_n && in.n > 0 && in.h > 0 && in.w > 0, "empty maps, or other batch sizes");
  require(out_h > 0 && out_w > 0, "the kernel is larger than the padded input");
  require(out_h == output_height(s, in.h) && out_w == output_width(s, in.w),
          "the output has another size than the input gives");
  require(in.pixel_stride() == in.c || s.among || s.kernel_w == 1,
          "the map holds other channels, too");
  require(in.border >= needed_border(s, in.h, in.w), "the border of the input is too small");
  require(threads > 0, "threads must be positive");

  if (l.winograd) {
    images_ = out_n, height_ = out_h, width_ = out_w;
    init_winograd(in, threads);
    return;
  }
  x_ = in.data - s.padding_h * in.row_stride - s.padding_w * in.pixel_stride();
  x_image_ = in.image_stride;
  x_row_ = s.stride_h * in.row_stride;
  x_column_ = s.stride_w * in.pixel_stride();
  const int runs_per_row = l.run_count / s.kernel_h;
  for (int ky = 0; ky < s.kernel_h; ++ky)
    for (int kx = 0; kx < runs_per_row; ++kx)
      runs_.push_back(static_cast<std::ptrdiff_t>(ky) * s.dilation_h * in.row_stride +
                      kx * s.dilation_w * in.pixel_stride());
  quad_offsets_.reserve(l.quad_order.size());
  for (const int32_t index : l.quad_order) {
    const std::ptrdiff_t offset = runs_[index / l.quads] + index % l.quads * 4;
    require(offset <= INT32_MAX, "the window reaches too far");
    quad_offsets_.push_back(static_cast<int32_t>(offset));
  }

  images_ = out_n, height_ = out_h, width_ = out_w;
  if (height_ == 1 && width_ == 1) {  // fully connected: images are the columns of one row
    width_ = images_, images_ = 1;
    x_column_ = x_image_, y_column_ = y_image_;
  }
  // Rows that follow each other without a gap are one long row.
  const bool joined =
      joins_rows && height_ > 1 && x_row_ == width_ * x_column_ && y_row_ == width_ * y_column_ &&
      static_cast<std::int64_t>(height_) * width_ <= kMostColumns;
  if (joined) width_ *= height_, height_ = 1;

  // What of a unit's input, output, weights should stay in the second-level cache.
  const std::ptrdiff_t cache = cache_bytes();
  const std::ptrdiff_t window = static_cast<std::ptrdiff_t>(l.run_count) * l.quads * 4;
  const std::ptrdiff_t column_bytes =
      std::min<std::ptrdiff_t>(x_column_, window) * std::min(s.stride_h, s.kernel_h);
  const int wanted = threads == 1 ? 1 : kUnitsPerThread * threads;
  std::ptrdiff_t most = cache / 2 / column_bytes;
  if (joined) {
    most = std::min(cache / 4 / column_bytes, cache / 5 / s.out_channels);
    most = std::min<std::ptrdiff_t>(most, std::max(width_ / wanted, kFewColumns));
  }
  columns_per_unit_ = equal_size(width_, most);
  column_groups_ = groups(width_, columns_per_unit_);
  const std::ptrdiff_t in_row = column_bytes * columns_per_unit_;
  const std::ptrdiff_t out_row = static_cast<std::ptrdiff_t>(columns_per_unit_) * s.out_channels;
  rows_per_unit_ = equal_size(height_, std::min(cache / 4 / in_row, cache / 5 / out_row));
  // Enough units to share, from rows first: their inputs hardly overlap.
  const std::int64_t strips = static_cast<std::int64_t>(images_) * column_groups_;
  while (rows_per_unit_ > 4 && strips * groups(height_, rows_per_unit_) < wanted)
    rows_per_unit_ = equal_size(height_, rows_per_unit_ - 1);
  row_groups_ = groups(height_, rows_per_unit_);
  const int have = static_cast<int>(std::min<std::int64_t>(strips * row_groups_, wanted));
  blocks_per_unit_ = equal_size(l.blocks, l.blocks / std::min(l.blocks, groups(wanted, have)));
  block_groups_ = groups(l.blocks, blocks_per_unit_);
  const std::ptrdiff_t block_bytes = window * l.width;
  blocks_per_row_ = equal_size(blocks_per_unit_, cache * 3 / 8 / block_bytes);
}

void Plan::init_winograd(const Map& in, int threads) {
  const WinogradWeights& weights = *layout_->winograd;
  x_ = in.data;
  x_image_ = in.image_stride, x_row_ = in.row_stride, x_column_ = in.c;
  const int tiles = groups(height_, 4) * groups(width_, 4);
  const int most = winograd_tiles_per_unit(weights);
  columns_per_unit_ = equal_size(tiles, most);
  // Every unit reads all weights of its blocks: smaller units only until each thread has some.
  const int wanted = threads == 1 ? 1 : 2 * threads;
  const std::int64_t images = images_;
  while (columns_per_unit_ > 14 && images * groups(tiles, columns_per_unit_) < wanted)
    columns_per_unit_ = equal_size(tiles, columns_per_unit_ - 1);
  rows_per_unit_ = row_groups_ = 1;
  column_groups_ = groups(tiles, columns_per_unit_);
  const int have = static_cast<int>(std::min<std::int64_t>(images * column_groups_, threads));
  const int parts = std::min(weights.blocks, groups(threads, have));
  blocks_per_unit_ = equal_size(weights.blocks, weights.blocks / parts);
  block_groups_ = groups(weights.blocks, blocks_per_unit_);
}

Plan::Plan(const Packed& packed, const Map& in, const Map& out, const Map* residual, int threads)
    : layout_(&packed.layout()) {
  const Spec& s = layout_->spec;
  require(!s.to_float, "the layer has a float output");
  require(s.residual == (residual != nullptr), "residual missing, or not wanted");
  y_ = out.data;
  y_image_ = out.image_stride, y_row_ = out.row_stride, y_column_ = out.pixel_stride();
  init(in, out.n, out.h, out.w, out.c, !residual || knows_columns(s, out), threads);
  if (!residual) return;
  const Map& r = *residual;
  require(r.n == out.n && r.c == out.c && r.h > 0 && r.w > 0, "the residual does not fit");
  require(s.upsample || (r.h == out.h && r.w == out.w), "the residual has another size");
  r_ = r.data;
  r_image_ = r.image_stride;
  const bool rows_are_images = images_ < out.n, joined = height_ < out.h;  // see init
  r_rows_.reserve(height_), r_columns_.reserve(width_);
  for (int i = 0; i < height_; ++i)
    r_rows_.push_back(static_cast<std::int64_t>(i) * r.h / out.h * r.row_stride);
  for (int j = 0; j < width_; ++j)
    r_columns_.push_back(rows_are_images ? j * r.image_stride
                         : joined        ? j / out.w * r.row_stride + j % out.w * r.pixel_stride()
                         : static_cast<std::int64_t>(j) * r.w / out.w * r.pixel_stride());
}

Plan::Plan(const Packed& packed, const Map& in, const FloatMap& out, int threads)
    : layout_(&packed.layout()) {
  require(layout_->spec.to_float, "the layer has a uint8 output");
  y_float_ = out.data;
  y_image_ = out.image_stride, y_row_ = out.row_stride, y_column_ = out.pixel_stride();
  init(in, out.n, out.h, out.w, out.c, true, threads);
}

std::int64_t Plan::multiplications() const {
  const Spec& s = layout_->spec;
  return static_cast<std::int64_t>(images_) * height_ * width_ * s.out_channels * s.in_channels *
         s.kernel_h * s.kernel_w;
}

Row Plan::row_of_layer() const {
  const Layout& l = *layout_;
  const Spec& s = l.spec;
  Row row{};
  row.range = l.range;
  row.ceil = s.ceil;
  row.zero = s.zero_out;
  row.low = s.relu ? s.zero_out : 0;
  row.high = s.maximum_out;
  row.low_float = s.relu ? 0.0f : -std::numeric_limits<float>::infinity();
  row.y_column = y_column_;
  row.zero_residual = s.zero_residual;
  return row;
}

void Plan::run_winograd(std::int64_t begin, std::int64_t end, void* scratch) const {
  const Layout& l = *layout_;
  const WinogradWeights& weights = *l.winograd;
  const int tiles = groups(height_, 4) * groups(width_, 4);
  Winograd job{};
  job.x_row = x_row_;
  job.height = height_, job.width = width_;
  job.in_channels = l.spec.in_channels, job.pairs = weights.pairs;
  job.tiles_x = groups(width_, 4);
  job.block_size = weights.block_size;
  job.y_row = y_row_;
  job.row = row_of_layer();
  job.row.r_columns = r_columns_.data();
  job.r_rows = r_ ? r_rows_.data() : nullptr;
  job.scratch = winograd_scratch(weights, columns_per_unit_, scratch);
  for (std::int64_t unit = begin; unit < end; ++unit) {
    const int block = static_cast<int>(unit % block_groups_) * blocks_per_unit_;
    const int group = static_cast<int>(unit / block_groups_ % column_groups_);
    const std::int64_t image = unit / block_groups_ / column_groups_;
    const int channel = block * weights.width;
    job.x = x_ + image * x_image_;
    job.first_tile = group * columns_per_unit_;
    job.tiles = std::min(columns_per_unit_, tiles - job.first_tile);
    job.blocks = std::min(blocks_per_unit_, weights.blocks - block);
    job.channels = std::min(job.blocks * weights.width, l.spec.out_channels - channel);
    job.weight = weights.begin + block * weights.block_size;
    job.row.start = weights.start.data() + channel;
    job.row.multiplier = weights.multiplier.data() + channel;
    job.row.offset = weights.offset.data() + channel;
    job.row.factor = l.spec.silu ? l.factor.data() + channel : nullptr;
    job.row.ratio = r_ ? l.ratio.data() + channel : nullptr;
    job.row.y = y_ + image * y_image_ + channel;
    job.row.r = r_ ? r_ + image * r_image_ + channel : nullptr;
    l.kernel->winograd->run(job);
  }
}

void Plan::run(std::int64_t begin, std::int64_t end, void* scratch) const {
  if (layout_->winograd) return run_winograd(begin, end, scratch);
  const Layout& l = *layout_;
  const Spec& s = l.spec;
  Row row = row_of_layer();
  row.x_column = x_column_;
  row.runs = runs_.data();
  row.run_count = l.run_count;
  row.quads = l.quads;
  // Columns far apart are images: their next tile is too large to be fetched ahead.
  row.ahead = x_column_ > 4096 ? 0 : (x_column_ + l.quads - 1) / l.quads;
  for (std::int64_t unit = begin; unit < end; ++unit) {
    // Neighbouring units share input rows: blocks of channels change fastest.
    std::int64_t rest = unit;
    const int block_group = static_cast<int>(rest % block_groups_);
    rest /= block_groups_;
    const int column = static_cast<int>(rest % column_groups_) * columns_per_unit_;
    rest /= column_groups_;
    const int first_row = static_cast<int>(rest % row_groups_) * rows_per_unit_;
    const std::int64_t image = rest / row_groups_;
    row.columns = std::min(columns_per_unit_, width_ - column);
    const int end_row = std::min(first_row + rows_per_unit_, height_);
    const int end_block = std::min((block_group + 1) * blocks_per_unit_, l.blocks);
    for (int block = block_group * blocks_per_unit_; block < end_block; block += blocks_per_row_) {
      const int channel = block * l.width;
      const int last_block = std::min(block + blocks_per_row_, end_block);
      row.weight = l.weight->data() + l.block_begin(block);
      if (!l.stretches.empty()) row.stretches = &l.stretches_of_block[block];
      if (!l.pairs.empty()) {
        row.pairs = &l.pairs[block];
        row.quad_offsets = &quad_offsets_[static_cast<std::size_t>(block) * l.run_count * l.quads];
      }
      row.start = l.start.data() + channel;
      row.factor = s.silu ? l.factor.data() + channel : nullptr;
      row.ratio = r_ ? l.ratio.data() + channel : nullptr;
      row.multiplier = l.multiplier.data() + channel;
      row.offset = l.offset.data() + channel;
      row.channels = std::min(last_block * l.width, s.out_channels) - channel;
      for (int y = first_row; y < end_row; ++y) {
        row.x = x_ + image * x_image_ + y * x_row_ + column * x_column_;
        const std::ptrdiff_t out = image * y_image_ + y * y_row_ + column * y_column_ + channel;
        if (y_float_) {
          row.y_float = y_float_ + out;
        } else {
          row.y = y_ + out;
        }
        if (r_) {
          row.r = r_ + image * r_image_ + r_rows_[y] + channel;
          row.r_columns = r_columns_.data() + column;
        }
        l.kernel->row(row);
      }
    }
  }
}

}  // namespace lbw::conv
