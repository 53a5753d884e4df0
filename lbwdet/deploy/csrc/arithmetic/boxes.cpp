#include "boxes.h"

#include <algorithm>

namespace lbw {

static_assert(sizeof(Candidate) == kCandidateColumns * sizeof(float));
static_assert(sizeof(Box) == kBoxColumns * sizeof(float));

void softmax(const float* logits, std::size_t count, const Loops& loops, double* terms,
             float* scores) {
  const float largest = *std::max_element(logits, logits + count);
  for (std::size_t i = 0; i < count; ++i) terms[i] = static_cast<double>(logits[i]) - largest;
  loops.exponentials(terms, count);
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += terms[i];
  for (std::size_t i = 0; i < count; ++i) scores[i] = static_cast<float>(terms[i] / sum);
}

void sigmoid(double* values, std::size_t count, const Loops& loops) {
  for (std::size_t i = 0; i < count; ++i) values[i] = std::clamp(-values[i], -700.0, 700.0);
  loops.exponentials(values, count);
  for (std::size_t i = 0; i < count; ++i)
    values[i] = static_cast<float>(1 / (1 + values[i]));
}

}  // namespace lbw
