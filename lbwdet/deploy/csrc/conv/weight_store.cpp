#include "weight_store.h"

#include <algorithm>
#include <cstring>

namespace lbw::conv {
namespace {

// Only speed depends on how good it is: equal hashes are compared byte by byte. Several streams, since
// a product waits for the one before it.
std::uint64_t hash_of(const AlignedBytes& bytes) {
  constexpr std::size_t kStreams = 8;
  std::uint64_t hashes[kStreams];
  std::fill(hashes, hashes + kStreams, 0x9E3779B97F4A7C15u ^ bytes.size());
  const auto mix = [](std::uint64_t& hash, const std::int8_t* data, std::size_t count) {
    std::uint64_t word = 0;
    std::memcpy(&word, data, count);
    hash = (hash ^ word) * 0xFF51AFD7ED558CCDu;
    hash ^= hash >> 32;
  };
  std::size_t i = 0;
  for (; i + 8 * kStreams <= bytes.size(); i += 8 * kStreams)
    for (std::size_t stream = 0; stream < kStreams; ++stream)
      mix(hashes[stream], bytes.data() + i + 8 * stream, 8);
  for (; i < bytes.size(); i += 8)
    mix(hashes[0], bytes.data() + i, std::min<std::size_t>(bytes.size() - i, 8));
  for (std::size_t stream = 1; stream < kStreams; ++stream)
    mix(hashes[0], reinterpret_cast<const std::int8_t*>(&hashes[stream]), 8);
  return hashes[0];
}

}  // namespace

SharedBytes WeightStore::shared(AlignedBytes bytes) {
  const std::uint64_t hash = hash_of(bytes);
  const auto [begin, end] = by_hash_.equal_range(hash);
  for (auto entry = begin; entry != end; ++entry) {
    const AlignedBytes& other = *entry->second;
    if (other.size() == bytes.size() && !std::memcmp(other.data(), bytes.data(), bytes.size()))
      return entry->second;
  }
  bytes_ += bytes.size();
  return by_hash_.emplace(hash, std::make_shared<AlignedBytes>(std::move(bytes)))->second;
}

}  // namespace lbw::conv
