#include "int16_sums.h"

#include <algorithm>

namespace lbw::conv {
namespace {

// Whether the sum of any two of the same place is more than `most`.
bool beyond(const uint8_t* a, const uint8_t* b, std::size_t count, int most) {
  if (most >= 256) return false;
  uint8_t found = 0;  // no sum that might not fit a byte: vectors of bytes do
  for (std::size_t i = 0; i < count; ++i)
    found |= static_cast<uint8_t>(a[i] > static_cast<uint8_t>(most - b[i]));
  return found != 0;
}

// sum + reach to `next`; whether any is more than `most`.
bool beyond(const uint16_t* sum, const uint8_t* reach, std::size_t count, int most,
            uint16_t* next) {
  const auto limit = static_cast<uint16_t>(most);
  uint16_t found = 0;
  for (std::size_t i = 0; i < count; ++i) {
    next[i] = static_cast<uint16_t>(sum[i] + reach[i]);
    found |= static_cast<uint16_t>(next[i] > limit);
  }
  return found != 0;
}

}  // namespace

QuadReach::QuadReach(const int8_t* weight, int quads, int lanes)
    : quads_(quads), sums_(4 * static_cast<std::size_t>(lanes)), reach_(sums_ * quads) {
  uint8_t* const reach = reach_.data();
  for (std::size_t i = 0; i < reach_.size() / 2; ++i) {
    const int a = weight[2 * i], b = weight[2 * i + 1];
    reach[2 * i] = static_cast<uint8_t>(std::max(a, 0) + std::max(b, 0));
    reach[2 * i + 1] = static_cast<uint8_t>(std::max(-a, 0) + std::max(-b, 0));
  }
}

std::vector<uint16_t> QuadReach::stretches(int runs, int most) const {
  std::vector<uint16_t> result;
  std::vector<uint16_t> sum(sums_), next(sums_);
  const int in_run = quads_ / runs;
  for (int quad = 0; quad < quads_;) {
    const int end = quad + in_run;
    while (quad < end) {
      std::copy_n(of(quad), sums_, sum.begin());
      int length = 1;
      while (++quad < end && length < UINT16_MAX &&
             !beyond(sum.data(), of(quad), sums_, most, next.data())) {
        sum.swap(next);
        ++length;
      }
      result.push_back(static_cast<uint16_t>(length));
    }
  }
  return result;
}

int QuadReach::pair(int most, int32_t* order) const {
  constexpr std::size_t kOpen = 8;  // partners that are looked at
  std::vector<int32_t> open, single;
  int pairs = 0;
  for (int quad = 0; quad < quads_; ++quad) {
    const auto partner = std::find_if(open.begin(), open.end(), [&](int other) {
      return !beyond(of(other), of(quad), sums_, most);
    });
    if (partner != open.end()) {
      order[2 * pairs] = *partner, order[2 * pairs + 1] = quad;
      ++pairs;
      open.erase(partner);
      continue;
    }
    if (open.size() == kOpen) {
      single.push_back(open.front());
      open.erase(open.begin());
    }
    open.push_back(quad);
  }
  single.insert(single.end(), open.begin(), open.end());
  std::copy(single.begin(), single.end(), order + 2 * pairs);
  return pairs;
}

}  // namespace lbw::conv
