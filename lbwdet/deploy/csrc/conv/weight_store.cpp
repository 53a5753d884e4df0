#include "weight_store.h"

#include <cstring>

namespace lbw::conv {
namespace {

// Only speed depends on how good it is: equal hashes are compared byte by byte.
std::uint64_t hash_of(const AlignedBytes& bytes) {
  std::uint64_t hash = 0x9E3779B97F4A7C15u ^ bytes.size();
  for (std::size_t i = 0; i < bytes.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, bytes.size() - i < 8 ? bytes.size() - i : 8);
    hash = (hash ^ word) * 0xFF51AFD7ED558CCDu;
    hash ^= hash >> 32;
  }
  return hash;
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
  return by_hash_.emplace(hash, std::make_shared<AlignedBytes>(std::move(bytes)))->second;
}

}  // namespace lbw::conv
