// Time of every convolution of a network, run in order, each on the output of the one before.
//
//   conv_bench ISA THREADS REPETITIONS OCTAVES wall|cpu < layers
//
// Weights are drawn from 0 and +-2^0 .. +-2^(OCTAVES-1), each alike.
// cpu: time of the processor instead of the clock on the wall, for a busy machine (1 thread).
// A line of standard input is a layer: n height width in_channels out_channels kernel stride
// padding kind, where kind is u8, residual, upsample or float, and height, width are those of
// the input. First line of output: peak GMAC/s of the instructions that the kernel is made of,
// on `threads` cores, with no memory access. Then a line per layer: the least and the median
// seconds, and the multiplications.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "../conv/conv.h"

using namespace lbw::conv;
using lbw::Isa;

namespace {

bool cpu_time = false;

double now() {
  if (cpu_time) {
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Threads that wait in a loop, as those of the engine do between the layers of an image.
class Pool {
 public:
  explicit Pool(int threads) : threads_(threads) {
    for (int t = 1; t < threads; ++t)
      workers_.emplace_back([this] {
        for (int seen = 0;;) {
          while (generation_.load(std::memory_order_acquire) == seen) {}
          seen = generation_.load();
          if (!work_) return;
          work_();
          running_.fetch_sub(1, std::memory_order_release);
        }
      });
  }
  ~Pool() { start(nullptr), join(); }

  void run(const std::function<void()>& work) {
    start(work);
    work();
    while (running_.load(std::memory_order_acquire)) {}
  }

 private:
  void start(std::function<void()> work) {
    work_ = std::move(work);
    running_ = threads_ - 1;
    generation_.fetch_add(1, std::memory_order_release);
  }
  void join() {
    for (std::thread& worker : workers_) worker.join();
  }

  int threads_;
  std::vector<std::thread> workers_;
  std::function<void()> work_;
  std::atomic<int> generation_{0}, running_{0};
};

// Multiplications per call of the loop below, by the instructions of a kernel.
long peak_loop(const std::string& isa, long count) {
#if defined(__x86_64__)
#define LBW_CLOBBERED                                                                        \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
      "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
  if (isa == "avx512_vnni") {
    for (long i = 0; i < count; ++i)
      asm volatile(
          ".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23\n"
          "vpdpbusd %%zmm30, %%zmm31, %%zmm\\r\n.endr" ::: LBW_CLOBBERED);
    return 24 * 64 * count;
  }
  if (isa == "avx_vnni") {
    for (long i = 0; i < count; ++i)
      asm volatile(
          ".irp r,0,1,2,3,4,5,6,7,8,9,10,11\n"
          "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm\\r\n.endr" ::: LBW_CLOBBERED);
    return 12 * 32 * count;
  }
  if (isa == "avx2") {
    for (long i = 0; i < count; ++i)
      asm volatile(
          ".irp r,0,1,2,3,4,5,6,7,8,9\n"
          "vpmaddubsw %%ymm14, %%ymm15, %%ymm13\n"
          "vpmaddwd %%ymm12, %%ymm13, %%ymm13\n"
          "vpaddd %%ymm13, %%ymm\\r, %%ymm\\r\n.endr" ::: LBW_CLOBBERED);
    return 10 * 32 * count;
  }
#endif
  (void)isa, (void)count;
  return 0;
}

double peak(const Isa& isa, Pool& pool, int threads) {
  constexpr long kCount = 40000;
  double best = 1e9;
  long multiplications = 0;
  for (int i = 0; i < 20; ++i) {
    const double begin = now();
    pool.run([&] { peak_loop(isa.name, kCount); });
    best = std::min(best, now() - begin);
  }
  multiplications = peak_loop(isa.name, kCount) * threads;
  return multiplications / best / 1e9;
}

uint8_t* allocate(std::size_t bytes) {
  constexpr std::size_t kHuge = 2 << 20;
  bytes = (bytes + kHuge - 1) / kHuge * kHuge;
  void* p = std::aligned_alloc(kHuge, bytes);
  if (!p) throw std::bad_alloc();
#if defined(__linux__)
  madvise(p, bytes, MADV_HUGEPAGE);
#endif
  std::memset(p, 3, bytes);
  return static_cast<uint8_t*>(p);
}

struct Layer {
  Spec spec{};
  int n, h, w;
  std::string kind;
  std::vector<Packed> packed;  // none or one
  std::vector<double> seconds;
};

Map map_in(uint8_t* buffer, int n, int h, int w, int c, int border) {
  const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(w + 2 * border) * c;
  const std::ptrdiff_t edge = border * row + border * c;
  return {buffer + (edge + 63) / 64 * 64, n, h, w, c, row, row * (h + 2 * border), border};
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 6)
    throw std::invalid_argument(
        "usage: conv_bench ISA THREADS REPETITIONS OCTAVES wall|cpu < layers");
  cpu_time = std::string(argv[5]) == "cpu";
  const int octaves = std::atoi(argv[4]);
  if (octaves < 1 || octaves > 7) throw std::invalid_argument("OCTAVES: 1 to 7");
  const std::string wanted = argv[1];
  const Isa& isa = wanted == "best" ? lbw::fastest_isa() : lbw::isa_named(wanted);
  const int threads = std::atoi(argv[2]), repetitions = std::atoi(argv[3]);
  if (threads < 1 || repetitions < 1) throw std::invalid_argument("THREADS, REPETITIONS: from 1");
  if (cpu_time && threads > 1) throw std::invalid_argument("cpu time: of 1 thread");

  std::vector<Layer> layers;
  std::size_t largest = 0;
  for (std::string line; std::getline(std::cin, line);) {
    Layer layer;
    Spec& s = layer.spec;
    std::istringstream fields(line);
    fields >> layer.n >> layer.h >> layer.w >> s.in_channels >> s.out_channels >> s.kernel_h >>
        s.stride_h >> s.padding_h >> layer.kind;
    if (!fields) throw std::invalid_argument("cannot read: " + line);
    s.kernel_w = s.kernel_h, s.stride_w = s.stride_h, s.padding_w = s.padding_h;
    s.to_float = layer.kind == "float";
    s.upsample = layer.kind == "upsample";
    s.residual = s.upsample || layer.kind == "residual";
    s.relu = !s.to_float;
    const std::size_t weights = std::size_t{1} * s.out_channels * s.in_channels * s.kernel_h *
                                s.kernel_w;
    std::vector<int8_t> weight(weights);
    uint32_t random = 1;
    for (int8_t& w : weight) {
      random = random * 1664525u + 1013904223u;
      const int level = static_cast<int>((random >> 16) % (2 * octaves + 1)) - octaves;
      w = static_cast<int8_t>(level == 0 ? 0 : (level > 0 ? 1 : -1) * (1 << (std::abs(level) - 1)));
    }
    const std::vector<float> multiplier(s.out_channels, 0.01f), offset(s.out_channels, 20.0f);
    const std::vector<float> ratio(s.out_channels, 0.5f);
    const ChannelNumbers numbers{multiplier.data(), offset.data(), nullptr, ratio.data()};
    layer.packed.emplace_back(s, weight.data(), numbers, isa);
    const std::size_t pixels = std::size_t{1} * layer.n * (layer.h + 8) * (layer.w + 8);
    const int element = s.to_float ? 4 : 1;
    largest = std::max({largest, pixels * s.in_channels, pixels * s.out_channels * element});
    layers.push_back(std::move(layer));
  }
  std::size_t scratch_bytes = 0;
  for (const Layer& layer : layers)
    scratch_bytes = std::max(scratch_bytes, layer.packed[0].scratch_bytes(layer.h, layer.w));
  std::vector<uint8_t*> scratches;
  for (int t = 0; t < threads; ++t) scratches.push_back(allocate(scratch_bytes));
  uint8_t* buffers[3];
  for (uint8_t*& buffer : buffers) buffer = allocate(largest + (1 << 20));

  Pool pool(threads);
  std::printf("%.1f\n", peak(isa, pool, threads));
  std::vector<std::int64_t> multiplications(layers.size());
  for (int repetition = 0; repetition < repetitions; ++repetition)
    for (std::size_t i = 0; i < layers.size(); ++i) {
      Layer& layer = layers[i];
      const Spec& s = layer.spec;
      const int oh = static_cast<int>(output_height(s, layer.h));
      const int ow = static_cast<int>(output_width(s, layer.w));
      const Map in = map_in(buffers[i % 3], layer.n, layer.h, layer.w, s.in_channels,
                            static_cast<int>(needed_border(s, layer.h, layer.w)));
      const Map out = map_in(buffers[(i + 1) % 3], layer.n, oh, ow, s.out_channels, 0);
      const Map residual = map_in(buffers[(i + 2) % 3], layer.n, s.upsample ? (oh + 1) / 2 : oh,
                                  s.upsample ? (ow + 1) / 2 : ow, s.out_channels, 0);
      const FloatMap values{reinterpret_cast<float*>(out.data), layer.n, oh, ow, s.out_channels,
                            out.row_stride, out.image_stride};
      const double begin = now();
      const Plan plan = s.to_float ? Plan(layer.packed[0], in, values, threads)
                                   : Plan(layer.packed[0], in, out,
                                          s.residual ? &residual : nullptr, threads);
      std::atomic<std::int64_t> next{0};
      std::atomic<int> thread{0};
      pool.run([&] {
        uint8_t* const scratch = scratches[thread.fetch_add(1)];
        for (std::int64_t unit; (unit = next.fetch_add(1)) < plan.units();)
          plan.run(unit, unit + 1, scratch);
      });
      layer.seconds.push_back(now() - begin);
      multiplications[i] = plan.multiplications();
    }
  for (std::size_t i = 0; i < layers.size(); ++i) {
    std::vector<double>& s = layers[i].seconds;
    std::sort(s.begin(), s.end());
    std::printf("%.9f %.9f %lld\n", s.front(), s[s.size() / 2],
                static_cast<long long>(multiplications[i]));
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "conv_bench: %s\n", error.what());
  return 2;
}
