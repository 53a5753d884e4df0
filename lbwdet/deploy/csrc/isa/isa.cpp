#include "isa.h"

#include <algorithm>
#include <stdexcept>

namespace lbw {
namespace {

// A function's own object: it is there before the first static object that registers itself.
std::vector<Isa>& registry() {
  static std::vector<Isa> all;
  return all;
}

}  // namespace

RegisteredIsa::RegisteredIsa(const Isa& isa) {
  std::vector<Isa>& all = registry();
  const auto faster = std::find_if(all.begin(), all.end(), [&](const Isa& other) {
    return other.speed > isa.speed;
  });
  all.insert(faster, isa);
}

const std::vector<Isa>& instruction_sets() { return registry(); }

const Isa& fastest_isa() {
  const auto& all = instruction_sets();
  return *std::find_if(all.rbegin(), all.rend(), [](const Isa& isa) { return isa.supported(); });
}

const Isa& isa_named(const std::string& name) {
  for (const Isa& isa : instruction_sets()) {
    if (isa.name != name) continue;
    if (!isa.supported())
      throw std::invalid_argument("this CPU lacks the instruction set " + name);
    return isa;
  }
  throw std::invalid_argument("this build has no instruction set " + name);
}

}  // namespace lbw
