// Packed weights, each once: a network often uses one layer on several maps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <unordered_map>

namespace lbw::conv {

// Bytes that begin at a multiple of 64.
class AlignedBytes {
 public:
  explicit AlignedBytes(std::size_t size)
      : size_(size),
        data_(static_cast<std::int8_t*>(::operator new[](size, std::align_val_t(64)))) {}

  std::size_t size() const { return size_; }
  std::int8_t* data() { return data_.get(); }
  const std::int8_t* data() const { return data_.get(); }

 private:
  struct Delete {
    void operator()(std::int8_t* p) const { ::operator delete[](p, std::align_val_t(64)); }
  };
  std::size_t size_;
  std::unique_ptr<std::int8_t[], Delete> data_;
};

using SharedBytes = std::shared_ptr<const AlignedBytes>;

class WeightStore {
 public:
  // The bytes of this content that are here already, or else these, which are now.
  SharedBytes shared(AlignedBytes bytes);
  std::size_t bytes() const { return bytes_; }  // of all of them

 private:
  std::unordered_multimap<std::uint64_t, SharedBytes> by_hash_;
  std::size_t bytes_ = 0;
};

}  // namespace lbw::conv
