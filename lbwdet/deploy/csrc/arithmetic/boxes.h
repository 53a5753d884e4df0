// Boxes, their order, and scores, as runtime/arithmetic/boxes.py has them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../vector/loops.h"

namespace lbw {

struct Box {
  float x1, y1, x2, y2;
};

// A row of candidates.
struct Candidate {
  Box box;
  float score, label, level;
};
constexpr std::int64_t kCandidateColumns = 7, kBoxColumns = 4;
constexpr std::int64_t kMostNumbers = 1 << 24;  // whole numbers that a float32 can be, from 0 on

// Score and index in one integer: ascending ranks are descending scores, and of equal scores
// (-0 and 0 are equal) ascending indices. What is no number comes last.
inline std::uint64_t rank(float score, std::uint32_t index) {
  const bool is_number = score == score;
  score += 0.0f;  // -0 becomes 0
  std::uint32_t bits;
  __builtin_memcpy(&bits, &score, sizeof bits);
  // Ascending order of floats is that of these integers; turned round, descending.
  bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  if (!is_number) bits = 0;
  return static_cast<std::uint64_t>(~bits) << 32 | index;
}
inline float ranked_score(std::uint64_t rank) {
  std::uint32_t bits = ~static_cast<std::uint32_t>(rank >> 32);
  bits = bits & 0x80000000u ? bits & 0x7fffffffu : ~bits;
  float score;
  __builtin_memcpy(&score, &bits, sizeof score);
  return score;
}
inline std::uint32_t ranked_index(std::uint64_t rank) { return static_cast<std::uint32_t>(rank); }

// Scores of `count` logits: the exponentials in float64, summed in order. `terms`: scratch.
void softmax(const float* logits, std::size_t count, const Loops& loops, double* terms,
             float* scores);

// values[i] of float64 becomes the float32 of its sigmoid, in float64 again.
void sigmoid(double* values, std::size_t count, const Loops& loops);

}  // namespace lbw
